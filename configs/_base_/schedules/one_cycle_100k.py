# 100,000 optimizer steps of 20 samples; an iteration is one optimizer step on any number of GPUs.
max_iters = 100_000
steps_per_epoch = 1407  # of nuScenes' 28,130 training frames

auto_scale_lr = dict(enable=False, base_batch_size=20)
train_cfg = dict(type='CVTIOTrainLoop', max_iters=max_iters, val_interval=steps_per_epoch, base_batch_size=20)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-7),
    clip_grad=dict(max_norm=5.0),
)
# From lr/10 up to lr at 30 % of the steps, down to lr/100.
param_scheduler = dict(
    type='CVTIOOneCycleLR',
    total_steps=max_iters + 1,
    pct_start=0.3,
    div_factor=10.0,
    final_div_factor=10.0,
    by_epoch=False,
)
