_base_ = ['./cvt_io_v3_toy.py']

model = dict(neck=dict(lift=None), bev_decoder=dict(in_channels=16))
