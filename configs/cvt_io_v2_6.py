_base_ = ['./cvt_io_v2_2.py']

# The notes: NaN after 30K steps (their run collapsed between steps 26,732 and 28,139, a second one never learned), and
# "self-attention really costs hardly any time".
model = dict(neck=dict(depth=12))
