"""Converted infos and labels against rendered pixels, before and after the pipeline's resize and crop."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from shapely.geometry import MultiPoint

from projects.CVT_IO.cvt_io.datasets import CVTIOResizeCrop
from projects.CVT_IO.cvt_io.geometry import BEVGrid, project
from projects.CVT_IO.cvt_io.labels.codec import read_label
from projects.CVT_IO.cvt_io.labels.layout import label_dir
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert

SIZE, TOP_CROP = (112, 240), 23  # 225 × 400 → 135 × 240, less 23 rows


@pytest.fixture(scope='module')
def converted(world, tmp_path_factory):
    """Infos by sample token, and the folder of the labels."""
    out = tmp_path_factory.mktemp('converted')
    convert(world.root, 'v1.0-mini', out, progress=False)
    infos = [info for path in out.glob('*.json') for info in json.loads(path.read_text())['data_list']]
    return {info['sample_token']: info for info in infos}, label_dir(out, 'cvt_io', BEVGrid())


def hull_of(pixels: np.ndarray, shape: tuple[int, int], grow: int) -> np.ndarray:
    """Mask (H, W) of the convex hull of pixels (N, 2), grown by a few pixels."""
    corners = np.array(MultiPoint(np.clip(pixels, -1e4, 1e4)).convex_hull.exterior.coords)
    mask = cv2.fillPoly(np.zeros(shape, np.uint8), [np.round(corners).astype(np.int32)], 1)
    return cv2.dilate(mask, np.ones((2 * grow + 1,) * 2, np.uint8)).astype(bool)


def test_boxes_land_on_their_own_pixels(world, converted):
    infos, _ = converted
    resize, checked, filled = CVTIOResizeCrop(SIZE, TOP_CROP), 0, []
    for name, k, sample in world.frames()[::2]:
        info = infos[sample['token']]
        ego_from_world = np.linalg.inv(info['world_from_ego'])
        for camera in info['images']:
            rendered = world.renderers[name].render_camera(k, camera['camera'])
            intrinsics, cam_from_ego = np.array(camera['intrinsics']), np.array(camera['cam_from_ego'])
            small = resize.transform(dict(imgs=[rendered.image], intrinsics=intrinsics[None]))['intrinsics'][0]
            for token, value in world.index_of(name, k).items():
                mask = rendered.instance == value
                corners = world.nusc.get_box(token).corners().T @ ego_from_world[:3, :3].T + ego_from_world[:3, 3]
                pixels, depth = project(corners, intrinsics, cam_from_ego)
                if mask.sum() < 20 or depth.min() < 0.5:
                    continue
                hull = hull_of(pixels, mask.shape, grow=1)
                assert not (mask & ~hull).any(), (name, k, camera['camera'], token)
                pixels, _ = project(corners, small, cam_from_ego)
                cropped = cv2.resize(mask.astype(np.uint8), (240, 135), interpolation=cv2.INTER_NEAREST)[TOP_CROP:] > 0
                small_hull = hull_of(pixels, SIZE, grow=1)
                assert not (cropped & ~small_hull).any(), (name, k, camera['camera'], token)
                checked += 1
                if mask.sum() == rendered.covered[value - 1] and cropped.sum() > 300:
                    filled.append((cropped & small_hull).sum() / (cropped | small_hull).sum())
    assert checked > 80
    # A hull grown by a pixel on all sides; an unhidden box must fill nearly all of it.
    assert len(filled) >= 5 and np.median(filled) > 0.75


def test_vehicle_labels_project_onto_vehicles(world, converted):
    """Seen from above: the ground below a fully visible vehicle's label projects into that vehicle's own pixels."""
    infos, folder = converted
    hits = total = 0
    for name, k, sample in world.frames()[1::3]:
        info = infos[sample['token']]
        label = read_label(folder / info['label'])
        cells = np.argwhere(label.classes[4:9].any(0) & (label.visibility == 4))
        points = ground_points(cells, info)
        vehicles = {v for t, v in world.index_of(name, k).items() if 'vehicle' in category(world, t)}
        for camera in info['images']:
            instance = world.renderers[name].render_camera(k, camera['camera']).instance
            # Half a metre above the ground, so that the box's near side and not the road before it is hit.
            raised = points + np.array([0, 0, 0.5])
            pixels, depth = project(raised, np.array(camera['intrinsics']), np.array(camera['cam_from_ego']))
            pixels = np.round(pixels[depth > 1]).astype(int)
            seen = pixels[(pixels >= 0).all(1) & (pixels < instance.shape[::-1]).all(1)]
            found = instance[seen[:, 1], seen[:, 0]]
            hits += np.isin(found, [*vehicles]).sum()
            total += len(found)
    assert total > 1000
    assert hits / total > 0.9


def category(world, token: str) -> str:
    return world.nusc.get('sample_annotation', token)['category_name']


def ground_points(cells: np.ndarray, info: dict) -> np.ndarray:
    """Ego coordinates (N, 3) of cells' middles (N, 2) on the ground, which is world z = 0."""
    pixels = np.column_stack([cells[:, 1], cells[:, 0], np.ones(len(cells))])
    points = pixels @ BEVGrid().ego_from_pixels.T
    points[:, 2] = -np.array(info['world_from_ego'])[2, 3]
    return points


def test_road_labels_project_onto_road(world, converted):
    infos, folder = converted
    green = {'road': [], 'other': [], 'turned': []}
    for name, k, sample in world.frames():
        if name != 'scene-0061' or k != 1:
            continue
        info = infos[sample['token']]
        label = read_label(folder / info['label'])
        road = label.classes[:2].any(0)
        kernel = np.ones((3, 3), np.uint8)
        maps = {
            'road': cv2.erode(road.astype(np.uint8), kernel) > 0,
            'other': cv2.dilate(road.astype(np.uint8), kernel) == 0,
            'turned': np.rot90(road),
        }
        for camera in info['images']:
            image = world.renderers[name].render_camera(k, camera['camera'], only=[]).image.astype(float)
            greenness = image[..., 1] / (image.mean(-1) + 1)
            for kind, mask in maps.items():
                points = ground_points(np.argwhere(mask), info)
                points = points[np.linalg.norm(points[:, :2], axis=1) < 25]
                pixels, depth = project(points, np.array(camera['intrinsics']), np.array(camera['cam_from_ego']))
                pixels = np.round(pixels[depth > 1]).astype(int)
                seen = pixels[(pixels >= 0).all(1) & (pixels < image.shape[1::-1]).all(1)]
                green[kind].append(greenness[seen[:, 1], seen[:, 0]] > 1.12)
    shares = {kind: np.concatenate(values).mean() for kind, values in green.items()}
    # Grass is green, road and sidewalks are grey; the label turned by 90° shows that the test can fail.
    assert shares['road'] < 0.03
    assert shares['other'] > 0.3
    assert shares['turned'] > 0.1
