"""Road markings and strips along roads, used for both the map's records and the rendered ground."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .paths import Path
from .roads import CROSSING, LANE_WIDTH, PARKING_WIDTH, STOP_LINE, Road


def road_dividers(road: Road) -> list[np.ndarray]:
    """Lines (N, 2) that separate the two directions: the middle line, or both edges of the median."""
    laterals = [-road.median / 2, road.median / 2] if road.median else [0.0]
    return [road.centre.beside(lateral) for lateral in laterals]


def lane_dividers(road: Road) -> list[tuple[np.ndarray, str]]:
    """Lines (N, 2) beside lanes of one direction with nuScenes' segment type: dashed between lanes, else solid."""
    dividers = []
    for level in range(1, road.lanes + 1):
        lateral = road.median / 2 + level * LANE_WIDTH
        kind = 'DASHED_SEGMENT_WHITE' if level < road.lanes else 'SINGLE_SOLID_WHITE'
        dividers += [(road.centre.beside(sign * lateral), kind) for sign in (-1, 1)]
    return dividers


def crossings(road: Road) -> list[np.ndarray]:
    """Outlines (N, 2) of the zebra crossings near both ends."""
    return [part.band(-road.kerb, road.kerb) for part in _near_ends(road, *CROSSING)]


def zebra_stripes(road: Road) -> Iterator[np.ndarray]:
    """Outlines (4, 2) of the white stripes of both crossings, parallel to the road."""
    for part in _near_ends(road, *CROSSING):
        for lateral in np.arange(-road.kerb + 0.4, road.kerb - 0.6, 1.1):
            yield part.band(lateral, lateral + 0.55)


def stop_lines(road: Road, side: int) -> list[np.ndarray]:
    """Outlines (N, 2) of the stop lines, one for each direction's lanes, at the end that direction reaches."""
    at_start, at_end = _near_ends(road, *STOP_LINE)
    return _directions(at_end, at_start, side, road.median / 2, road.kerb - PARKING_WIDTH)


def parking_strips(road: Road) -> list[np.ndarray]:
    """Outlines (N, 2) of the parking strips on both sides, clear of the crossings."""
    middle = road.centre.between(STOP_LINE[1], road.centre.length - STOP_LINE[1])
    return _directions(middle, middle, 1, road.kerb - PARKING_WIDTH, road.kerb)


def direction_halves(road: Road, side: int) -> list[np.ndarray]:
    """Outlines (N, 2) of the carriageways: along the road's direction first, then against it."""
    return _directions(road.centre, road.centre, side, road.median / 2, road.kerb)


def _directions(along: Path, against: Path, side: int, inner: float, outer: float) -> list[np.ndarray]:
    """Strips between two distances from the middle line, for traffic along the road and against it."""
    return [along.band(*sorted((-side * inner, -side * outer))), against.band(*sorted((side * inner, side * outer)))]


def _near_ends(road: Road, near: float, far: float) -> tuple[Path, Path]:
    """The parts of the middle line between ``near`` and ``far`` metres from the start, and from the end."""
    return road.centre.between(near, far), road.centre.between(road.centre.length - far, road.centre.length - near)
