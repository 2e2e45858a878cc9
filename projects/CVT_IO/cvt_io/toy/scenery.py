"""Houses along the roads: they close off the view, hide what is behind them, and are not annotated."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from shapely.geometry import Polygon
from shapely.strtree import STRtree

from .actors import Actor
from .catalogue import Kind
from .roads import SIDEWALK_WIDTH, build_network
from .seeding import generator

_HOUSE = Kind(
    '',
    (11.0, 14.0, 8.0),
    'house',
    ((176, 120, 96), (190, 180, 160), (150, 155, 165), (205, 190, 150), (130, 100, 85), (165, 175, 170)),
)


@lru_cache(maxsize=4)
def houses(seed: int, location: str) -> list[Actor]:
    """The houses of a town; none touches a road, a sidewalk or another house."""
    network = build_network(seed, location)
    rng = generator(seed, 'houses', location)
    public = [area.buffer(1.0) for area in (*network.walkways, *network.junctions)]
    public += [Polygon(road.centre.band(-road.kerb - 1, road.kerb + 1)) for road in network.roads]
    tree = STRtree(public)
    placed: list[tuple[Actor, Polygon]] = []
    for road in network.roads:
        for side in (-1, 1):
            s = rng.uniform(4.0, 14.0)
            while s < road.centre.length:
                width, length, height = (float(v) for v in _HOUSE.size * rng.uniform(0.65, 1.4, 3))
                setback = road.kerb + SIDEWALK_WIDTH + rng.uniform(3.0, 9.0) + width / 2
                x, y, heading = road.centre.offset(side * setback).at(s)
                paint = _HOUSE.paints[rng.integers(len(_HOUSE.paints))]
                house = Actor(_HOUSE, (width, length, height), paint, pose=(float(x), float(y), float(heading)))
                outline = _footprint(house)
                near = any(outline.distance(other) < 2.0 for _, other in placed[-40:])
                if not near and not tree.query(outline, predicate='intersects').size:
                    placed.append((house, outline))
                s += length + rng.uniform(3.0, 16.0)
    return [house for k, (house, outline) in enumerate(placed) if not _hits(outline, placed[:k])]


def _footprint(house: Actor) -> Polygon:
    assert house.pose is not None
    x, y, heading = house.pose
    width, length, _ = house.size
    forward = np.array([np.cos(heading), np.sin(heading)]) * length / 2
    left = np.array([-np.sin(heading), np.cos(heading)]) * width / 2
    around = np.array([forward + left, left - forward, -forward - left, forward - left])
    return Polygon(around + np.array([x, y]))


def _hits(outline: Polygon, others: list[tuple[Actor, Polygon]]) -> bool:
    return any(outline.intersects(other) for _, other in others)
