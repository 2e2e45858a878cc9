"""Mixed precision without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet3d.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CVTIOCPUAmpOptimWrapper(OptimWrapper):
    """Autocasts the forward pass to bfloat16 on the CPU, for which mmengine's ``AmpOptimWrapper`` needs a GPU.

    bfloat16 has the range of float32, so that the loss needs no scaling.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of a forward pass."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
