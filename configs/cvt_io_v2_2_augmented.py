_base_ = ['./cvt_io_v2_2.py']

# The Cross-View Transformer's optional augmentations: its `geometric`; without the second step, its `strong`.
load, resize_crop, *rest = _base_.pipeline
train_pipeline = [load, resize_crop, dict(type='CVTIOStrongAugment'), dict(type='CVTIOGeometricAugment'), *rest]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
