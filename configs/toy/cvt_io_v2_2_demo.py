_base_ = ['./cvt_io_v2_2_toy.py']

# A few minutes on a few frames, to see that a model learns what it sees: `make demo`.
train_dataloader = dict(batch_size=16)

max_iters = 500
train_cfg = dict(max_iters=max_iters, val_interval=250, base_batch_size=16)
auto_scale_lr = dict(base_batch_size=16)
param_scheduler = dict(total_steps=max_iters + 1)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
