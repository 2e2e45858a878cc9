"""The attention block that encode, process and decode share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Multi-head attention from a query grid to the tokens of several cameras, followed by a post-norm MLP.

    Camera i's queries meet camera i's keys; one softmax runs over the keys of all cameras together, so the cameras
    compete for each query position. A camera axis of length 1 stands for "the same for every camera".

    Args:
        dim: channels d of queries, keys, values and output.
        heads: attention heads m.
        head_dim: channels c per head.

    Source: Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 3.2.

    Shapes: b batch, n cameras, d channels, (H, W) query grid, (h, w) token grid.
    """

    def __init__(self, dim: int, heads: int = 4, head_dim: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, heads * head_dim))
        self.to_k = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, heads * head_dim))
        self.to_v = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, heads * head_dim))
        self.proj = nn.Linear(heads * head_dim, dim)
        self.prenorm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.postnorm = nn.LayerNorm(dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, skip: Tensor | None = None) -> Tensor:
        """Attends and refines.

        Args:
            query: (b, n or 1, d, H, W).
            key: (b, n or 1, d, h, w).
            value: as ``key``.
            skip: (b, d, H, W), added to the attention's output when given.

        Returns:
            (b, d, H, W).
        """
        grid = query.shape[-2:]
        attended = joint_attention(
            self._split_heads(self.to_q(_tokens(query))),
            self._split_heads(self.to_k(_tokens(key))),
            self._split_heads(self.to_v(_tokens(value))),
        )  # b m Q c
        z = self.proj(attended.transpose(1, 2).flatten(2))  # b Q d
        if skip is not None:
            z = z + _tokens(skip)
        z = self.prenorm(z)
        z = self.postnorm(z + self.mlp(z))
        return z.transpose(1, 2).unflatten(2, grid)

    def _split_heads(self, x: Tensor) -> Tensor:
        """(b, n, T, m·c) → (b, n, m, T, c)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


def _tokens(grid: Tensor) -> Tensor:
    """(…, d, H, W) → (…, H·W, d)."""
    return grid.flatten(-2).transpose(-2, -1)


def joint_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention with per-camera scores and one softmax over the keys of all cameras.

    Args:
        query: (b, n or 1, m, Q, c).
        key: (b, n or 1, m, K, c).
        value: as ``key``.

    Returns:
        (b, m, Q, c).
    """
    if query.shape[1] == 1:  # queries that no camera tells apart: plain attention to all tokens
        return F.scaled_dot_product_attention(query[:, 0], _merge_cameras(key), _merge_cameras(value))
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5  # b n m Q K
    weights = scores.permute(0, 2, 3, 1, 4).flatten(3).softmax(-1)  # b m Q n·K
    return weights @ _merge_cameras(value.expand(-1, query.shape[1], -1, -1, -1))


def _merge_cameras(x: Tensor) -> Tensor:
    """(b, n, m, K, c) → (b, m, n·K, c)."""
    return x.transpose(1, 2).flatten(2, 3)


def unit_channels(x: Tensor, dim: int = -3) -> Tensor:
    """Divides by the L2 norm over the channel axis (plus 1e-7)."""
    return x / (torch.linalg.vector_norm(x, dim=dim, keepdim=True) + 1e-7)
