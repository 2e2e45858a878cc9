"""What training adds to mmengine's Runner."""

from .plain_checkpoint import CVTIOPlainCheckpointHook
from .schedule import CVTIOOneCycleLR
from .train_loop import CVTIOTrainLoop

__all__ = ['CVTIOOneCycleLR', 'CVTIOPlainCheckpointHook', 'CVTIOTrainLoop']
