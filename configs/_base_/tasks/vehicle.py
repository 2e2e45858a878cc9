# Vehicles, and their centres as an auxiliary target. Pixels of vehicles below visibility 2 (less than 40 % seen) count
# neither as background nor as vehicle.
label_groups = dict(
    vehicle=dict(classes=['car', 'truck', 'bus', 'trailer', 'construction', 'motorcycle', 'bicycle'], min_visibility=2)
)
head_losses = dict(
    losses=dict(focal=dict(type='CVTIOFocalLoss', gamma=2.0, loss_weight=1.0)),
    center_group='vehicle',
    loss_center=dict(type='CVTIOFocalLoss', gamma=2.0, loss_weight=0.1),
)
val_evaluator = dict(type='CVTIOIoUMetric', label_groups=label_groups, thresholds=(0.4, 0.5))
test_evaluator = val_evaluator
