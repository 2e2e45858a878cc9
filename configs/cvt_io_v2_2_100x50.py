_base_ = ['./cvt_io_v2_2.py']

# The Cross-View Transformer's other setting: 100 m × 50 m at 0.25 m.
bev_grid = dict(size=(400, 200), metres=(100.0, 50.0))
model = dict(neck=dict(bev_grid=bev_grid))
train_dataloader = dict(dataset=dict(bev_grid=bev_grid))
val_dataloader = dict(dataset=dict(bev_grid=bev_grid))
test_dataloader = val_dataloader
