"""Traffic: vehicles drive along their routes, follow the one ahead, and give way where paths cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .actors import Actor, speed_limits

STEP = 0.2  # seconds
_LOOK = np.arange(0.5, 27.0, 1.25)  # metres ahead of the bumper
_FORESIGHT = (0.8, 1.6)  # seconds
_MAX_ACCELERATION, _COMFORT_BRAKING, _HARD_BRAKING = 1.8, 2.2, 6.0
_HEADWAY, _STANDSTILL = 1.0, 2.0


@dataclass(eq=False)
class Obstacles:
    """Obstacles for traffic: poses (O, 3), (width, length) (O, 2), speeds (O,).

    ``owners`` (O,) is the index of the vehicle that each belongs to, -1 for none. ``heeded_by_all`` (O,) is False for
    predicted footprints, which only vehicles of lower priority (higher index) yield to.
    """

    poses: np.ndarray
    sizes: np.ndarray
    speeds: np.ndarray
    owners: np.ndarray
    heeded_by_all: np.ndarray


def simulate(drivers: Sequence[Actor], walkers: Sequence[Actor], duration: float) -> tuple[np.ndarray, np.ndarray]:
    """Drives all vehicles for ``duration`` seconds; earlier ones have priority over later ones.

    Returns:
        Times (T,) in steps of :data:`STEP`, and arc lengths (T, D) of each driver on its path.
    """
    times = np.arange(0.0, duration + STEP, STEP)
    limits = [speed_limits(driver.path, driver.speed) for driver in drivers]  # type: ignore[arg-type]
    s = np.array([driver.start for driver in drivers])
    v = np.array([0.8 * limit[int(start)] for limit, start in zip(limits, s, strict=True)])
    history = np.empty((len(times), len(drivers)))
    for step, time in enumerate(times):
        history[step] = s
        desired = np.array([limit[min(int(at), len(limit) - 1)] for limit, at in zip(limits, s, strict=True)])
        gap, closing = _gaps(drivers, s, v, _obstacles(drivers, walkers, s, v, time))
        wanted_gap = _STANDSTILL + _HEADWAY * v + v * np.maximum(closing, 0) / (2 * _COMFORT_BRAKING)
        acceleration = _MAX_ACCELERATION * (1 - (v / desired) ** 4 - (wanted_gap / np.maximum(gap, 0.1)) ** 2)
        v = np.maximum(v + STEP * np.clip(acceleration, -_HARD_BRAKING, _MAX_ACCELERATION), 0.0)
        s = s + STEP * v
    return times, history


def _obstacles(
    drivers: Sequence[Actor], walkers: Sequence[Actor], s: np.ndarray, v: np.ndarray, time: float
) -> Obstacles:
    """Current obstacles, and predicted footprints of moving vehicles."""
    ahead = np.array([0.0, *_FORESIGHT])
    poses = np.stack([d.path.at(s[i] + v[i] * ahead) for i, d in enumerate(drivers)], axis=1)  # type: ignore[union-attr]
    sizes = np.array([d.size[:2] for d in drivers])
    index = np.arange(len(drivers))
    strolling = [walker.walked(np.array([time]))[0] for walker in walkers]
    return Obstacles(
        np.concatenate([poses.reshape(-1, 3), np.reshape(strolling, (-1, 3))]),
        np.concatenate([np.tile(sizes, (len(ahead), 1)), np.full((len(walkers), 2), 0.9)]),
        np.concatenate([np.tile(v, len(ahead)), np.zeros(len(walkers))]),
        np.concatenate([np.tile(index, len(ahead)), np.full(len(walkers), -1)]),
        np.concatenate([np.arange(len(ahead) * len(drivers)) < len(drivers), np.ones(len(walkers), dtype=bool)]),
    )


def _gaps(
    drivers: Sequence[Actor], s: np.ndarray, v: np.ndarray, obstacles: Obstacles
) -> tuple[np.ndarray, np.ndarray]:
    """Free metres (D,) ahead of each driver and the speeds (D,) at which it closes them; inf and 0 when free."""
    lengths = np.array([driver.size[1] for driver in drivers])
    widths = np.array([driver.size[0] for driver in drivers])
    route = np.stack([d.path.at(s[i] + lengths[i] / 2 + _LOOK) for i, d in enumerate(drivers)])  # type: ignore[union-attr]
    me = np.arange(len(drivers))[:, None]
    heeded = (obstacles.owners != me) & (obstacles.heeded_by_all | ((obstacles.owners < me) & (obstacles.speeds > 0.5)))
    middle = route[:, len(_LOOK) // 2, :2]
    heeded &= np.linalg.norm(middle[:, None] - obstacles.poses[:, :2], axis=2) < _LOOK[-1] / 2 + 10.0
    driver, obstacle = np.nonzero(heeded)
    poses, sizes = obstacles.poses[obstacle, None], obstacles.sizes[obstacle, None]
    offset = route[driver, :, :2] - poses[..., :2]  # (pairs, L, 2)
    cos, sin = np.cos(poses[..., 2]), np.sin(poses[..., 2])
    along = np.abs(offset[..., 0] * cos + offset[..., 1] * sin)
    across = np.abs(offset[..., 1] * cos - offset[..., 0] * sin)
    hit = (along < sizes[..., 1] / 2 + 0.5) & (across < sizes[..., 0] / 2 + widths[driver, None] / 2 + 0.25)
    gap, closing = np.full(len(drivers), np.inf), np.zeros(len(drivers))
    for pair in np.flatnonzero(hit.any(axis=1)):
        i, look = driver[pair], hit[pair].argmax()
        if _LOOK[look] < gap[i]:
            turn = obstacles.poses[obstacle[pair], 2] - route[i, look, 2]
            gap[i] = _LOOK[look]
            closing[i] = v[i] - obstacles.speeds[obstacle[pair]] * np.cos(turn)
    return gap, closing
