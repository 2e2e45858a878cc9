"""Labels made the plain way, from the devkit's own accessors: slow, and independent of the code under test."""

from __future__ import annotations

import cv2
import numpy as np
from nuscenes import NuScenes
from nuscenes.map_expansion.map_api import NuScenesMap
from nuscenes.utils.data_classes import Box
from pyquaternion import Quaternion

LAYERS = ('lane', 'road_segment', 'road_divider', 'lane_divider')
BOXES = ('car', 'truck', 'bus', 'trailer', 'construction', 'pedestrian', 'motorcycle', 'bicycle')


def matrix_of(rotation, translation) -> np.ndarray:
    """(4, 4) of a record."""
    result = Quaternion(rotation).transformation_matrix
    result[:3, 3] = translation
    return result


def flat_matrix(rotation, translation) -> np.ndarray:
    """(4, 4) of a record with the yaw of the specification only."""
    w, x, y, z = np.array(rotation) / np.linalg.norm(rotation)
    yaw = np.arctan2(2 * (w * z - x * y), 1 - 2 * (y * y + z * z))
    result = np.eye(4)
    result[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    result[:3, 3] = translation
    return result


def ego_pose(nusc: NuScenes, sample: dict, channel: str) -> dict:
    """Ego pose record of a sensor's key frame."""
    return nusc.get('ego_pose', nusc.get('sample_data', sample['data'][channel])['ego_pose_token'])


def camera_chain(nusc: NuScenes, sample: dict, channel: str) -> np.ndarray:
    """cam_from_ego (4, 4)."""
    record = nusc.get('sample_data', sample['data'][channel])
    calibration = nusc.get('calibrated_sensor', record['calibrated_sensor_token'])
    pose, lidar_pose = ego_pose(nusc, sample, channel), ego_pose(nusc, sample, 'LIDAR_TOP')
    cam_from_egocam = np.linalg.inv(matrix_of(calibration['rotation'], calibration['translation']))
    egocam_from_world = np.linalg.inv(matrix_of(pose['rotation'], pose['translation']))
    return cam_from_egocam @ egocam_from_world @ flat_matrix(lidar_pose['rotation'], lidar_pose['translation'])


class NaiveLabels:
    """Labels of one sample: ``classes`` (12, h, w), ``visibility`` (h, w) and ``center`` (h, w)."""

    def __init__(self, nusc: NuScenes, nusc_map: NuScenesMap, sample: dict, size, metres, offset: float = 0.0) -> None:
        pose = ego_pose(nusc, sample, 'LIDAR_TOP')
        self.world_from_ego = flat_matrix(pose['rotation'], pose['translation'])
        self.size, self.metres, self.offset = size, metres, offset
        self.map = nusc_map
        self.annotations = [nusc.get('sample_annotation', token) for token in sample['anns']]
        planes = [self.map_plane(layer) for layer in LAYERS] + [self.box_plane(name) for name in BOXES]
        self.classes = np.stack(planes)
        self.visibility, self.center = self.vehicles()

    def to_grid(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) pixels of (n, 3) world points."""
        ego = (points - self.world_from_ego[:3, 3]) @ self.world_from_ego[:3, :3]
        (h, w), (h_m, w_m) = self.size, self.metres
        column = w / 2 - ego[:, 1] * w / w_m
        row = h / 2 + h * self.offset - ego[:, 0] * h / h_m
        return np.stack([column, row], 1)

    def cells(self, points) -> np.ndarray:
        """Rounded pixels of (n, 2) or (n, 3) world points."""
        points = np.array(points, dtype=float)
        if points.shape[1] == 2:
            points = np.pad(points, ((0, 0), (0, 1)))
        return np.rint(self.to_grid(points)).astype(np.int32)

    def map_plane(self, layer: str) -> np.ndarray:
        """(h, w) of a map layer."""
        plane = np.zeros(self.size, np.uint8)
        x, y = self.world_from_ego[:2, 3]
        square = (x - 150, y - 150, x + 150, y + 150)
        for token in self.map.get_records_in_patch(square, [layer], 'intersect')[layer]:
            record = self.map.get(layer, token)
            if 'divider' in layer:
                line = self.map.extract_line(record['line_token'])
                cv2.polylines(plane, [self.cells(line.coords)], False, 1, 1)
            else:
                polygon = self.map.extract_polygon(record['polygon_token'])
                cv2.fillPoly(plane, [self.cells(polygon.exterior.coords)], 1)
                for hole in polygon.interiors:
                    cv2.fillPoly(plane, [self.cells(hole.coords)], 0)
        return plane

    def bottom(self, annotation: dict) -> np.ndarray:
        """World corners (4, 3)."""
        box = Box(annotation['translation'], annotation['size'], Quaternion(annotation['rotation']))
        return box.bottom_corners().T

    def box_plane(self, name: str) -> np.ndarray:
        """(h, w) of a dynamic class."""
        plane = np.zeros(self.size, np.uint8)
        for annotation in self.annotations:
            words = annotation['category_name'].split('.')
            if next((n for n in BOXES if n in words), None) == name:
                cv2.fillPoly(plane, [self.cells(self.bottom(annotation))], 1)
        return plane

    def vehicles(self) -> tuple[np.ndarray, np.ndarray]:
        """(h, w) visibility and (h, w) center."""
        visibility = np.full(self.size, 255, np.uint8)
        center = np.zeros(self.size, np.float64)
        for annotation in self.annotations:
            if 'vehicle' not in annotation['category_name'].split('.'):
                continue
            corners = self.bottom(annotation)
            mask = np.zeros(self.size, np.uint8)
            cv2.fillPoly(mask, [self.cells(corners)], 1)
            column, row = self.to_grid(corners).mean(0)
            for i, j in np.argwhere(mask):
                visibility[i, j] = int(annotation['visibility_token'])
                center[i, j] = np.exp(-((j - column) ** 2) - (i - row) ** 2)
        return visibility, center
