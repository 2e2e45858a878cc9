"""What training adds to mmengine's Runner."""

from .checkpoint_hook import CVTIOCheckpointHook
from .durable_files import CVTIODurableBackend
from .health.hook import CVTIOHealthHook
from .interruption import CVTIOInterruptionHook
from .log_records import CVTIOLoggerHook
from .plain_checkpoint import CVTIOPlainCheckpointHook
from .sample_order import CVTIOSeededDataset
from .schedule import CVTIOOneCycleLR
from .train_loop import CVTIOTrainLoop

__all__ = [
    'CVTIOCheckpointHook',
    'CVTIODurableBackend',
    'CVTIOHealthHook',
    'CVTIOInterruptionHook',
    'CVTIOLoggerHook',
    'CVTIOOneCycleLR',
    'CVTIOPlainCheckpointHook',
    'CVTIOSeededDataset',
    'CVTIOTrainLoop',
]
