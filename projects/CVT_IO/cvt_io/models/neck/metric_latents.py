"""The latent array with metric positions: encode → process → decode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from ...geometry import BEVGrid
from ..layers.camera_rays import Rig
from ..layers.latent_block import LatentBlock, LayerScale
from ..layers.metric_cells import MetricPosition, area_means
from ..layers.ray_embedding import RayEmbedding


class MetricLatentArray(nn.Module):
    """N×N latents that tile the BEV grid, initialised from their position and the lifted features there.

    Args:
        dim: channels d.
        grid: the full BEV grid.
        size: latents (rows, columns).
        lift_channels: channels of the lifted BEV features; 0 for none.
        lift_size: cells (height, width) of the lifted features.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self, dim: int, grid: BEVGrid, size: tuple[int, int], lift_channels: int, lift_size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.position = MetricPosition(dim, grid, size)
        self.from_lift = nn.Linear(lift_channels, dim) if lift_channels else None
        # Adaptive pooling as two matrix products, which all runtimes support.
        self.register_buffer('rows', area_means(lift_size[0], size[0]), persistent=False)
        self.register_buffer('columns', area_means(lift_size[1], size[1]).T.contiguous(), persistent=False)

    def forward(self, batch_size: int, lifted: Tensor | None) -> Tensor:
        """Args: batch size; lifted (b, C, h, w). Returns: (b, N·N, d)."""
        latents = self.position().flatten(1).T.expand(batch_size, -1, -1)
        if self.from_lift is None or lifted is None:
            return latents
        pooled = self.rows.to(lifted.dtype) @ lifted @ self.columns.to(lifted.dtype)
        return latents + self.from_lift(pooled.flatten(2).transpose(1, 2))


class MetricEncode(nn.Module):
    """The latents attend to the tokens of all cameras once.

    Args:
        dim: channels d.
        heads: attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.rays = RayEmbedding(dim)
        self.block = LatentBlock(dim, heads)
        self.scale = LayerScale(dim)

    def forward(self, latents: Tensor, tokens: Tensor, rig: Rig) -> Tensor:
        """Args: latents (b, N·N, d); tokens (b, n, d, h, w); rig. Returns: (b, N·N, d)."""
        rays = self.rays(rig, (tokens.shape[-2], tokens.shape[-1]))
        context = (tokens.flatten(3).transpose(2, 3) + rays).flatten(1, 2)  # b n·h·w d
        (scales,) = self.scale()
        return self.block(latents, context, scales)


class MetricProcess(nn.Module):
    """Self-attention among the latents, ``depth`` times, with a separate LayerScale for each pass.

    Args:
        dim: channels d.
        depth: number L of passes.
        shared: whether all passes share their weights.
        heads: attention heads.
    """

    def __init__(self, dim: int, depth: int, shared: bool, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(LatentBlock(dim, heads) for _ in range(1 if shared else depth))
        self.scale = LayerScale(dim, depth)

    def forward(self, latents: Tensor) -> Tensor:
        """Args: latents (b, N·N, d). Returns: the same shape."""
        blocks = list(cast(Iterable[LatentBlock], self.blocks))
        for i, scales in enumerate(self.scale()):
            latents = blocks[i % len(blocks)](latents, latents, scales)
        return latents


class MetricDecode(nn.Module):
    """The BEV cells attend to the latents once.

    Args:
        dim: channels d.
        heads: attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.block = LatentBlock(dim, heads)
        self.scale = LayerScale(dim, initial=1.0)

    def forward(self, bev: Tensor, latents: Tensor) -> Tensor:
        """Args: bev (b, d, h, w), the queries; latents (b, N·N, d). Returns: (b, d, h, w)."""
        (scales,) = self.scale()
        read = self.block(bev.flatten(2).transpose(1, 2), latents, scales)
        return read.transpose(1, 2).unflatten(2, bev.shape[-2:])
