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
    """What is sampled.

    Attributes:
        value: (b, n, h, w, Z, c), of each token a slice for each height.
        depth: (b, n, h, w, Z, 2), mean and log-spread of the log-depth that the token expects at each height, or
            ``None`` for no gate.
    """

    value: Tensor
    depth: Tensor | None


@dataclass(frozen=True)
class Samples:
    """What is read for each point: k samples, of four tokens each; those that do not exist have weight 0.

    Attributes:
        camera: (b, P, k), number of the camera.
        u: (b, P, k), share of the image's width.
        v: (b, P, k), share of its height.
        rows: (b, P, k, 4), rows of the value map, flattened to (b·n·h·w·Z, c).
        weights: (b, P, k, 4).
    """

    camera: Tensor
    u: Tensor
    v: Tensor
    rows: Tensor
    weights: Tensor


def anchored_sum(values: ValueMap, points: Projection, cameras: int) -> Tensor:
    """For each cell, the sum over its heights of what the first cameras that see the point have there.

    The cameras of a point share its weight evenly. A sample is bilinear between tokens (the outermost go on to the
    image's border), each of which is weighted by its gate exp(−½((log depth − mean) / spread)²).

    Args:
        values: see there.
        points: of cells·Z points, cell by cell.
        cameras: of the cameras that see a point, so many count, in their order.

    Returns:
        (b, cells, c) of the values' type; 0 where no camera sees any of the points.
    """
    if torch.compiler.is_compiling() or is_plain():
        return _dense(values, choose_samples(values, points, cameras))
    return _sparse(values, points, cameras)


def _sparse(values: ValueMap, points: Projection, cameras: int) -> Tensor:
    """Looks only at samples that count."""
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
    """Looks at as many samples of each cell, in operators that every device and runtime has."""
    heights = values.value.shape[4]
    batch, points, _ = samples.camera.shape
    found = values.value.flatten(0, 4).index_select(0, samples.rows.flatten())
    weights = samples.weights.to(found.dtype).view(batch, points // heights, 1, -1)  # b cells 1 Z·k·4
    return (weights @ found.view(batch, points // heights, -1, found.shape[-1]))[:, :, 0]


def choose_samples(values: ValueMap, points: Projection, cameras: int) -> Samples:
    """The samples that :func:`anchored_sum` adds up, in its arguments."""
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
    """Weight of each camera that counts for a point, float32 (b, P, 1)."""
    return 1 / seen.sum(2, keepdim=True).clamp(1, cameras).float()


def _taps(
    values: ValueMap, image: Tensor, height: Tensor, u: Tensor, v: Tensor, depth: Tensor
) -> tuple[Tensor, Tensor]:
    """The four tokens around each position, and their weights.

    Args:
        values: see there.
        image: (…), number among the batch's b·n images.
        height: (…), number of the height.
        u: (…), share of the image's width.
        v: (…), share of its height.
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
