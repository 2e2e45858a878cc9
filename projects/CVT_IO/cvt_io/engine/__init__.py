"""What training adds to mmengine's Runner."""

from .cpu_amp import CVTIOCPUAmpOptimWrapper
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
    'CVTIOCPUAmpOptimWrapper',
    'CVTIOCheckpointHook',
    'CVTIOHealthHook',
    'CVTIOInterruptionHook',
    'CVTIOLoggerHook',
    'CVTIOOneCycleLR',
    'CVTIOPlainCheckpointHook',
    'CVTIOTrainLoop',
]
