"""Checkpoints that hold only tensors and plain containers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

_HISTORY = 'cvt_io_history'


@HOOKS.register_module()
class CVTIOPlainCheckpointHook(Hook):
    """Lets mmengine's checkpoints be read with ``torch.load(weights_only=True)``.

    mmengine pickles its log histories, numpy numbers and a scheduler's annealing function as Python objects, which
    PyTorch refuses to load since 2.6. Rather than allow-list them (one of them is ``builtins.getattr``, which lets a
    file reach anything), they are written as plain values and rebuilt on loading.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replaces the objects by plain values."""
        for key in ('meta', 'message_hub', 'param_schedulers'):
            if key in checkpoint:
                checkpoint[key] = _to_plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Rebuilds the log histories; functions are rebuilt with their scheduler, into which its state is merged."""
        scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for key, history in scalars.items():
            if isinstance(history, dict) and _HISTORY in history:
                scalars[key] = HistoryBuffer(*(column.numpy() for column in history[_HISTORY]))


def _to_plain(value: Any) -> Any:
    """The same value without numpy's and mmengine's types, and without functions in dictionaries."""
    if isinstance(value, HistoryBuffer):
        return {_HISTORY: [torch.from_numpy(np.array(column)) for column in value.data]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _to_plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, (list, tuple)):
        return type(value)(_to_plain(item) for item in value)
    return value
