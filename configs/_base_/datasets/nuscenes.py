# nuScenes key frames with labels on 100 m × 100 m at 0.5 m.
data_root = 'data/nuscenes'
image_root = None  # of the images, if they do not lie below data_root
bev_grid = dict(size=(200, 200), metres=(100.0, 100.0))
image_size = (224, 480)  # height and width; 1600 × 900 is resized to 480 × 270, then the top 46 rows are cut off

pipeline = [
    dict(type='CVTIOLoadImages'),
    dict(type='CVTIOResizeCrop', size=image_size, top_crop=46),
    dict(type='CVTIOLoadBEVLabel'),
    dict(type='CVTIOPackInputs'),
]
dataset = dict(
    type='CVTIONuScenesDataset', data_root=data_root, image_root=image_root, bev_grid=bev_grid, pipeline=pipeline
)
train_dataloader = dict(
    batch_size=10,
    num_workers=8,
    persistent_workers=True,
    worker_init_fn=dict(type='CVTIOWorkerInit'),  # outlives signals to the process group
    drop_last=True,
    sampler=dict(type='CVTIOInfiniteSampler', shuffle=True),  # resumable; seeds each sample's augmentations
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

# For `tools/test.py --tta`.
tta_model = dict(type='CVTIOTTAModel')
tta_pipeline = [
    *pipeline[:-1],
    dict(
        type='TestTimeAug',
        transforms=[[dict(type='CVTIORandomFlip', prob=0.0), dict(type='CVTIORandomFlip', prob=1.0)], pipeline[-1:]],
    ),
]
