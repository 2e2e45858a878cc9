_base_ = ['../cvt_io_v2_2.py']

# The same neck on a procedural world, small enough for two CPU cores: other images, grid, backbone, channels, schedule.
#   python tools/create_data.py toy --version v1.0-trainval --scenes 850 --frames 8 --out-dir data/nuscenes-toy \
#     --image-size 225 400 --bev-size 48 48 --bev-metres 48 48
#   python tools/train.py configs/toy/cvt_io_v2_2_toy.py
data_root = 'data/nuscenes-toy'
bev_grid = dict(size=(48, 48), metres=(48.0, 48.0))
image_size = (48, 112)
pipeline = [
    dict(type='CVTIOLoadImages'),
    dict(type='CVTIOResizeCrop', size=image_size, top_crop=15),
    dict(type='CVTIOLoadBEVLabel'),
    dict(type='CVTIOPackInputs'),
]
dataset = dict(data_root=data_root, bev_grid=bev_grid, pipeline=pipeline)
train_dataloader = dict(batch_size=8, num_workers=1, dataset=dataset)
val_dataloader = dict(batch_size=16, num_workers=1, dataset=dataset)
test_dataloader = val_dataloader

model = dict(
    backbone=dict(arch='b0', out_blocks=(2, 4), init_cfg=None),
    neck=dict(in_channels=(24, 40), dim=64, head_dim=16, bev_grid=bev_grid, downsample=4),
    bev_decoder=dict(in_channels=64, channels=(64, 64)),
)

max_iters = 8000
train_cfg = dict(max_iters=max_iters, val_interval=1000, base_batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
param_scheduler = dict(total_steps=max_iters + 1)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(checkpoint=dict(interval=500))
