_base_ = ['./cvt_io_v3.py']

# Whatever a point's ray meets counts, at any depth.
model = dict(neck=dict(lift=dict(gate=False)))
