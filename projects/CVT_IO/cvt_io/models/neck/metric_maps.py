"""What the parts of ``cvt_io_v3`` look at, worked out beside the forward pass."""

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
    """Where the lift samples for each of P BEV cells: S samples, all heights, cameras and fine cells in it.

    Attributes:
        camera: (b, P, S), number of the camera.
        u: (b, P, S), share of the image's width.
        v: (b, P, S), share of its height.
        weight: (b, P, S), the camera's share times the depth gate, 0 to 1; 0 where there is no such sample.
    """

    camera: Tensor
    u: Tensor
    v: Tensor
    weight: Tensor


def metric_weights(block: LatentBlock, x: Tensor, context: Tensor) -> Tensor:
    """The weights with which a block mixes its values.

    Args:
        block: the attention block.
        x: (b, Q, d), as the block is given it.
        context: (b, K, d).

    Returns:
        (b, m, Q, K), summing to 1 over the last axis.
    """
    query, key = block.queries_and_keys(x, context)
    return (query @ key.transpose(-2, -1)).float().softmax(-1)


def lift_samples(lift: Lift, tokens: Tensor, rig: Rig, cells: tuple[int, int]) -> LiftSamples:
    """The samples of a lift, by cells of a coarser grid.

    Args:
        lift: the lift.
        tokens: (b, n, d, h, w), as it is given them.
        rig: of the n cameras.
        cells: (rows, columns) of the P cells, which divide the lift's.
    """
    found = choose_samples(lift.values(tokens), project_points(lift.points, rig), lift.cameras)
    rows, columns = (fine // coarse for fine, coarse in zip(lift.size, cells, strict=True))

    def by_cell(x: Tensor) -> Tensor:
        x = x.reshape(len(x), cells[0], rows, cells[1], columns, -1)
        return x.transpose(2, 3).flatten(3).flatten(1, 2)

    return LiftSamples(*map(by_cell, (found.camera, found.u, found.v, found.weights.sum(-1))))
