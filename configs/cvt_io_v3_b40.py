_base_ = ['./cvt_io_v3.py']

# Batches of 40, augmented images and a short warm-up, see docs/nuscenes_recipe.md.
load, resize_crop, *rest = _base_.pipeline
resize = dict(type='CVTIOGeometricAugment', degrees=0.0, shift=None, scale=(1.0, 1.2))  # and a random crop
train_pipeline = [load, resize_crop, resize, *rest[:-1], dict(type='CVTIORandomFlip'), rest[-1]]
train_dataloader = dict(batch_size=5, dataset=dict(pipeline=train_pipeline))

max_iters = 50_000
steps_per_epoch = 703
train_cfg = dict(max_iters=max_iters, val_interval=steps_per_epoch, base_batch_size=40)
auto_scale_lr = dict(base_batch_size=40)
param_scheduler = dict(total_steps=max_iters + 1, pct_start=0.05)
default_hooks = dict(checkpoint=dict(interval=steps_per_epoch))
