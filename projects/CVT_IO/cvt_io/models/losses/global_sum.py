"""Sums over all processes."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def global_sum_and_count(values: Tensor) -> tuple[Tensor, Tensor | int]:
    """Sum and number of the values that all processes hold together; their quotient is a mean over all of them.

    The gradient of the sum counts world-size times, as ``DistributedDataParallel`` averages over the processes: what it
    arrives at is the gradient of one process that holds all values. All processes must call this together; a process
    may hold no value at all.

    Args:
        values: any shape, of this process.

    Returns:
        The sum, a scalar of the values' type, the same on each process; and the number, which is at least 1.
    """
    total, count = values.sum(), values.numel()
    if get_world_size() == 1:
        return total, max(count, 1)
    return _GlobalSum.apply(total, count)


class _GlobalSum(torch.autograd.Function):
    """(sum, count) of this process → those of all processes, in one message."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, count: int) -> tuple[Tensor, Tensor]:
        both = torch.stack([total.double(), total.new_tensor(count, dtype=torch.double)])  # float loses large counts
        all_reduce(both)
        totals, counts = both.to(total.dtype).unbind()
        counts = counts.clamp(min=1)
        ctx.mark_non_differentiable(counts)
        return totals.clone(), counts

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * get_world_size(), None
