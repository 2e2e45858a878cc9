_base_ = ['./cvt_io_v2_2.py']

model = dict(neck=dict(depth=4))
