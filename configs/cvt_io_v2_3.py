_base_ = ['./cvt_io_v2_2.py']

# The notes: gradients explode, the loss jumps and does not converge (their run collapsed between steps 33,767 and
# 35,174, near the rate's peak and with the gradient clip on); v2_4 is the same at a lower rate.
model = dict(neck=dict(latent_size=10, shared=False))
