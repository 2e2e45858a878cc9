"""Population of a scene: the ego's route, traffic around it, parked vehicles, people, and a construction site."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .actors import Actor, make_actor
from .catalogue import KINDS, PARKED_SHARES, TRAFFIC_SHARES, WALKER_SHARES
from .paths import Path
from .roads import Lane, Road, RoadNetwork

EGO_SIZE = (1.8, 6.6, 1.6)  # generous: its path leads the rear axle, 1.4 m behind its true middle
_REACH = 80.0  # metres around the ego's route that are populated
# In every scene, near the ego, so that no category is ever missing.
_ALWAYS_DRIVING = ('vehicle.bus.rigid', 'vehicle.motorcycle', 'vehicle.bicycle', 'vehicle.truck')
_EMERGENCY = ('vehicle.emergency.police', 'vehicle.emergency.ambulance')
_ALWAYS_PARKED = ('vehicle.trailer', 'vehicle.truck')


def ego_route(rng: np.random.Generator, network: RoadNetwork, length: float) -> Actor:
    """The ego as an actor whose path is at least ``length`` metres long from its start, with turns where it can."""
    while True:
        lane = network.lanes[rng.integers(len(network.lanes))]
        start = lane.path.length - rng.uniform(14.0, 38.0)
        if start > 12.0:
            break
    path = Path.joined([part.path for part in random_route(rng, lane, start + length, turning=6.0)])
    return Actor(KINDS['vehicle.car'], EGO_SIZE, (0, 0, 0), path=path, start=start, speed=float(rng.uniform(8.0, 10.5)))


def random_route(rng: np.random.Generator, lane: Lane, length: float, turning: float = 1.0) -> list[Lane]:
    """Lanes and turns from ``lane`` on, at least ``length`` metres together.

    ``turning`` weighs a right-angled turn against going straight on.
    """
    route = [lane]
    total = lane.path.length
    while total < length:
        swings = np.array([abs(turn.path.headings[-1] - turn.path.headings[0]) for turn in route[-1].successors])
        weights = 1 + (turning - 1) * np.minimum(swings / (np.pi / 2), 1)
        chosen = route[-1].successors[rng.choice(len(weights), p=weights / weights.sum())]
        route.append(chosen)
        total += chosen.path.length
    return route


def populate(rng: np.random.Generator, network: RoadNetwork, ego: Actor, duration: float) -> list[Actor]:
    """All actors of a scene but the ego; those that drive come in order of their distance to its start."""
    assert ego.path is not None  # noqa: S101 - narrows a type
    reach = ego.start + min(ego.speed * duration, ego.path.length - ego.start)
    route = ego.path.at(np.arange(ego.start, reach, 5.0))[:, :2]
    home = ego.path.at(ego.start)
    roads = [road for road in network.roads if _near(road.centre, route)]
    site = _nearest_road(roads, ego.path.at(ego.start + 22.0))
    density = rng.uniform(0.7, 1.25)
    actors = _traffic(rng, network, ego, route, density, duration)
    for road in roads:
        actors += _kerbside(rng, network, road, home, site, density)
        actors += _walkers(rng, road, density)
    return actors


def _near(path: Path, route: np.ndarray) -> bool:
    return bool((np.linalg.norm(path.points[:, None] - route, axis=2) < _REACH).any())


def _nearest_road(roads: list[Road], pose: np.ndarray) -> Road:
    return min(roads, key=lambda road: float(np.linalg.norm(road.centre.points - pose[:2], axis=1).min()))


def _draw(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _traffic(
    rng: np.random.Generator, network: RoadNetwork, ego: Actor, route: np.ndarray, density: float, duration: float
) -> list[Actor]:
    """Vehicles on the lanes near the route, well apart from each other and from the ego."""
    assert ego.path is not None  # noqa: S101 - narrows a type
    home = ego.path.at(ego.start)
    places: list[tuple[float, Lane, float]] = []
    for lane in network.lanes:
        if not _near(lane.path, route):
            continue
        s = rng.uniform(4.0, 20.0)
        while s < lane.path.length - 4.0:
            distance = float(np.linalg.norm(lane.path.at(s)[:2] - home[:2]))
            if distance > 11.0 and not _blocks(lane, s, home):
                places.append((distance, lane, s))
            s += 11.0 + rng.exponential(16.0 / density)
    places.sort(key=lambda place: place[0])
    mandatory = [*_ALWAYS_DRIVING, _EMERGENCY[rng.integers(2)], 'vehicle.car', 'vehicle.car']
    mandatory = [mandatory[k] for k in rng.permutation(len(mandatory))]
    actors = []
    for k, (_, lane, s) in enumerate(places):
        category = mandatory[k] if k < len(mandatory) else _draw(rng, TRAFFIC_SHARES)
        speed = float(rng.uniform(*KINDS[category].speed))
        path = Path.joined([part.path for part in random_route(rng, lane, s + speed * duration + 40.0, turning=1.5)])
        actors.append(make_actor(rng, category, path=path, start=s, speed=speed))
    return actors


def _blocks(lane: Lane, s: float, home: np.ndarray) -> bool:
    """Whether a vehicle at this position would be directly in front of or behind the ego."""
    x, y, heading = lane.path.at(s)
    ahead = (x - home[0]) * np.cos(home[2]) + (y - home[1]) * np.sin(home[2])
    aside = (y - home[1]) * np.cos(home[2]) - (x - home[0]) * np.sin(home[2])
    return abs(aside) < 2.5 and -14.0 < ahead < 16.0 and np.cos(heading - home[2]) > 0


def _kerbside(
    rng: np.random.Generator, network: RoadNetwork, road: Road, home: np.ndarray, site: Road, density: float
) -> list[Actor]:
    """Parked vehicles on both sides; on the ``site`` road also a construction site and a bicycle rack."""
    actors: list[Actor] = []
    for side in (-1, 1):
        # Vehicles at the kerb point the way the lanes beside them go.
        strip = road.centre.offset(side * road.parking)
        strip = strip if side == -network.side else strip.reversed()
        s, waiting = 8.0, []
        if road is site and side == -network.side:
            actors += _construction_site(rng, strip, network.side)
            s = 26.0
        elif road is site:
            waiting = [_ALWAYS_PARKED[k] for k in rng.permutation(len(_ALWAYS_PARKED))]
            rack = road.centre.offset(side * (road.kerb + 2.1))
            actors.append(make_actor(rng, 'static_object.bicycle_rack', pose=tuple(rack.at(rng.uniform(8.0, 20.0)))))
        while True:
            category = waiting.pop() if waiting else _draw(rng, PARKED_SHARES)
            length = KINDS[category].size[1]
            if s + length > strip.length - 8.0:
                break
            if waiting or category in _ALWAYS_PARKED or rng.uniform() < 0.8 * density:
                x, y, heading = strip.at(s + length / 2)
                lean = rng.normal(0.0, 0.02)
                shift = rng.normal(0.0, 0.08)
                pose = (x - shift * np.sin(heading), y + shift * np.cos(heading), heading + lean)
                actors.append(make_actor(rng, category, pose=pose))
            s += length + 1.2 + rng.exponential(1.5)
    return actors


def _construction_site(rng: np.random.Generator, strip: Path, side: int) -> Iterator[Actor]:
    """Eighteen metres of a parking strip: a machine, workers, barriers at the ends and cones along the lane."""
    yield make_actor(rng, 'vehicle.construction', pose=tuple(strip.at(16.0)))
    for s in (8.0, 24.0):
        yield make_actor(rng, 'movable_object.barrier', pose=tuple(strip.at(s)))
    edge = strip.offset(side * 1.05)
    for s in (9.5, 11.5, 20.5, 22.5):
        yield make_actor(rng, 'movable_object.trafficcone', pose=tuple(edge.at(s)))
    for s in (10.5, 21.3):
        x, y, heading = strip.at(s + rng.uniform(-0.4, 0.4))
        facing = heading + rng.uniform(-np.pi, np.pi)
        yield make_actor(rng, 'human.pedestrian.construction_worker', pose=(x, y, facing))


def _walkers(rng: np.random.Generator, road: Road, density: float) -> list[Actor]:
    """People on both sidewalks, and now and then one on a zebra crossing."""
    actors = []
    for side in (-1, 1):
        for _ in range(rng.poisson(1.6 * density)):
            path = road.centre.offset(side * (road.kerb + rng.uniform(0.7, 1.5)))
            path = path if rng.uniform() < 0.5 else path.reversed()
            actors.append(_walker(rng, path, rng.uniform(0.0, path.length), standing=rng.uniform() < 0.2))
    for s in (3.0, road.centre.length - 3.0):
        if rng.uniform() < 0.3 * density:
            x, y, heading = road.centre.at(s)
            normal = np.array([-np.sin(heading), np.cos(heading)])
            ends = np.array([x, y]) + np.array([[-1.0], [1.0]]) * normal * (road.kerb + 1.5)
            path = Path(ends if rng.uniform() < 0.5 else ends[::-1])
            actors.append(_walker(rng, path, rng.uniform(0.0, 0.8 * path.length), standing=False))
    return actors


def _walker(rng: np.random.Generator, path: Path, start: float, standing: bool) -> Actor:
    category = _draw(rng, WALKER_SHARES)
    speed = 0.0 if standing else float(rng.uniform(*KINDS[category].speed))
    return make_actor(rng, category, path=path, start=start, speed=speed)
