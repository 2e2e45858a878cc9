"""The attention block of encode, process and decode."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .joint_attention import joint_attention


class CrossAttention(nn.Module):
    """Multi-head attention from a query grid to the tokens of several cameras, followed by a post-norm MLP.

    Queries of camera i are matched with keys of camera i, and a single softmax runs over the keys of all cameras, so
    the cameras compete for each query position. A camera axis of length 1 is shared by all cameras.

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
        """Applies attention and MLP.

        Args:
            query: (b, n or 1, d, H, W).
            key: (b, n or 1, d, h, w).
            value: (b, n or 1, d, h, w).
            skip: (b, d, H, W), added to the output of the attention if given.

        Returns:
            (b, d, H, W).
        """
        attended = joint_attention(
            self.split_heads(self.to_q(tokens_of(query))),
            self.split_heads(self.to_k(tokens_of(key))),
            self.split_heads(self.to_v(tokens_of(value))),
        )
        height, width = query.shape[-2:]
        return self.refine(attended, (height, width), skip)

    def split_heads(self, x: Tensor) -> Tensor:
        """(…, T, m·c) → (…, m, T, c)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    def refine(self, attended: Tensor, grid: tuple[int, int], skip: Tensor | None) -> Tensor:
        """Output projection, skip connection and MLP.

        Args:
            attended: (b, m, Q, c) with Q = H·W.
            grid: (H, W).
            skip: (b, d, H, W), or None.

        Returns:
            (b, d, H, W).
        """
        z = self.proj(attended.transpose(1, 2).flatten(2))  # b Q d
        if skip is not None:
            z = z + tokens_of(skip)
        z = self.prenorm(z)
        z = self.postnorm(z + self.mlp(z))
        return z.transpose(1, 2).unflatten(2, grid)


def tokens_of(grid: Tensor) -> Tensor:
    """(…, d, H, W) → (…, H·W, d)."""
    return grid.flatten(-2).transpose(-2, -1)


def unit_channels(x: Tensor, dim: int = -3) -> Tensor:
    """Divides by the L2 norm over the channel axis (plus 1e-7)."""
    return x / (torch.linalg.vector_norm(x, dim=dim, keepdim=True) + 1e-7)
