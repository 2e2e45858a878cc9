"""Straightforward label generation with the devkit, as a reference for benchmarks.

For each frame, the devkit searches the whole map for nearby records and builds shapely polygons that OpenCV fills, as
in the public Cross-View Transformer code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from nuscenes import NuScenes
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

from ..cvt_io.geometry import BEVGrid
from ..cvt_io.labels.classes import CLASSES, FIRST_BOX_CLASS, LINE_LAYERS, POLYGON_LAYERS
from ..cvt_io.labels.codec import NO_VEHICLE, BEVLabel, encode_label, expand
from ..cvt_io.labels.description import DatasetDescription
from ..cvt_io.labels.frame import Frame
from ..cvt_io.labels.nuscenes.label_maker import LabelMaker
from ..cvt_io.labels.nuscenes.map_layers import MapLayers
from ..cvt_io.labels.nuscenes.tables import NuScenesTables

RADIUS = 150
BOX_CLASSES = CLASSES[FIRST_BOX_CLASS:]


class PlainLabels:
    """Makes labels with plain devkit calls.

    Args:
        root: nuScenes folder.
        version: version of the tables.
        grid: grid of the labels, without an offset.
    """

    def __init__(self, root: Path, version: str, grid: BEVGrid) -> None:
        self.nusc = NuScenes(version, str(root), verbose=False)
        self.maps = {name: NuScenesMap(str(root), name) for name in {log['location'] for log in self.nusc.log}}
        self.grid = grid
        (h, w), (h_m, w_m) = grid.size, grid.metres
        self.view = np.array([[0, -w / w_m, w / 2], [-h / h_m, 0, h / 2], [0, 0, 1]])

    def make(self, token: str) -> BEVLabel:
        """Label of a sample."""
        sample = self.nusc.get('sample', token)
        lidar = self.nusc.get('sample_data', sample['data']['LIDAR_TOP'])
        pose = self.nusc.get('ego_pose', lidar['ego_pose_token'])
        log = self.nusc.get('log', self.nusc.get('scene', sample['scene_token'])['log_token'])
        pixels_from_world = self._pixels_from_world(pose)
        planes = self._map_planes(self.maps[log['location']], pose['translation'], pixels_from_world)
        annotations = [self.nusc.get('sample_annotation', annotation) for annotation in sample['anns']]
        planes += [self._boxes(annotations, name, pixels_from_world) for name in BOX_CLASSES]
        return BEVLabel(np.stack(planes), *self._vehicles(annotations, pixels_from_world), self.grid)

    def _pixels_from_world(self, pose: dict[str, Any]) -> np.ndarray:
        yaw = Quaternion(pose['rotation']).yaw_pitch_roll[0]
        world_from_ego = Quaternion(axis=(0, 0, 1), radians=yaw).transformation_matrix
        world_from_ego[:3, 3] = pose['translation']
        plane_from_space = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        return self.view @ plane_from_space @ np.linalg.inv(world_from_ego)

    def _map_planes(self, nusc_map: NuScenesMap, ego: Sequence[float], matrix: np.ndarray) -> list[np.ndarray]:
        square = (ego[0] - RADIUS, ego[1] - RADIUS, ego[0] + RADIUS, ego[1] + RADIUS)
        layers = [*POLYGON_LAYERS, *LINE_LAYERS]
        records = nusc_map.get_records_in_patch(square, layers, 'intersect')
        planes = []
        for layer in layers:
            plane = np.zeros(self.grid.size, np.uint8)
            for token in records[layer]:
                record = nusc_map.get(layer, token)
                if layer in LINE_LAYERS:
                    line = nusc_map.extract_line(record['line_token'])
                    cv2.polylines(plane, [_cells(line.coords, matrix)], False, (1,), thickness=1)
                else:
                    polygon = nusc_map.extract_polygon(record['polygon_token'])
                    cv2.fillPoly(plane, [_cells(polygon.exterior.coords, matrix)], (1,))
                    holes = [_cells(hole.coords, matrix) for hole in polygon.interiors]
                    if holes:
                        cv2.fillPoly(plane, holes, (0,))
            planes.append(plane)
        return planes

    def _boxes(self, annotations: Sequence[dict[str, Any]], name: str, matrix: np.ndarray) -> np.ndarray:
        plane = np.zeros(self.grid.size, np.uint8)
        for annotation in annotations:
            words = annotation['category_name'].split('.')
            if name == next((word for word in BOX_CLASSES if word in words), None):
                cv2.fillPoly(plane, [_cells(_bottom(annotation), matrix)], (1,))
        return plane

    def _vehicles(self, annotations: Sequence[dict[str, Any]], matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.indices(self.grid.size)
        visibility = np.full(self.grid.size, NO_VEHICLE, np.uint8)
        center = np.zeros(self.grid.size, np.float32)
        for annotation in annotations:
            if 'vehicle' not in annotation['category_name'].split('.'):
                continue
            corners = _bottom(annotation)
            plane = np.zeros(self.grid.size, np.uint8)
            cv2.fillPoly(plane, [_cells(corners, matrix)], (1,))
            column, row = _pixels(corners, matrix).mean(axis=0)
            mask = plane > 0
            visibility[mask] = int(annotation['visibility_token'])
            center[mask] = np.exp(-((columns[mask] - column) ** 2 + (rows[mask] - row) ** 2))
        return visibility, center


def label_steps(root: Path, version: str, grid: BEVGrid, frames: int) -> dict[str, Callable[[], list[Any]]]:
    """Steps to time that make labels from tables and maps in memory.

    Args:
        root: nuScenes folder.
        version: version of the tables; the training split is used.
        grid: grid of the labels, without an offset.
        frames: number of frames, evenly spaced over the split.

    Returns:
        ``plain``: planes by plain devkit calls; ``ours``: content of label files; ``ours, planes``: also expanded to
        planes; ``ours, file``: also encoded to files.

    Raises:
        ValueError: the labels differ (centres: by more than 1e-6).
    """
    plain = PlainLabels(root, version, grid)
    chosen = _frames(root, version, frames)
    maps = {name: MapLayers.from_file(root / 'maps/expansion' / f'{name}.json') for name in plain.maps}
    maker = LabelMaker(maps, grid, root)
    for frame in chosen:
        _check_equal(frame, plain.make(frame.token), expand(maker.make(frame)))
    return {
        'plain': lambda: [plain.make(frame.token) for frame in chosen],
        'ours': lambda: [maker.make(frame) for frame in chosen],
        'ours, planes': lambda: [expand(maker.make(frame)) for frame in chosen],
        'ours, file': lambda: [encode_label(maker.make(frame)) for frame in chosen],
    }


def _frames(root: Path, version: str, count: int) -> list[Frame]:
    tables = NuScenesTables(root, DatasetDescription(version=version))
    every = tables.frames(tables.splits()['train'])
    return [every[index] for index in np.linspace(0, len(every) - 1, min(count, len(every))).astype(int)]


def _check_equal(frame: Frame, expected: BEVLabel, found: BEVLabel) -> None:
    same = np.array_equal(expected.classes, found.classes) and np.array_equal(expected.visibility, found.visibility)
    if not same or not np.allclose(expected.center, found.center, rtol=0, atol=1e-6):
        raise ValueError(f'sample {frame.token}: expected the plain label and ours to be equal')


def _bottom(annotation: dict[str, Any]) -> np.ndarray:
    """World corners (4, 3) of the box's bottom face."""
    box = Box(annotation['translation'], annotation['size'], Quaternion(annotation['rotation']))
    return box.bottom_corners().T


def _pixels(points: Any, matrix: np.ndarray) -> np.ndarray:
    """(n, 2) as (column, row) of world points (n, 2) or (n, 3)."""
    homogeneous = np.zeros((len(points), 4))
    homogeneous[:, : len(points[0])] = points
    homogeneous[:, 3] = 1
    return (homogeneous @ matrix.T)[:, :2]


def _cells(points: Any, matrix: np.ndarray) -> np.ndarray:
    return _pixels(points, matrix).round().astype(np.int32)
