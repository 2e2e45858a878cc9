"""The BEV grid and its view matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class BEVGrid:
    """A raster of ``size`` cells over ``metres`` around the ego vehicle.

    Row 0 is ahead of the ego (+x), column 0 to its left (+y). The ego is at the centre, moved down the rows by
    ``offset``.

    Attributes:
        size: cells (height, width).
        metres: extent (height along ego x, width along ego y) in metres.
        offset: shift of the ego along the rows, as a fraction of the height.

    Raises:
        ValueError: a size or an extent is not positive, or a value is not a finite number.

    Source: Zhou & Krähenbühl, Cross-View Transformers, CVPR 2022, section 3 (BEV grid of 100 m × 100 m).

    Example:
        >>> grid = BEVGrid()
        >>> grid.pixels_from_ego @ [50.0, 50.0, 1.0]
        array([0., 0., 1.])
    """

    size: tuple[int, int] = (200, 200)
    metres: tuple[float, float] = (100.0, 100.0)
    offset: float = 0.0

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, 'size', tuple(int(s) for s in self.size))
            object.__setattr__(self, 'metres', tuple(float(m) for m in self.metres))
            object.__setattr__(self, 'offset', float(self.offset))
        except (TypeError, OverflowError) as error:
            raise ValueError(f'BEV grid: expected numbers, got {self.size!r:.60} and {self.metres!r:.60}') from error
        if len(self.size) != 2 or len(self.metres) != 2 or min(*self.size, *self.metres) <= 0:
            raise ValueError(f'BEV grid: expected two positive sizes and extents, got {self.size} and {self.metres}')
        if not np.isfinite([*self.metres, self.offset]).all():
            raise ValueError(f'BEV grid: expected a finite extent and offset, got {self.metres} and {self.offset}')

    @property
    def pixels_from_ego(self) -> np.ndarray:
        """View matrix (3, 3), float64: homogeneous ego metres (x, y, 1) → BEV pixels (column, row, 1)."""
        (h, w), (h_m, w_m) = self.size, self.metres
        return np.array([[0.0, -w / w_m, w / 2], [-h / h_m, 0.0, h * self.offset + h / 2], [0.0, 0.0, 1.0]])

    @property
    def ego_from_pixels(self) -> np.ndarray:
        """Inverse view matrix (3, 3), float64."""
        return np.linalg.inv(self.pixels_from_ego)

    @property
    def name(self) -> str:
        """Short name for folders, for example ``200x200_100x100m``."""
        offset = f'_offset{self.offset:g}' if self.offset else ''
        return f'{self.size[0]}x{self.size[1]}_{self.metres[0]:g}x{self.metres[1]:g}m{offset}'

    def to_dict(self) -> dict:
        """Plain containers for JSON, read back by :meth:`from_dict`."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, grid: Mapping) -> BEVGrid:
        """Builds a grid from ``dict(size=…, metres=…, offset=…)``.

        Raises:
            ValueError: a key is unknown or a value is invalid.
        """
        unknown = set(grid) - {'size', 'metres', 'offset'}
        if unknown:
            raise ValueError(f'BEV grid: unknown keys {sorted(unknown)}, expected size, metres, offset')
        return cls(**grid)
