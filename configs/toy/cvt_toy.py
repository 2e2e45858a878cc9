_base_ = ['./cvt_io_v2_2_toy.py']

# The baseline at the same size.
bev_grid = _base_.bev_grid
model = dict(
    neck=dict(
        _delete_=True,
        type='CVTIOCrossViewNeck',
        in_channels=(24, 40),
        dim=64,
        head_dim=16,
        bev_grid=bev_grid,
        downsample=4,
    )
)

# Fewer steps, as one takes longer: both cost about the same time.
max_iters = 6000
train_cfg = dict(max_iters=max_iters)
param_scheduler = dict(total_steps=max_iters + 1)
