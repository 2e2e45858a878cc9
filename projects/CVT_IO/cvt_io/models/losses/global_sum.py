"""Differentiable sums over all processes."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def global_sum_and_count(values: Tensor) -> tuple[Tensor, Tensor | int]:
    """Sum and number of values over all processes; their quotient is the global mean.

    ``DistributedDataParallel`` averages gradients over the processes, so the gradient of the sum is multiplied by the
    world size. The result is the gradient of a single process that holds all values. This is a collective operation; a
    process may hold no values.

    Args:
        values: values of this process, of any shape.

    Returns:
        The sum, a scalar of the same dtype and equal on all processes, and the number, at least 1.
    """
    total, count = values.sum(), values.numel()
    if get_world_size() == 1:
        return total, max(count, 1)
    return _GlobalSum.apply(total, count)


class _GlobalSum(torch.autograd.Function):
    """All-reduces (sum, count) in one message."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, count: int) -> tuple[Tensor, Tensor]:
        both = torch.stack([total.double(), total.new_tensor(count, dtype=torch.double)])  # exact for large counts
        all_reduce(both)
        totals, counts = both.to(total.dtype).unbind()
        counts = counts.clamp(min=1)
        ctx.mark_non_differentiable(counts)
        return totals.clone(), counts

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * get_world_size(), None
