"""Planar paths parametrised by arc length, for lanes, sidewalks and moving objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Path:
    """A polyline in world metres, addressed by arc length.

    Attributes:
        points: (N, 2), N >= 2, no two neighbours equal.
        s: (N,) arc length of each point; ``s[0] == 0``.
        headings: (N,) unwrapped tangent direction in radians.
    """

    def __init__(self, points: np.ndarray) -> None:
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        points = points[np.concatenate([[True], steps > 1e-6])]
        if len(points) < 2:
            raise ValueError(f'path: expected at least two distinct points, got {points.tolist()}')
        self.points = points
        self.s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        tangents = np.gradient(points, self.s, axis=0)
        self.headings = np.unwrap(np.arctan2(tangents[:, 1], tangents[:, 0]))

    @property
    def length(self) -> float:
        """Metres from the first point to the last."""
        return float(self.s[-1])

    def at(self, s: np.ndarray | float) -> np.ndarray:
        """Poses (…, 3) as (x, y, heading) at arc lengths ``s`` (…), clamped to the path's ends."""
        s = np.asarray(s, dtype=np.float64)
        return np.stack([np.interp(s, self.s, column) for column in (*self.points.T, self.headings)], axis=-1)

    def offset(self, lateral: float) -> Path:
        """The parallel path ``lateral`` metres to the left."""
        return Path(self.beside(lateral))

    def beside(self, lateral: float) -> np.ndarray:
        """Points (N, 2) that lie ``lateral`` metres to the left of the path's own."""
        return self.points + lateral * np.stack([-np.sin(self.headings), np.cos(self.headings)], axis=1)

    def reversed(self) -> Path:
        """The same line in the other direction."""
        return Path(self.points[::-1])

    def between(self, start: float, stop: float) -> Path:
        """The part from arc length ``start`` to ``stop``."""
        inner = self.s[(self.s > start + 1e-6) & (self.s < stop - 1e-6)]
        return Path(self.at(np.concatenate([[start], inner, [stop]]))[:, :2])

    def band(self, right: float, left: float) -> np.ndarray:
        """Outline (2N, 2) of the strip between two lateral offsets, without a closing point."""
        return np.concatenate([self.beside(right), self.beside(left)[::-1]])

    @classmethod
    def joined(cls, paths: Sequence[Path]) -> Path:
        """One path through all ``paths``, each beginning where the one before ends."""
        return cls(np.concatenate([path.points for path in paths]))

    @classmethod
    def bezier(cls, control: np.ndarray, step: float) -> Path:
        """A cubic Bézier curve of ``control`` points (4, 2), sampled about every ``step`` metres."""
        length = np.linalg.norm(np.diff(control, axis=0), axis=1).sum()
        t = np.linspace(0.0, 1.0, max(int(np.ceil(length / step)), 2) + 1)[:, None]
        p0, p1, p2, p3 = control
        return cls((1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * p3)
