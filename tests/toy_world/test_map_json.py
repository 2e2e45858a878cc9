from __future__ import annotations

import numpy as np
import pytest
import shapely
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.utils.map_mask import MapMask
from shapely.ops import unary_union

from projects.CVT_IO.toy_world.roads import build_network

TOWNS = ('singapore-onenorth', 'singapore-hollandvillage')  # of scene-0061 and scene-0103


@pytest.mark.parametrize('location', TOWNS)
def test_the_devkit_reads_every_layer(world, location):
    nusc_map = NuScenesMap(str(world.root), location)
    assert nusc_map.version == '1.3'
    for layer in nusc_map.layer_names:
        assert getattr(nusc_map, layer), layer
    holes = [nusc_map.extract_polygon(r['polygon_token']).interiors for r in nusc_map.road_segment]
    assert any(holes)
    nodes = np.array([(node['x'], node['y']) for node in nusc_map.node])
    assert (nodes > 0).all()
    assert (nodes < nusc_map.canvas_edge).all()


def test_records_hold_the_networks_geometry(world):
    network = build_network(0, TOWNS[0])
    nusc_map = NuScenesMap(str(world.root), TOWNS[0])
    assert len(nusc_map.lane) == len(network.lanes)
    for record, lane in zip(nusc_map.lane[::17], network.lanes[::17], strict=True):
        area = nusc_map.extract_polygon(record['polygon_token'])
        assert area.symmetric_difference(lane.polygon()).area < 0.05  # coordinates are rounded to 0.1 mm
        poses = np.array(nusc_map.discretize_lanes([record['token']], 1.0)[record['token']])
        np.testing.assert_allclose(poses[0, :2], lane.path.points[0], atol=0.01)
        np.testing.assert_allclose(poses[-1, :2], lane.path.points[-1], atol=0.01)
    x, y = network.lanes[0].path.at(20.0)[:2]
    mask = nusc_map.get_map_mask((x, y, 60.0, 60.0), 0.0, ['road_segment', 'lane', 'walkway'], (60, 60))
    assert mask[:, 30, 30].tolist() == [1, 1, 0] and 0.05 < mask[0].mean() < 0.9
    for record in nusc_map.lane:
        outgoing = nusc_map.get_outgoing_lane_ids(record['token'])
        assert outgoing
        assert all(record['token'] in nusc_map.get_incoming_lane_ids(token) for token in outgoing)


def test_map_masks_agree_with_the_expansion(world, rng):
    masks = {
        log['location']: record
        for record in world.nusc.map
        for log in world.nusc.log
        if log['token'] in record['log_tokens']
    }
    assert len(masks) == 2
    for location, record in masks.items():
        nusc_map = NuScenesMap(str(world.root), location)
        tokens = [t for area in nusc_map.drivable_area for t in area['polygon_tokens']]
        tokens += [walkway['polygon_token'] for walkway in nusc_map.walkway]
        paved = unary_union([nusc_map.extract_polygon(token) for token in tokens])
        points = rng.uniform(0, nusc_map.canvas_edge, (1500, 2))
        points = points[~shapely.contains_xy(paved.boundary.buffer(0.3), *points.T)]  # pixels are 0.1 m
        expected = shapely.contains_xy(paved, *points.T)
        assert 0.1 < expected.mean() < 0.9
        found = MapMask(str(world.root / record['filename'])).is_on_mask(*points.T)
        np.testing.assert_array_equal(found, expected)
