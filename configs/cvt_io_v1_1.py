_base_ = ['./cvt_io_v2_2.py']

# A latent grid of its own for each camera.
model = dict(neck=dict(latent_size=10, latents_per_camera=True))
