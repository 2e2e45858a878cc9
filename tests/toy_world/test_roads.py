from __future__ import annotations

import itertools

import numpy as np
import pytest
from shapely.geometry import Point

from projects.CVT_IO.toy_world.paths import Path
from projects.CVT_IO.toy_world.roads import LOCATIONS, build_network


@pytest.fixture(scope='module', params=LOCATIONS)
def network(request):
    return build_network(0, request.param)


def test_path_of_an_l_shape():
    # 3 m east, then 4 m north: 7 m long; 5 m along it is (3, 2), looking north.
    path = Path(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    assert path.length == 7.0
    np.testing.assert_allclose(path.at(5.0)[:2], (3.0, 2.0))
    # One metre to the left of a line that leads east is one metre north.
    east = Path(np.array([[0.0, 0.0], [10.0, 0.0]]))
    np.testing.assert_allclose(east.offset(1.0).points, [[0.0, 1.0], [10.0, 1.0]], atol=1e-12)
    np.testing.assert_allclose(east.between(2.0, 5.0).points, [[2.0, 0.0], [5.0, 0.0]])
    with pytest.raises(ValueError, match='two distinct points'):
        Path(np.zeros((3, 2)))


def test_roads_are_apart_and_some_have_an_island_or_curve(network):
    areas = [road.polygon() for road in network.roads]
    assert all(area.is_valid for area in (*areas, *network.junctions, *network.walkways))
    assert all(a.intersection(b).area < 0.5 for a, b in itertools.combinations(areas, 2))
    assert any(area.interiors for area in areas)
    assert any(not area.interiors for area in areas)
    assert np.degrees(max(np.ptp(road.centre.headings) for road in network.roads)) > 20


def test_lanes_lie_on_their_road_on_the_side_of_traffic(network):
    for lane in network.lanes:
        area = lane.polygon()
        assert area.is_valid
        assert area.difference(lane.road.polygon().buffer(0.01)).area < 1e-6 * area.area
        # Along the lane's direction the road's middle is to the left where traffic keeps right.
        x, y, heading = lane.path.at(lane.path.length / 2)
        middle = lane.road.centre.points
        nearest = middle[np.linalg.norm(middle - (x, y), axis=1).argmin()] - (x, y)
        to_left = np.cos(heading) * nearest[1] - np.sin(heading) * nearest[0]
        assert np.sign(to_left) == network.side


def test_every_lane_leads_on_through_a_junction(network):
    for lane in network.lanes:
        assert lane.successors
        for turn in lane.successors:
            (target,) = turn.successors
            np.testing.assert_allclose(turn.path.points[0], lane.path.points[-1])
            np.testing.assert_allclose(turn.path.points[-1], target.path.points[0])
            assert target.road is not lane.road
            area = network.junctions[turn.start].buffer(0.3)
            assert all(area.contains(Point(point)) for point in turn.path.points[1:-1])


def test_towns_differ_by_location_and_seed():
    points = [
        build_network(s, x).roads[0].centre.points for s, x in ((0, LOCATIONS[0]), (0, LOCATIONS[1]), (1, LOCATIONS[0]))
    ]
    for a, b in itertools.combinations(points, 2):
        assert not np.allclose(a[0], b[0])
