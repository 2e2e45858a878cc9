_base_ = ['./cvt.py']

# CVT-IO v3: BEV cells fetch image features at projected points, latents with metric positions see the whole scene.
model = dict(
    backbone=dict(out_blocks=(9, 10)),  # strides 8 and 16
    neck=dict(
        _delete_=True,
        type='CVTIOLiftNeck',
        in_channels=(56, 112),
        dim=128,
        lift=dict(channels=64, heights=(0.0, 0.75, 1.5, 3.0), cameras=2, gate=True),
        latents=dict(size=16, depth=6, shared=True, heads=4),
    ),
    bev_decoder=dict(_delete_=True, type='CVTIOFuse', in_channels=96, channels=128),  # 128 / 4 of the trunk, 64 lifted
    head=dict(type='CVTIOSubPixelHead', in_channels=128, upscale=2),
)
