_base_ = ['./cvt_io_v3.py']

# The lift alone: no cell sees more than its own points.
model = dict(neck=dict(latents=None))
