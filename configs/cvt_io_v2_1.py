_base_ = ['./cvt_io_v2_2.py']

model = dict(neck=dict(latent_size=10))
