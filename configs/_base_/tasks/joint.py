_base_ = ['./vehicle.py']

# Vehicles, road, dividers and pedestrians in one model, each with its own IoU.
label_groups = dict(
    road=dict(classes=['lane', 'road_segment']),
    divider=dict(classes=['road_divider', 'lane_divider']),
    pedestrian=dict(classes=['pedestrian']),
)
val_evaluator = dict(label_groups=label_groups)
test_evaluator = val_evaluator
