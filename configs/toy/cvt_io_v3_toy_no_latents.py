_base_ = ['./cvt_io_v3_toy.py']

model = dict(neck=dict(latents=None))
