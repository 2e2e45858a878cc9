"""A procedural town for each of nuScenes' locations: junctions, roads, lanes and the turns that connect them.

The town is a jittered grid of junctions joined by curved roads. A road's cross-section, from its middle outwards on
either side: half the median (an island of grass, a hole of the road's polygon), one or two lanes, a parking strip, a
sidewalk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from shapely.geometry import LineString, MultiPoint, Polygon
from shapely.ops import unary_union

from .paths import Path
from .seeding import generator

LOCATIONS = ('boston-seaport', 'singapore-onenorth', 'singapore-queenstown', 'singapore-hollandvillage')

LANE_WIDTH = 3.5
PARKING_WIDTH = 2.4
SIDEWALK_WIDTH = 3.0
MEDIAN_WIDTH = 2.4
CROSSING = (1.5, 4.5)  # zebra crossing: metres from the road's end
STOP_LINE = (5.3, 5.7)
_GRID, _SPACING, _MARGIN, _JITTER = 7, 108.0, 80.0, 11.0


@dataclass(eq=False)
class Road:
    """A two-way road between two junctions.

    Attributes:
        name: unique in its network.
        ends: indices of the junctions at the start and the end of ``centre``.
        centre: the middle line, from one junction's edge to the other's.
        lanes: lanes per direction, 1 or 2.
        median: width of the island in the middle, 0 for none.
    """

    name: str
    ends: tuple[int, int]
    centre: Path
    lanes: int
    median: float

    @property
    def kerb(self) -> float:
        """Metres from the middle line to the kerb."""
        return self.median / 2 + self.lanes * LANE_WIDTH + PARKING_WIDTH

    @property
    def parking(self) -> float:
        """Metres from the middle line to the middle of the parking strip."""
        return self.kerb - PARKING_WIDTH / 2

    def polygon(self) -> Polygon:
        """Kerb to kerb; with a median, the island is its hole."""
        holes = []
        if self.median:
            inner = self.centre.between(9.0, self.centre.length - 9.0)
            holes = [inner.band(-self.median / 2, self.median / 2)]
        return Polygon(self.centre.band(-self.kerb, self.kerb), holes)


@dataclass(eq=False)
class Lane:
    """One lane of a road (``road`` set) or a turn across a junction (``road`` None).

    Attributes:
        name: unique in its network.
        path: centre line in the direction of travel.
        start, end: junctions it leaves and reaches; equal for turns.
        level: 0 for the lane next to the road's middle.
        successors: lanes and turns that begin where it ends.
    """

    name: str
    path: Path
    start: int
    end: int
    road: Road | None = None
    level: int = 0
    successors: list[Lane] = field(default_factory=list)

    def polygon(self) -> Polygon:
        """The lane's area."""
        if self.road is None:
            area = LineString(self.path.points).buffer(LANE_WIDTH / 2, cap_style='flat', join_style='mitre')
            return area.simplify(0.05)
        return Polygon(self.path.band(-LANE_WIDTH / 2, LANE_WIDTH / 2))


@dataclass(eq=False)
class RoadNetwork:
    """The town of one location. All geometry in world metres, x east, y north, within (0, 0) and ``canvas``.

    Attributes:
        location: one of :data:`LOCATIONS`.
        canvas: extent (width, height) in metres.
        side: +1 where traffic keeps right, -1 where it keeps left.
        junctions: areas between the roads' ends, by junction index.
        lanes: of all roads; turns: across all junctions.
        walkways: sidewalks.
    """

    location: str
    canvas: tuple[float, float]
    side: int
    roads: list[Road]
    lanes: list[Lane]
    turns: list[Lane]
    junctions: list[Polygon]
    walkways: list[Polygon]


@lru_cache(maxsize=4)
def build_network(seed: int, location: str) -> RoadNetwork:
    """Builds the town of ``location`` (one of :data:`LOCATIONS`); equal arguments give equal towns."""
    rng = generator(seed, 'network', location)
    side = 1 if location.startswith('boston') else -1
    centres = _junction_centres(rng)
    edges = _edges(rng)
    roads = _roads(rng, centres, edges)
    lanes = [lane for road in roads for lane in _lanes_of(road, side)]
    turns = _connect(lanes)
    junctions = [_junction_area(i, roads, turns) for i in range(len(centres))]
    size = 2 * _MARGIN + (_GRID - 1) * _SPACING
    return RoadNetwork(location, (size, size), side, roads, lanes, turns, junctions, _walkways(roads, junctions))


def _junction_centres(rng: np.random.Generator) -> np.ndarray:
    """Junctions (G * G, 2) on a jittered grid, row by row."""
    columns, rows = np.meshgrid(np.arange(_GRID), np.arange(_GRID))
    grid = np.stack([columns.ravel(), rows.ravel()], axis=1) * _SPACING + _MARGIN
    return grid + rng.uniform(-_JITTER, _JITTER, grid.shape)


def _edges(rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of neighbouring junctions; some are left out, but every junction keeps two roads, so no route ends."""
    index = np.arange(_GRID * _GRID).reshape(_GRID, _GRID)
    edges = [*zip(index[:, :-1].ravel(), index[:, 1:].ravel(), strict=True)]
    edges += [*zip(index[:-1].ravel(), index[1:].ravel(), strict=True)]
    degree = np.bincount(np.ravel(edges))
    removed = set()
    for k in rng.permutation(len(edges))[: len(edges) // 6]:
        a, b = edges[k]
        if min(degree[a], degree[b]) > 2:
            degree[[a, b]] -= 1
            removed.add(k)
    return [(int(a), int(b)) for k, (a, b) in enumerate(edges) if k not in removed]


def _roads(rng: np.random.Generator, centres: np.ndarray, edges: list[tuple[int, int]]) -> list[Road]:
    """Curved roads, cut back at both ends to leave room for the junctions."""
    drafts = []
    for a, b in edges:
        chord = centres[b] - centres[a]
        normal = np.array([-chord[1], chord[0]]) / np.linalg.norm(chord)
        bends = rng.uniform(-16.0, 16.0, 2)
        control = np.array([centres[a], centres[a] + chord / 3, centres[a] + chord * 2 / 3, centres[b]])
        control[1:3] += bends[:, None] * normal
        lanes = int(rng.choice([1, 2], p=[0.55, 0.45]))
        median = MEDIAN_WIDTH * float(rng.uniform() < 0.35)
        drafts.append((Path.bezier(control, 4.0), lanes, median))
    cut = _setbacks(centres, edges, drafts)
    return [
        Road(f'road-{a}-{b}', (a, b), path.between(cut[a], path.length - cut[b]), lanes, median)
        for (a, b), (path, lanes, median) in zip(edges, drafts, strict=True)
    ]


def _setbacks(centres: np.ndarray, edges: list[tuple[int, int]], drafts: list[tuple[Path, int, float]]) -> np.ndarray:
    """Metres (junctions,) from each junction's centre at which its roads end, so that no two of them overlap."""
    kerbs = np.zeros(len(centres))
    directions: list[list[float]] = [[] for _ in centres]
    for (a, b), (path, lanes, median) in zip(edges, drafts, strict=True):
        kerb = median / 2 + lanes * LANE_WIDTH + PARKING_WIDTH
        kerbs[[a, b]] = np.maximum(kerbs[[a, b]], kerb)
        for junction, s in ((a, 18.0), (b, path.length - 18.0)):
            x, y = path.at(s)[:2] - centres[junction]
            directions[junction].append(np.arctan2(y, x))
    # Two strips of half-width k that leave a point at an angle θ part at k / tan(θ / 2).
    gaps = [min(np.diff([*sorted(around), min(around) + 2 * np.pi])) for around in directions]
    return np.clip(kerbs / np.tan(np.array(gaps) / 2), 1.0 * kerbs, 3.0 * kerbs) + 4.0


def _lanes_of(road: Road, side: int) -> list[Lane]:
    """The lanes of both directions, innermost first."""
    lanes = []
    for level in range(road.lanes):
        lateral = side * (road.median / 2 + (level + 0.5) * LANE_WIDTH)
        a, b = road.ends
        lanes.append(Lane(f'{road.name}-along-{level}', road.centre.offset(-lateral), a, b, road, level))
        lanes.append(Lane(f'{road.name}-against-{level}', road.centre.offset(lateral).reversed(), b, a, road, level))
    return lanes


def _connect(lanes: list[Lane]) -> list[Lane]:
    """Adds a turn from every lane's end into each other road of the junction there, and links them up."""
    turns = []
    for lane in lanes:
        for target in lanes:
            if target.start != lane.end or target.road is lane.road or target.road is None:
                continue
            if target.level != min(lane.level, target.road.lanes - 1):
                continue
            (x0, y0, h0), (x1, y1, h1) = lane.path.at(lane.path.length), target.path.at(0.0)
            reach = 0.4 * np.hypot(x1 - x0, y1 - y0)
            first, last = np.array([x0, y0]), np.array([x1, y1])
            control = np.array(
                [
                    first,
                    first + reach * np.array([np.cos(h0), np.sin(h0)]),
                    last - reach * np.array([np.cos(h1), np.sin(h1)]),
                    last,
                ]
            )
            turn = Lane(f'{lane.name}>{target.name}', Path.bezier(control, 1.5), lane.end, lane.end, None, lane.level)
            turn.successors.append(target)
            lane.successors.append(turn)
            turns.append(turn)
    return turns


def _junction_area(index: int, roads: list[Road], turns: list[Lane]) -> Polygon:
    """Hull of the road ends that meet here, widened where a turn swings out of it."""
    corners = []
    for road in roads:
        for end, s in zip(road.ends, (0.0, road.centre.length), strict=True):
            if end == index:
                x, y, heading = road.centre.at(s)
                normal = np.array([-np.sin(heading), np.cos(heading)])
                corners += [np.array([x, y]) + road.kerb * normal, np.array([x, y]) - road.kerb * normal]
    swept = [
        LineString(turn.path.points).buffer(LANE_WIDTH / 2 + 0.6, cap_style='flat')
        for turn in turns
        if turn.start == index
    ]
    area = unary_union([MultiPoint(corners).convex_hull, *swept]).buffer(0)
    return Polygon(area.exterior).simplify(0.05)


def _walkways(roads: list[Road], junctions: list[Polygon]) -> list[Polygon]:
    """Sidewalks along the roads and around the junctions, free of everything that drives."""
    kerbs = [Polygon(road.centre.band(-road.kerb, road.kerb)) for road in roads]
    driven = unary_union([*kerbs, *junctions])
    paved = unary_union([shape.buffer(SIDEWALK_WIDTH) for shape in (*kerbs, *junctions)]).difference(driven)
    parts = getattr(paved, 'geoms', [paved])
    return [part.simplify(0.05) for part in parts if part.area > 4.0]
