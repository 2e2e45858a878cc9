# The road surface: no visibility mask, no centre output, and a cross-entropy beside the focal loss.
label_groups = dict(road=dict(classes=['lane', 'road_segment']))
head_losses = dict(
    losses=dict(
        focal=dict(type='CVTIOFocalLoss', gamma=2.0, loss_weight=1.0),
        bce=dict(type='CVTIOFocalLoss', gamma=0.0, loss_weight=0.1),
    ),
    center_group=None,
)
val_evaluator = dict(type='CVTIOIoUMetric', label_groups=label_groups, thresholds=(0.4, 0.5))
test_evaluator = val_evaluator
