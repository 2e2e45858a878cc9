_base_ = ['./cvt_io_v2_2.py']

model = dict(neck=dict(latent_size=10, shared=False))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
