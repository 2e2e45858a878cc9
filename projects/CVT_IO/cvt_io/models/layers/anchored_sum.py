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
    order = points.seen.cumsum(2)
    chosen = points.seen & (order <= cameras)
    share = 1 / chosen.sum(2, keepdim=True).clamp(min=1).to(points.depth.dtype)  # b cells·Z 1
    if torch.compiler.is_compiling() or is_plain():
        return _dense(values, points, order * chosen, share, min(cameras, chosen.shape[2]))
    return _sparse(values, points, chosen, share)


def _sparse(values: ValueMap, points: Projection, chosen: Tensor, share: Tensor) -> Tensor:
    """Looks only at samples that count."""
    batch, count, n = chosen.shape
    heights = values.value.shape[4]
    index = chosen.flatten().nonzero()[:, 0]  # sorted: cell by cell
    point = index // n
    image = point // count * n + index % n
    height = point % heights
    places = (places.flatten()[index] for places in (points.u, points.v, points.depth))
    rows, weights = _taps(values, image, height, *places)
    weights = weights * share.flatten()[point, None]
    taps = 4 * chosen.view(batch, -1, heights * n).sum(2).flatten()
    offsets = taps.cumsum(0) - taps
    rows_of = values.value.flatten(0, 4)
    weights = weights.to(rows_of.dtype).flatten()
    out = F.embedding_bag(rows.flatten(), rows_of, offsets, mode='sum', per_sample_weights=weights)
    return out.unflatten(0, (batch, -1))


def _dense(values: ValueMap, points: Projection, order: Tensor, share: Tensor, cameras: int) -> Tensor:
    """Looks at as many samples of each cell, in operators that every device and runtime has."""
    batch, count, n = order.shape
    heights = values.value.shape[4]
    ranks = torch.arange(1, cameras + 1, device=order.device)
    at_rank = order[..., None, :] == ranks[:, None]  # b cells·Z k n
    camera = at_rank.to(torch.uint8).argmax(-1)  # b cells·Z k
    image = camera + n * torch.arange(batch, device=camera.device)[:, None, None]
    height = (torch.arange(count, device=camera.device) % heights)[None, :, None].expand_as(camera)
    places = (places.gather(2, camera) for places in (points.u, points.v, points.depth))
    rows, weights = _taps(values, image, height, *places)
    weights = weights * (at_rank.any(-1) * share)[..., None]
    samples = values.value.flatten(0, 4).index_select(0, rows.flatten())
    weights = weights.to(samples.dtype).view(batch, count // heights, 1, -1)  # b cells 1 Z·k·4
    return (weights @ samples.view(batch, count // heights, -1, samples.shape[-1]))[:, :, 0]


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
