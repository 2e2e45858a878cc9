"""Sums of image samples at projected points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .plain import is_plain
from .projection import Projection


@dataclass(frozen=True)
class ValueMap:
    """Token maps to sample from.

    Attributes:
        value: (b, n, h, w, Z, c), a slice per height for each token.
        depth: (b, n, h, w, Z, 2), mean and log-spread of the log-depth that a token expects at each height, or
            ``None`` for no gate.
    """

    value: Tensor
    depth: Tensor | None


@dataclass(frozen=True)
class Samples:
    """Samples of each point: k samples of four tokens each; non-existent ones have weight 0.

    Attributes:
        camera: (b, P, k), index of the camera.
        u: (b, P, k), horizontal image position, as a fraction of the width.
        v: (b, P, k), vertical image position, as a fraction of the height.
        rows: (b, P, k, 4), rows of the value map, flattened to (b·n·h·w·Z, c).
        weights: (b, P, k, 4).
    """

    camera: Tensor
    u: Tensor
    v: Tensor
    rows: Tensor
    weights: Tensor


def anchored_sum(values: ValueMap, points: Projection, cameras: int) -> Tensor:
    """Samples the cameras at the points of each cell and sums over heights and cameras.

    The cameras of a point are weighted equally. Sampling is bilinear between tokens, with the outermost extended to the
    image border, and each token is weighted by its gate exp(−½((log depth − mean) / spread)²).

    Args:
        values: token maps.
        points: projections of cells·Z points, cell by cell.
        cameras: maximum number of cameras per point; the first ones that see it are used.

    Returns:
        (b, cells, c) with the dtype of the values; 0 where no camera sees any of the points.
    """
    if torch.compiler.is_compiling() or is_plain():
        return _dense(values, choose_samples(values, points, cameras))
    return _sparse(values, points, cameras)


def _sparse(values: ValueMap, points: Projection, cameras: int) -> Tensor:
    """Computes only existing samples."""
    chosen = points.seen & (points.seen.cumsum(2) <= cameras)
    batch, count, n = chosen.shape
    heights = values.value.shape[4]
    index = chosen.flatten().nonzero()[:, 0]  # sorted: cell by cell
    point = index // n
    image = point // count * n + index % n
    height = point % heights
    places = (places.flatten()[index] for places in (points.u, points.v, points.depth))
    rows, weights = _taps(values, image, height, *places)
    weights = weights * _share(points.seen, cameras).flatten()[point, None]
    taps = 4 * chosen.view(batch, -1, heights * n).sum(2).flatten()
    offsets = taps.cumsum(0) - taps
    rows_of = values.value.flatten(0, 4)
    weights = weights.to(rows_of.dtype).flatten()
    out = F.embedding_bag(rows.flatten(), rows_of, offsets, mode='sum', per_sample_weights=weights)
    return out.unflatten(0, (batch, -1))


def _dense(values: ValueMap, samples: Samples) -> Tensor:
    """Computes the same number of samples for each cell, with standard operators for all devices and for export.

    An exported graph skips cells that no second camera sees, which are most of them.
    """
    heights = values.value.shape[4]
    batch, points, cameras, _ = samples.rows.shape
    rows, weights = (x.view(batch * (points // heights), heights, cameras, 4) for x in (samples.rows, samples.weights))
    out = _weighted_sum(values, rows[:, :, 0].flatten(1), weights[:, :, 0].flatten(1))
    for rank in range(1, cameras):
        of_rank = rows[:, :, rank].flatten(1), weights[:, :, rank].flatten(1)
        if torch.compiler.is_compiling():
            cells = (of_rank[1] > 0).any(1).nonzero()[:, 0]
            part = _weighted_sum(values, of_rank[0].index_select(0, cells), of_rank[1].index_select(0, cells))
            out = out.index_add(0, cells, part)
        else:
            out = out + _weighted_sum(values, *of_rank)
    return out.unflatten(0, (batch, -1))


def _weighted_sum(values: ValueMap, rows: Tensor, weights: Tensor) -> Tensor:
    """Args: rows of the value map and weights, each (cells, samples). Returns: (cells, c)."""
    found = values.value.flatten(0, 4).index_select(0, rows.flatten()).unflatten(0, rows.shape)
    return (weights.to(found.dtype)[:, None] @ found)[:, 0]


def choose_samples(values: ValueMap, points: Projection, cameras: int) -> Samples:
    """The samples that :func:`anchored_sum` adds up; same arguments."""
    batch, count, n = points.seen.shape
    order = points.seen.cumsum(2) * points.seen  # 1 for the first camera that sees a point, and so on
    ranks = torch.arange(1, cameras + 1, device=order.device)
    at_rank = order[..., None, :] == ranks[:, None]  # b cells·Z k n
    camera = at_rank.to(torch.uint8).argmax(-1)  # b cells·Z k
    image = camera + n * torch.arange(batch, device=camera.device)[:, None, None]
    heights = values.value.shape[4]
    height = (torch.arange(count, device=camera.device) % heights)[None, :, None].expand_as(camera)
    u, v, depth = (places.gather(2, camera) for places in (points.u, points.v, points.depth))
    rows, weights = _taps(values, image, height, u, v, depth)
    weights = weights * (at_rank.any(-1) * _share(points.seen, cameras))[..., None]
    return Samples(camera, u, v, rows, weights)


def _share(seen: Tensor, cameras: int) -> Tensor:
    """Weight of each camera used for a point, float32 (b, P, 1)."""
    return 1 / seen.sum(2, keepdim=True).clamp(1, cameras).float()


def _taps(
    values: ValueMap, image: Tensor, height: Tensor, u: Tensor, v: Tensor, depth: Tensor
) -> tuple[Tensor, Tensor]:
    """The four tokens around each position, and their weights.

    Args:
        values: token maps.
        image: (…), index among the b·n images of the batch.
        height: (…), index of the height.
        u: (…), horizontal position, as a fraction of the width.
        v: (…), vertical position, as a fraction of the height.
        depth: (…) metres.

    Returns:
        Rows of ``values.value``, flattened to (b·n·h·w·Z, c), and weights; each (…, 4).
    """
    rows, columns, heights = values.value.shape[2:5]
    x = (u * columns - 0.5).clamp(0, columns - 1)
    y = (v * rows - 0.5).clamp(0, rows - 1)
    left, top = x.floor(), y.floor()
    x, y = x - left, y - top  # shares of the right and the lower token
    left, top = left.long(), top.long()
    right, bottom = (left + 1).clamp(max=columns - 1), (top + 1).clamp(max=rows - 1)
    top, bottom = (image * rows + top) * columns, (image * rows + bottom) * columns
    token = torch.stack([top + left, top + right, bottom + left, bottom + right], -1)
    weights = torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], -1)
    index = token * heights + height[..., None]
    if values.depth is not None:
        expected = values.depth.flatten(0, 4).index_select(0, index.flatten())
        mean, log_spread = expected.view(*index.shape, 2).unbind(-1)
        off = (depth.log()[..., None] - mean) * (-log_spread).exp()
        weights = weights * (-0.5 * off.square()).exp()
    return index, weights
