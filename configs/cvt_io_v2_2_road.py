_base_ = ['./cvt_road.py']

model = dict(neck=dict(type='CVTIOLatentNeck', latent_size=5, depth=6, shared=True, latents_per_camera=False))
