_base_ = ['./cvt_io_v2_2.py']

model = dict(neck=dict(depth=10))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
