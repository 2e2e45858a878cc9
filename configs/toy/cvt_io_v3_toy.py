_base_ = ['./cvt_io_v2_2_toy.py']

# The successor at the same size.
bev_grid = _base_.bev_grid
model = dict(
    neck=dict(
        _delete_=True,
        type='CVTIOLiftNeck',
        in_channels=(24, 40),
        bev_grid=bev_grid,
        dim=64,
        lift=dict(channels=32, heights=(0.0, 0.75, 1.5, 3.0), cameras=2, gate=True),
        latents=dict(size=8, depth=6, shared=True, heads=4),
    ),
    bev_decoder=dict(_delete_=True, type='CVTIOFuse', in_channels=48, channels=64),
    head=dict(type='CVTIOSubPixelHead', in_channels=64, upscale=2),
)
