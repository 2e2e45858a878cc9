"""Houses along the roads. They limit the view, occlude objects, and are not annotated."""

from __future__ import annotations

from functools import lru_cache

from shapely.geometry import Polygon
from shapely.strtree import STRtree

from .actors import Actor, footprint
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
    candidates = []
    for road in network.roads:
        for side in (-1, 1):
            s = rng.uniform(4.0, 14.0)
            while s < road.centre.length:
                width, length, height = (float(v) for v in _HOUSE.size * rng.uniform(0.65, 1.4, 3))
                setback = road.kerb + SIDEWALK_WIDTH + rng.uniform(3.0, 9.0) + width / 2
                x, y, heading = road.centre.offset(side * setback).at(s)
                paint = _HOUSE.paints[rng.integers(len(_HOUSE.paints))]
                pose = (float(x), float(y), float(heading))
                outline = footprint(pose, (width, length))
                if not tree.query(outline, predicate='intersects').size:
                    candidates.append((Actor(_HOUSE, (width, length, height), paint, pose=pose), outline))
                s += length + rng.uniform(3.0, 16.0)
    return _apart(candidates)


def _apart(candidates: list[tuple[Actor, Polygon]]) -> list[Actor]:
    """The candidates without those that stand within two metres of an earlier one that is kept."""
    outlines = [outline for _, outline in candidates]
    tree = STRtree(outlines)
    kept: set[int] = set()
    for k, outline in enumerate(outlines):
        if not kept.intersection(tree.query(outline, predicate='dwithin', distance=2.0).tolist()):
            kept.add(k)
    return [candidates[k][0] for k in sorted(kept)]
