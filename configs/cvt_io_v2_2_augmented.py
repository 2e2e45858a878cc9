_base_ = ['./cvt_io_v2_2.py']

# The Cross-View Transformer's optional augmentations; without the second step it is their `strong`, with it `geometric`.
load, resize_crop, *rest = _base_.pipeline
pipeline = [load, resize_crop, dict(type='CVTIOStrongAugment'), dict(type='CVTIOGeometricAugment'), *rest]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
