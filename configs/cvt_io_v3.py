_base_ = ['_base_/models/cvt_io_v3.py', '_base_/schedules/one_cycle_100k.py', '_base_/default_runtime.py']

optim_wrapper = dict(optimizer=dict(lr=1e-3))
