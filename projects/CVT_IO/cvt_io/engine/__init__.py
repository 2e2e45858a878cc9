"""What training adds to mmengine's Runner."""

from .hooks import (
    CVTIOBrokenFramesHook,
    CVTIOCheckpointHook,
    CVTIOHealthHook,
    CVTIOInterruptionHook,
    CVTIOLoggerHook,
    CVTIOPlainCheckpointHook,
)
from .schedule import CVTIOOneCycleLR
from .train_loop import CVTIOTrainLoop

__all__ = [
    'CVTIOBrokenFramesHook',
    'CVTIOCheckpointHook',
    'CVTIOHealthHook',
    'CVTIOInterruptionHook',
    'CVTIOLoggerHook',
    'CVTIOOneCycleLR',
    'CVTIOPlainCheckpointHook',
    'CVTIOTrainLoop',
]
