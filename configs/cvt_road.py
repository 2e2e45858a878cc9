_base_ = ['./cvt.py']

# The road setting: road surface, no visibility mask, no centre output.
label_groups = dict(_delete_=True, road=dict(classes=['lane', 'road_segment']))
model = dict(
    head=dict(
        label_groups=label_groups,
        losses=dict(bce=dict(type='CVTIOFocalLoss', gamma=0.0, loss_weight=0.1)),  # beside the focal loss
        center_group=None,
        loss_center=None,
    )
)
val_evaluator = dict(label_groups=label_groups)
test_evaluator = val_evaluator

# The Cross-View Transformer's authors trained this setting for 75,001 steps.
max_iters = 75_001
train_cfg = dict(max_iters=max_iters)
param_scheduler = dict(total_steps=max_iters)
default_hooks = dict(checkpoint=dict(save_best='road/IoU@0.50'))
