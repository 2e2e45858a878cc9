# nuScenes key frames with labels of vehicles on 100 m × 100 m at 0.5 m.
data_root = 'data/nuscenes'
bev_grid = dict(size=(200, 200), metres=(100.0, 100.0))
# Pixels of vehicles below visibility 2 (less than 40 % seen) are neither background nor vehicle.
label_groups = dict(
    vehicle=dict(classes=['car', 'truck', 'bus', 'trailer', 'construction', 'motorcycle', 'bicycle'], min_visibility=2)
)

pipeline = [
    dict(type='CVTIOLoadImages'),
    dict(type='CVTIOResizeCrop', size=(224, 480), top_crop=46),
    dict(type='CVTIOLoadBEVLabel'),
    dict(type='CVTIOPackInputs'),
]
dataset = dict(type='CVTIONuScenesDataset', data_root=data_root, bev_grid=bev_grid, pipeline=pipeline)
train_dataloader = dict(
    batch_size=10,
    num_workers=8,
    persistent_workers=True,
    worker_init_fn=dict(type='CVTIOWorkerInit'),  # outlives signals to the process group
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(ann_file='cvt_io_infos_train.json', **dataset),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=8,
    persistent_workers=True,
    worker_init_fn=dict(type='CVTIOWorkerInit'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='cvt_io_infos_val.json', test_mode=True, **dataset),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='CVTIOIoUMetric', label_groups=label_groups, thresholds=(0.4, 0.5))
test_evaluator = val_evaluator
