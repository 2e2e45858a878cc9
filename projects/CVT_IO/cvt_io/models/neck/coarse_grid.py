"""The coarse BEV grid of the necks."""

from __future__ import annotations

from ...geometry import BEVGrid


def coarse_size(grid: BEVGrid, downsample: int) -> tuple[int, int]:
    """Cells (height, width) of the coarse grid.

    Raises:
        ValueError: ``downsample`` does not divide the grid.
    """
    height, width = grid.size
    if height % downsample or width % downsample:
        raise ValueError(f'bev_grid.size {grid.size}: expected multiples of downsample={downsample}')
    return height // downsample, width // downsample
