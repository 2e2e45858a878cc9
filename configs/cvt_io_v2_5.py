_base_ = ['./cvt_io_v2_2.py']

# The notes: L = 1 by mistake ("experiment set up wrongly"); v2_8 is what was meant.
model = dict(neck=dict(latent_size=3, depth=1))
