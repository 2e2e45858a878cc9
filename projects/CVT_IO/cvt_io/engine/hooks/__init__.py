"""Hooks: checkpoints, logs, interruption, broken frames, health."""

from .broken_frames import CVTIOBrokenFramesHook
from .checkpoint import CVTIOCheckpointHook
from .health.hook import CVTIOHealthHook
from .interruption import CVTIOInterruptionHook
from .logger import CVTIOLoggerHook
from .plain_checkpoint import CVTIOPlainCheckpointHook

__all__ = [
    'CVTIOBrokenFramesHook',
    'CVTIOCheckpointHook',
    'CVTIOHealthHook',
    'CVTIOInterruptionHook',
    'CVTIOLoggerHook',
    'CVTIOPlainCheckpointHook',
]
