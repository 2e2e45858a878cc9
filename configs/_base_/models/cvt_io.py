_base_ = ['./cvt.py']

# CVT-IO: the images are encoded into N×N latents, these attend to each other L times, the BEV cells read them.
model = dict(neck=dict(type='CVTIOLatentNeck', latent_size=5, depth=6, shared=True, latents_per_camera=False))
