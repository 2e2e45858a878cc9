"""Attention and sampling maps of ``cvt_io_v3``, computed separately from the forward pass."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..layers.anchored_sum import choose_samples
from ..layers.camera_rays import Rig
from ..layers.latent_block import LatentBlock
from ..layers.projection import project_points
from .lift import Lift


@dataclass(frozen=True)
class LiftSamples:
    """Samples of the lift for each of P BEV cells: S samples over heights, cameras and the fine cells inside.

    Attributes:
        camera: (b, P, S), index of the camera.
        u: (b, P, S), horizontal position, as a fraction of the width.
        v: (b, P, S), vertical position, as a fraction of the height.
        weight: (b, P, S), weight of the camera times the depth gate, in [0, 1]; 0 for non-existent samples.
    """

    camera: Tensor
    u: Tensor
    v: Tensor
    weight: Tensor


def metric_weights(block: LatentBlock, x: Tensor, context: Tensor) -> Tensor:
    """Attention weights of a block.

    Args:
        block: the attention block.
        x: (b, Q, d), as passed to the block.
        context: (b, K, d).

    Returns:
        (b, m, Q, K), summing to 1 over the last axis.
    """
    query, key = block.queries_and_keys(x, context)
    return (query @ key.transpose(-2, -1)).float().softmax(-1)


def lift_samples(lift: Lift, tokens: Tensor, rig: Rig, cells: tuple[int, int]) -> LiftSamples:
    """Samples of a lift, grouped by the cells of a coarser grid.

    Args:
        lift: the lift.
        tokens: (b, n, d, h, w), as passed to the lift.
        rig: calibration of the n cameras.
        cells: (rows, columns) of the P cells, which divide those of the lift.
    """
    found = choose_samples(lift.values(tokens), project_points(lift.points, rig), lift.cameras)
    rows, columns = (fine // coarse for fine, coarse in zip(lift.size, cells, strict=True))

    def by_cell(x: Tensor) -> Tensor:
        x = x.reshape(len(x), cells[0], rows, cells[1], columns, -1)
        return x.transpose(2, 3).flatten(3).flatten(1, 2)

    return LiftSamples(*map(by_cell, (found.camera, found.u, found.v, found.weights.sum(-1))))
