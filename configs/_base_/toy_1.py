# The world and the budget of the benchmark toy-1, for any config; the configs in ../toy execute it after their
# base. The models are the same, but for a small backbone and half the channels:
#   python tools/analysis_tools/toy_benchmark.py
data_root = 'data/toy-1'
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
tta_pipeline = [*pipeline[:-1], _base_.tta_pipeline[-1]]

model = dict(
    backbone=dict(arch='b0', out_blocks=(2, 4), init_cfg=None),
    neck=dict(in_channels=(24, 40), dim=64, bev_grid=bev_grid),
)
optim_wrapper = dict(optimizer=dict(lr=_base_.optim_wrapper.optimizer.lr))
if _base_.model.neck.type == 'CVTIOLiftNeck':
    parts = dict(lift=dict(channels=32), latents=dict(size=8))
    model['neck'].update({name: part for name, part in parts.items() if _base_.model.neck[name]})
    model['bev_decoder'] = dict(in_channels=16 + 32 * ('lift' in model['neck']), channels=64)
    model['head'] = dict(in_channels=64)
    optim_wrapper['optimizer']['lr'] = 4e-3  # the best of 1e-3, 2e-3 and 4e-3
    del parts
else:
    model['neck'].update(head_dim=16, downsample=4)
    model['bev_decoder'] = dict(in_channels=64, channels=(64, 64))
    optim_wrapper['optimizer']['lr'] /= 4  # batches of 8 instead of 20, for a shorter time

max_iters = 3000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters, base_batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
param_scheduler = dict(total_steps=max_iters + 1)
default_hooks = dict(checkpoint=dict(interval=250))
