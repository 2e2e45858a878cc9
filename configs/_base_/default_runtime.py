custom_imports = dict(imports=['projects.CVT_IO.cvt_io'], allow_failed_imports=False)
default_scope = 'mmdet3d'
runner_type = 'CVTIORunner'  # lets each setting that is given once reach every place that needs it

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='CVTIOLoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    checkpoint=dict(
        type='CVTIOCheckpointHook',
        by_epoch=False,
        interval=1407,  # steps; an epoch of nuScenes
        max_keep_ckpts=2,  # one more to fall back on
        save_last=True,
        save_best='auto',  # the first label group's IoU; else <label group>/IoU@<threshold>
        rule='greater',
    ),
    plain_checkpoint=dict(type='CVTIOPlainCheckpointHook'),
    broken_frames=dict(type='CVTIOBrokenFramesHook'),
    visualization=dict(type='CVTIOVisualizationHook'),
    health=dict(type='CVTIOHealthHook', action='stop'),  # or warn, roll_back
    interruption=dict(type='CVTIOInterruptionHook'),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl', timeout=600),  # seconds that a process waits for one that hangs; a dead one ends all
)
randomness = dict(seed=2022)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=False)
log_level = 'INFO'
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends, name='visualizer')
# Every process validates with the same running statistics, and the saved ones.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=True)
load_from = None
resume = False
