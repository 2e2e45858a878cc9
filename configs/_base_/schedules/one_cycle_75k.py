_base_ = ['./one_cycle_100k.py']

# The Cross-View Transformer's authors trained the road setting for 75,001 steps.
max_iters = 75_001
train_cfg = dict(max_iters=max_iters)
param_scheduler = dict(total_steps=max_iters + 1)
