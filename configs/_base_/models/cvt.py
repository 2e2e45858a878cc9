# Cross-View Transformer: every BEV cell attends to every image token. The leaf config adds the neck's bev_grid and the
# head's label_groups and losses.
model = dict(
    type='CVTIOSegmentor',
    data_preprocessor=dict(type='CVTIODataPreprocessor', mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    backbone=dict(
        type='CVTIOEfficientNet',
        arch='b4',
        out_blocks=(2, 10),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/efficientnet/'
            'efficientnet-b4_3rdparty_8xb32-aa_in1k_20220119-45b8bd2b.pth',
            prefix='backbone.',
        ),
    ),
    neck=dict(type='CVTIOCrossViewNeck', in_channels=(32, 112), dim=128, downsample=8),
    bev_decoder=dict(type='CVTIOBEVDecoder', in_channels=128, channels=(128, 128, 64)),
    head=dict(type='CVTIOHead', in_channels=64),
)
