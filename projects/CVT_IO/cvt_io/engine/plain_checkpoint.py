"""Checkpoints of nothing but tensors and plain containers."""

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

    mmengine pickles its log histories and a scheduler's annealing function as Python objects, which PyTorch refuses to
    load since 2.6. Rather than allow-list them (one of them is ``builtins.getattr``, which lets a file reach anything),
    they are written as plain values and rebuilt on loading.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replaces the objects by plain values."""
        for schedulers in _scheduler_lists(checkpoint):
            # Functions are rebuilt with their scheduler; a state is merged into it on loading.
            schedulers[:] = [{k: v for k, v in state.items() if not callable(v)} for state in schedulers]
        scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for key, history in scalars.items():
            values, counts = history.data
            scalars[key] = {_HISTORY: [torch.from_numpy(np.asarray(x)) for x in (values, counts)]}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Rebuilds the log histories."""
        scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for key, history in scalars.items():
            if isinstance(history, dict) and _HISTORY in history:
                values, counts = (x.numpy() for x in history[_HISTORY])
                scalars[key] = HistoryBuffer(values, counts)


def _scheduler_lists(checkpoint: dict) -> list[list[dict[str, Any]]]:
    """The lists of scheduler states: one, or one for each optimizer."""
    states = checkpoint.get('param_schedulers', [])
    return [*states.values()] if isinstance(states, dict) else [states]
