"""Attention with a single softmax over the keys of several cameras."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .plain import is_plain

# Private operators, which another release of PyTorch may lack.
_flash: Any = getattr(torch.ops.aten, '_scaled_dot_product_flash_attention_for_cpu', None)
_flash_backward: Any = getattr(torch.ops.aten, '_scaled_dot_product_flash_attention_for_cpu_backward', None)


def joint_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Matches queries of camera i with keys of camera i, with a single softmax over the keys of all cameras.

    Args:
        query: (b, n or 1, m, Q, c).
        key: (b, n or 1, m, K, c).
        value: as ``key``.

    Returns:
        (b, m, Q, c).
    """
    if query.shape[1] == 1:  # queries shared by all cameras: plain attention to all tokens
        return F.scaled_dot_product_attention(query[:, 0], merge_cameras(key), merge_cameras(value))
    if key.shape[1] == 1:  # few latents, shared by all cameras
        return _shares(query, key).sum(1) @ value[:, 0]
    has_operators = _flash is not None and _flash_backward is not None
    if query.device.type == 'cpu' and has_operators and not (torch.compiler.is_compiling() or is_plain()):
        return _BlockAttention.apply(query, key, value)
    return _camera_by_camera(query, key, value)


def merge_cameras(x: Tensor) -> Tensor:
    """(b, n, m, K, c) → (b, m, n·K, c)."""
    return x.transpose(1, 2).flatten(2, 3)


def _shares(query: Tensor, key: Tensor) -> Tensor:
    """Attention weights (b, n, m, Q, K), summing to 1 over n and K."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    shares = scores.permute(0, 2, 3, 1, 4).flatten(3).softmax(-1)  # b m Q n·K
    return shares.unflatten(-1, (query.shape[1], -1)).permute(0, 3, 1, 2, 4)


def _camera_by_camera(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Equivalent of :class:`_BlockAttention` in standard operators, for other devices and for export."""
    outputs, log_sums = [], []
    for q, k, v in zip(query.unbind(1), key.unbind(1), value.unbind(1), strict=True):
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # b m Q K
        log_sums.append(scores.logsumexp(-1, keepdim=True))
        outputs.append((scores - log_sums[-1]).exp() @ v)
    return (torch.stack(outputs) * torch.stack(log_sums).softmax(0)).sum(0).to(query.dtype)


class _BlockAttention(torch.autograd.Function):
    """The joint softmax, camera by camera, without storing the scores.

    Each camera's attention also returns the log-denominator of its softmax, which gives the camera's weight in the
    joint softmax. The backward pass of a block needs only the joint output and the joint denominator.

    Source: Dao et al., FlashAttention, NeurIPS 2022, section 3.1 and appendix B.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Shapes as in :func:`joint_attention`, with n cameras each."""
        blocks = [x.flatten(0, 1) for x in (query, key, value)]
        out, log_sum = (x.unflatten(0, query.shape[:2]) for x in _flash(*blocks))  # b n m Q c, b n m Q
        joint_log_sum = log_sum.logsumexp(1, keepdim=True)
        joint = (out * (log_sum - joint_log_sum).exp().unsqueeze(-1)).sum(1)
        joint = joint.to(query.dtype)  # the log-denominators are at least float32
        ctx.save_for_backward(query, key, value, joint, joint_log_sum)
        return joint

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """Gradients of query, key and value."""
        query, key, value, joint, joint_log_sum = ctx.saved_tensors
        cameras = query.shape[1]
        grad, joint = (x[:, None].expand(-1, cameras, -1, -1, -1).flatten(0, 1) for x in (grad, joint))
        log_sum = joint_log_sum.expand(-1, cameras, -1, -1).flatten(0, 1)
        blocks = [x.flatten(0, 1) for x in (query, key, value)]
        gradients = _flash_backward(grad, *blocks, joint, log_sum, 0.0, False)
        return tuple(x.unflatten(0, query.shape[:2]) for x in gradients)
