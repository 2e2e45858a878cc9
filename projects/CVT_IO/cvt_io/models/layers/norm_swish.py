"""Fused BatchNorm and swish that saves memory in training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class ConvNormSwish(nn.Module):
    """mmcv's convolution, BatchNorm and swish; in training, the output of the norm is recomputed instead of kept.

    It is the cheapest of the three to recompute, and on a CPU new memory costs more than arithmetic. This applies only
    to plain BatchNorm in training mode on a CPU, whose forward hooks are then not called; other cases run the layers
    one by one.

    Args:
        module: whose convolution and norm are taken over, under the same names.
    """

    def __init__(self, module: ConvModule) -> None:
        super().__init__()
        self.conv = module.conv
        self.bn = module.norm

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (b, C, h, w). Returns: (b, out_channels, h', w')."""
        x, norm = self.conv(x), self.bn
        learns = type(norm) is nn.BatchNorm2d and norm.training and norm.momentum is not None and x.requires_grad
        # A single value per channel has no variance; PyTorch's own layer raises the error.
        if not learns or x.device.type != 'cpu' or x.numel() <= x.shape[1]:
            return F.silu(norm(x), inplace=not x.requires_grad)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        return _NormSwish.apply(x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps)


class _NormSwish(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """Forward pass, including the update of the running statistics."""
        out, mean, inv_std = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, bias, mean, inv_std)
        ctx.eps = eps
        return F.silu(out, inplace=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight and bias."""
        x, weight, bias, mean, inv_std = ctx.saved_tensors
        scale = weight * inv_std
        normed = torch.addcmul((bias - mean * scale)[:, None, None], x, scale[:, None, None]).to(x.dtype)
        grad = torch.ops.aten.silu_backward.grad_input(grad, normed, grad_input=normed)
        gradients = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, inv_std, True, ctx.eps, [True, True, True]
        )
        return *gradients, None, None, None, None
