_base_ = ['_base_/models/cvt_io_v3.py', '_base_/datasets/nuscenes.py', '_base_/tasks/vehicle.py',
          '_base_/schedules/one_cycle_100k.py', '_base_/default_runtime.py']  # fmt: skip

model = dict(neck=dict(bev_grid=_base_.bev_grid), head=dict(label_groups=_base_.label_groups, **_base_.head_losses))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
