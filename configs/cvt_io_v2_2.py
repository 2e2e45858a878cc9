_base_ = ['_base_/models/cvt_io.py', '_base_/schedules/one_cycle_100k.py', '_base_/default_runtime.py']
