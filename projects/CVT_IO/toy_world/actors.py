"""Objects of a scene and their motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from shapely.affinity import affine_transform
from shapely.geometry import Polygon, box
from shapely.strtree import STRtree

from .catalogue import KINDS, Kind
from .paths import Path

_LATERAL_ACCELERATION = 2.2
_BRAKING = 1.6


@dataclass(eq=False)
class Actor:
    """An object that either stands at a pose or follows a path.

    Attributes:
        kind: category and appearance.
        size: (width, length, height) in metres.
        paint: body colour (R, G, B).
        pose: (x, y, heading) of a static object, else None.
        path: path of the centre of a moving object, else None.
        start: arc length on ``path`` at time 0.
        speed: m/s; cruising speed of traffic, constant speed of walkers.
    """

    kind: Kind
    size: tuple[float, float, float]
    paint: tuple[int, int, int]
    pose: tuple[float, float, float] | None = None
    path: Path | None = None
    start: float = 0.0
    speed: float = 0.0

    @property
    def drives(self) -> bool:
        """Whether it takes part in traffic, where it yields to others."""
        return self.path is not None and self.kind.category.startswith('vehicle')

    @property
    def walks(self) -> bool:
        """Whether it follows its path at constant speed."""
        return self.path is not None and not self.drives

    def walked(self, times: np.ndarray) -> np.ndarray:
        """Poses (T, 3) of a walker at ``times`` (T,) in seconds; it stops at the end of its path."""
        if self.path is None:
            raise ValueError(f'{self.kind.category} has no path to walk')
        return self.path.at(self.start + self.speed * times)


def make_actor(rng: np.random.Generator, category: str, **motion: object) -> Actor:
    """Creates an actor of a category with random size and paint.

    Args:
        rng: random generator for size and paint.
        category: a key of :data:`KINDS`.
        motion: ``pose``, or ``path``, ``start`` and ``speed``.
    """
    kind = KINDS[category]
    width, length, height = (round(float(v * rng.uniform(0.94, 1.06)), 3) for v in kind.size)
    paint = kind.paints[rng.integers(len(kind.paints))]
    return Actor(kind, (width, length, height), paint, **motion)  # type: ignore[arg-type]


def speed_limits(path: Path, cruise: float) -> np.ndarray:
    """Speeds (N,) in m/s at each whole metre of ``path``, limited by its present and upcoming bends."""
    s = np.arange(np.ceil(path.length) + 1)
    bend = np.abs(np.gradient(path.at(s)[:, 2], s))
    limits = np.minimum(cruise, np.sqrt(_LATERAL_ACCELERATION / np.maximum(bend, 1e-3)))
    for k in range(len(limits) - 2, -1, -1):
        limits[k] = min(limits[k], np.sqrt(limits[k + 1] ** 2 + 2 * _BRAKING))
    return limits


def footprint(pose: Sequence[float] | np.ndarray, size: Sequence[float] | np.ndarray) -> Polygon:
    """Outline on the ground of a box at ``pose`` (x, y, heading) with ``size`` (width, length, …)."""
    x, y, heading = pose
    cos, sin = np.cos(heading), np.sin(heading)
    return affine_transform(box(-size[1] / 2, -size[0] / 2, size[1] / 2, size[0] / 2), (cos, -sin, sin, cos, x, y))


def overlaps(poses: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Tests which footprints overlap.

    Args:
        poses: (A, 3) as (x, y, heading).
        sizes: (A, 2) as (width, length).

    Returns:
        (A, A) bool, symmetric, False on the diagonal.
    """
    outlines = [footprint(pose, size) for pose, size in zip(poses, sizes, strict=True)]
    result = np.zeros((len(outlines), len(outlines)), dtype=bool)
    result[tuple(STRtree(outlines).query(outlines, predicate='intersects'))] = True
    np.fill_diagonal(result, False)
    return result
