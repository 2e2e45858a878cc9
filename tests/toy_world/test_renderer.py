"""Images against the tables: whatever is drawn must be where the devkit's own chain of poses puts it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import BoxVisibility, view_points
from PIL import Image
from pyquaternion import Quaternion
from shapely.geometry import MultiPoint, Point
from shapely.ops import unary_union

from projects.CVT_IO.toy_world import SceneRenderer, build_scene
from projects.CVT_IO.toy_world.rig import CAMERAS


def hull_mask(pixels, shape):
    """Pixels (H, W) whose centres lie in the convex hull of points (N, 2): on the inner side of all its edges."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    corners = np.array(MultiPoint(pixels).convex_hull.exterior.coords)
    (x0, y0), (x1, y1) = corners[:-1].T[..., None, None], corners[1:].T[..., None, None]
    signed = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
    return (signed >= 0).all(axis=0) | (signed <= 0).all(axis=0)


def project(nusc: NuScenes, sample_data: str, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and depths (N,) of world points (N, 3) by the tables' records, step by step."""
    record = nusc.get('sample_data', sample_data)
    calibration = nusc.get('calibrated_sensor', record['calibrated_sensor_token'])
    for pose in (nusc.get('ego_pose', record['ego_pose_token']), calibration):
        points = (points - pose['translation']) @ Quaternion(pose['rotation']).rotation_matrix
    homogeneous = points @ np.array(calibration['camera_intrinsic']).T
    return homogeneous[:, :2] / homogeneous[:, 2:], homogeneous[:, 2]


def test_boxes_land_on_their_own_pixels(world):
    contained, filled = 0, []
    for name, k, sample in world.frames():
        values = world.index_of(name, k)
        for channel in CAMERAS:
            _, boxes, intrinsics = world.nusc.get_sample_data(sample['data'][channel], BoxVisibility.ANY)
            rendered = world.renderers[name].render_camera(k, channel)
            shown = set()
            for box in boxes:
                mask = rendered.instance == values[box.token]
                corners = box.corners()
                if not mask.any() or corners[2].min() < 0.1:
                    continue
                shown.add(values[box.token])
                hull = hull_mask(view_points(corners, intrinsics, normalize=True)[:2].T, mask.shape)
                grown = cv2.dilate(hull.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
                assert not (mask & ~grown).any(), (name, k, channel, box.name)
                contained += 1
                if mask.sum() == rendered.covered[values[box.token] - 1] and mask.sum() > 400:
                    filled.append((mask & hull).sum() / (mask | hull).sum())
    assert contained > 100
    assert len(filled) > 10
    assert min(filled) > 0.9


def test_written_images_are_the_rendered_ones(world):
    for name, k, sample in world.frames()[::2]:
        for channel in ('CAM_FRONT', 'CAM_BACK_LEFT'):
            record = world.nusc.get('sample_data', sample['data'][channel])
            image = np.asarray(Image.open(world.root / record['filename']))
            assert image.shape == (record['height'], record['width'], 3)
            rendered = world.renderers[name].render_camera(k, channel).image
            # JPEG of quality 90 changes noisy pixels by a few grey levels.
            assert np.abs(image.astype(int) - rendered).mean() < 8.0


def test_visibility_is_the_visible_share_of_each_box_alone(world):
    tokens = []
    for name, k, sample in world.frames():
        if k != 1:
            continue
        renderer = world.renderers[name]
        count = len(world.scenes[name].frames[k].annotations)
        visible, whole = np.zeros(count), np.zeros(count)
        for channel in CAMERAS:
            together = renderer.render_camera(k, channel)
            for a in range(count):
                alone = renderer.render_camera(k, channel, only=[a]).instance == a + 1
                visible[a] += (alone & (together.instance == a + 1)).sum()
                whole[a] += alone.sum()
        for token, value in world.index_of(name, k).items():
            share = visible[value - 1] / whole[value - 1] if whole[value - 1] else 0.0
            expected = '1' if share < 0.4 else '2' if share < 0.6 else '3' if share < 0.8 else '4'
            assert world.nusc.get('sample_annotation', token)['visibility_token'] == expected
            tokens.append(expected)
        assert sample['anns'] == list(world.index_of(name, k))
    assert {'1', '4'} < set(tokens)


@pytest.fixture(scope='module')
def ground(world):
    """Bare ground at half of nuScenes' size: the images of one key frame without any object, and how to project."""
    name = 'scene-0061'
    scene = build_scene(name, 3, (450, 800), 0)
    renderer = SceneRenderer(scene)
    sample = next(sample for found, k, sample in world.frames() if found == name and k == 1)
    images = {channel: renderer.render_camera(1, channel, only=[]).image.astype(float) for channel in CAMERAS}

    def look(points, reach=25.0):
        """Colours (N, 3) at world points (M, 2) that some camera sees within ``reach`` metres."""
        colours = []
        for channel, image in images.items():
            pixels, depth = project(
                world.nusc, sample['data'][channel], np.column_stack([points, np.zeros(len(points))])
            )
            pixels = np.round(2 * pixels).astype(int)  # the world's own images are half as large
            inside = (depth > 1) & (depth < reach) & (pixels >= 0).all(axis=1) & (pixels < (800, 450)).all(axis=1)
            colours.append(image[pixels[inside, 1], pixels[inside, 0]])
        return np.concatenate(colours)

    lidar = world.nusc.get('sample_data', sample['data']['LIDAR_TOP'])
    ego = world.nusc.get('ego_pose', lidar['ego_pose_token'])['translation'][:2]
    return world.map_of(name), np.array(ego), look


def greenness(colours):
    return colours[:, 1] / (colours.mean(axis=1) + 1)


def test_road_polygons_land_on_road(ground, rng):
    nusc_map, ego, look = ground
    x, y = ego
    records = nusc_map.get_records_in_radius(x, y, 40.0, ['road_segment', 'walkway'])
    areas = {
        layer: unary_union([nusc_map.extract_polygon(nusc_map.get(layer, t)['polygon_token']) for t in tokens])
        for layer, tokens in records.items()
    }
    points = ego + rng.uniform(-28, 28, (6000, 2))
    on_road = shapely.contains_xy(areas['road_segment'].buffer(-0.4), *points.T)
    paved = unary_union(list(areas.values())).buffer(0.4)
    on_grass = ~shapely.contains_xy(paved, *points.T)
    road, grass = greenness(look(points[on_road])), greenness(look(points[on_grass]))
    assert len(road) > 300
    assert len(grass) > 100
    assert (road < 1.12).mean() > 0.97
    assert (grass > 1.12).mean() > 0.97


def test_dividers_land_on_their_paint(ground):
    nusc_map, ego, look = ground
    seen = 0
    for record in nusc_map.lane_divider:
        if record['lane_divider_segments'][0]['segment_type'] != 'SINGLE_SOLID_WHITE':
            continue
        line = nusc_map.extract_line(record['line_token'])
        if line.distance(Point(ego)) > 20:
            continue
        line = line.segmentize(0.25)
        # Beyond stop lines and crossings, which are white too.
        inner = np.array([p for p in line.coords if 7.0 < line.project(Point(p)) < line.length - 7.0])
        beside = [
            look(np.array(line.parallel_offset(0.8, side).segmentize(0.25).coords), 14.0) for side in ('left', 'right')
        ]
        on_line = look(inner, 14.0)
        if len(on_line) < 10:
            continue
        seen += 1
        background = np.median(np.concatenate(beside).mean(axis=1))
        assert (on_line.mean(axis=1) > background + 15).mean() > 0.7
    assert seen >= 1


def test_sky_is_above_and_ground_below(world):
    for name, renderer in world.renderers.items():
        image = renderer.render_camera(0, 'CAM_FRONT', only=[]).image.astype(float)
        zenith = np.array(renderer.tones[0, renderer.scene.weather.zenith, range(3)], dtype=float)
        assert np.abs(image[:5].mean(axis=(0, 1)) - zenith).max() < 60, name
        # The road before the ego is grey.
        assert np.ptp(image[-40:, 150:250].mean(axis=(0, 1))) < 30
