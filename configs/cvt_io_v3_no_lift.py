_base_ = ['./cvt_io_v3.py']

# The latents alone: no cell fetches image features by itself.
model = dict(neck=dict(lift=None), bev_decoder=dict(in_channels=32))
