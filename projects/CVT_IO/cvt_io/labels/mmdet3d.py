"""mmdet3d's info files of nuScenes (``nuscenes_infos_*.pkl``), versions 1 and 2."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pyquaternion import Quaternion

from ..errors import DataError
from ..fileio.checks import camera_matrix, numbers, pose
from ..fileio.info_pickle import read_info_pickle
from ..fileio.restricted_pickle import short
from ..geometry import flat_pose, invert_rigid, pose_matrix
from .codec import FULLY_VISIBLE
from .description import DatasetDescription
from .frame import Annotation

#: mmdet3d's classes → ours, in the order of mmdet3d's labels.
CATEGORIES = {
    'car': 'car',
    'truck': 'truck',
    'trailer': 'trailer',
    'bus': 'bus',
    'construction_vehicle': 'construction',
    'bicycle': 'bicycle',
    'motorcycle': 'motorcycle',
    'pedestrian': 'pedestrian',
    'traffic_cone': None,
    'barrier': None,
}
#: Limitations of labels made from these files.
LIMITS = (
    "labels are drawn from mmdet3d's boxes: every vehicle counts as fully visible, boxes of other categories than its "
    'ten are in no class, and there is no map'
)
_OURS = DatasetDescription(categories=CATEGORIES)


@dataclass(frozen=True)
class MMDet3DInfos:
    """Content of an info file.

    Attributes:
        path: the file.
        items: frames in the format of the file.
        names: category of each label.
    """

    path: Path
    items: Sequence[dict]
    names: Mapping[int, str]

    @classmethod
    def read(cls, path: Path) -> MMDet3DInfos:
        """Reads a file with the restricted unpickler.

        Raises:
            DataError: the file is not an info pickle, or contains forbidden objects.
        """
        content = read_info_pickle(path)
        items = content.get('data_list', content.get('infos')) if isinstance(content, dict) else None
        if not isinstance(items, list):
            raise DataError(f'{path}: expected a dict with a data_list or infos of frames, found another')
        for index, item in enumerate(items):
            _check_names(item, f'{path}: data_list[{index}]')
        metainfo = content.get('metainfo')
        categories = metainfo.get('categories') if isinstance(metainfo, dict) else None
        if not isinstance(categories, dict):
            categories = {name: label for label, name in enumerate(CATEGORIES)}
        return cls(path, items, {label: name for name, label in categories.items()})

    def cameras(self) -> list[str]:
        """Cameras of the first frame; intact frames all have the same."""
        images = (self.items[0].get('images') or self.items[0].get('cams')) if self.items else None
        return [name for name in images if isinstance(name, str)] if isinstance(images, dict) else []

    def frame(self, item: dict, root: Path, cameras: Sequence[str] | None = None) -> dict[str, Any]:
        """Converts a frame to the format of our infos, with ``notes`` on assumptions.

        Args:
            item: frame in the format of the file.
            root: folder of the images.
            cameras: cameras to use, in this order; None for those of the file.

        Raises:
            DataError: the frame is broken, or an image does not exist.
        """
        token, scene_name = item_keys(item)
        where = f'{self.path}: sample {token}'
        item = _version_2(item, where)
        images = item.get('images')
        if not isinstance(images, dict) or not images or not all(isinstance(name, str) for name in images):
            raise DataError(f'{where}: images: expected a dict with one entry per camera, found {short(images)}')
        names = cameras or list(images)
        missing = [name for name in names if not isinstance(images.get(name), dict)]
        if missing:
            raise DataError(f'{where}: images: expected {missing[0]} with its keys, found {short(list(images))}')
        notes: list[str] = []
        chosen = [(name, images[name]) for name in names]
        world_from_flat, flat_from_lidar = _flat_ego_from_lidar(item, chosen, where, notes)
        parsed_images = [
            _image(image, name, flat_from_lidar, root, f'{where}: images.{name}') for name, image in chosen
        ]
        time = item.get('timestamp')
        return dict(
            sample_token=token,
            scene_name=scene_name,
            timestamp=round(time * 1e6) if isinstance(time, float) and 0 <= time < 1e11 else 0,
            world_from_ego=world_from_flat.tolist(),
            images=parsed_images,
            notes=notes,
        )

    def annotations(self, item: dict) -> tuple[Annotation, ...]:
        """Boxes of a frame in the world frame. The files have no visibility, so vehicles count as fully visible.

        Raises:
            DataError: there are no boxes, as in the test split, or they are broken.
        """
        where = f'{self.path}: sample {item_keys(item)[0]}'
        item = _version_2(item, where)
        instances = item.get('instances')
        if not isinstance(instances, list):
            raise DataError(f'{where}: instances: expected the annotated boxes, found {short(instances)}')
        world_from_ego = pose(item.get('ego2global'), f'{where}: ego2global')
        points = item.get('lidar_points')
        ego_from_lidar = pose(
            points.get('lidar2ego') if isinstance(points, dict) else None, f'{where}: lidar_points.lidar2ego'
        )
        world_from_lidar = world_from_ego @ ego_from_lidar
        turn = Quaternion(matrix=_rotation(world_from_lidar))
        annotations = []
        for index, instance in enumerate(instances):
            key = f'{where}: instances[{index}]'
            if not isinstance(instance, dict):
                raise DataError(f'{key}: expected a box, found {short(instance)}')
            box = [instance.get('bbox_3d')]
            x, y, z, length, width, height, yaw = numbers(box, f'{key}.bbox_3d', 1, 7)[0].tolist()
            own = instance.get('name', self.names.get(instance.get('bbox_label_3d', -1), ''))
            center = world_from_lidar @ (x, y, z, 1)
            rotation = turn * Quaternion(axis=(0, 0, 1), radians=yaw)
            name = _OURS.category(own)
            annotations.append(
                Annotation(
                    name,
                    FULLY_VISIBLE,
                    tuple(center[:3].tolist()),
                    (width, length, height),
                    tuple(rotation.elements.tolist()),
                )
            )
        return tuple(annotations)


def item_keys(item: dict) -> tuple[str, str]:
    """Sample token and scene token of an item."""
    return str(item.get('token', item.get('sample_idx'))), item.get('scene_token', '')


def _version_2(item: dict, where: str) -> dict:
    """Converts an item of version 1 to version 2; others are returned unchanged."""
    if 'cams' not in item:
        return item
    try:
        converted = {
            'timestamp': item.get('timestamp', 0) / 1e6,
            'ego2global': pose_matrix(*_pose_of(item, 'ego2global')).tolist(),
            'lidar_points': {'lidar2ego': pose_matrix(*_pose_of(item, 'lidar2ego')).tolist()},
            'images': {name: _image_of_version_1(cam) for name, cam in item['cams'].items()},
        }
        if 'gt_boxes' in item:
            boxes = np.asarray(item['gt_boxes'], np.float64).reshape(-1, 7)
            names = np.asarray(item['gt_names']).tolist()
            if _is_old(boxes, names):
                boxes = boxes[:, [0, 1, 2, 4, 3, 5, 6]]
                boxes[:, 6] = -boxes[:, 6] - np.pi / 2
            pairs = zip(boxes.tolist(), names, strict=True)
            converted['instances'] = [{'bbox_3d': box, 'name': name} for box, name in pairs]
        return converted
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f'{where}: expected a frame of mmdet3d infos of version 1, found {error!r:.100}') from error


def _is_old(boxes: np.ndarray, names: Sequence[str]) -> bool:
    """Whether boxes are (w, l, h) with the yaw of mmdet3d before 1.0, judged by cars being longer than wide."""
    cars = boxes[[name == 'car' for name in names]]
    return len(cars) > 0 and bool(np.median(cars[:, 3] - cars[:, 4]) < 0)


def _pose_of(record: dict, name: str) -> tuple[list[float], list[float]]:
    return np.asarray(record[f'{name}_rotation']).tolist(), np.asarray(record[f'{name}_translation']).tolist()


def _image_of_version_1(cam: dict) -> dict:
    lidar_from_cam = np.eye(4)
    lidar_from_cam[:3, :3] = np.asarray(cam['sensor2lidar_rotation'])
    lidar_from_cam[:3, 3] = np.asarray(cam['sensor2lidar_translation'])
    return {
        'img_path': cam['data_path'],
        'cam2img': np.asarray(cam['cam_intrinsic']).tolist(),
        'cam2ego': pose_matrix(*_pose_of(cam, 'sensor2ego')).tolist(),
        'lidar2cam': invert_rigid(lidar_from_cam).tolist(),
    }


def _check_names(item: Any, where: str) -> None:
    token = item.get('token', item.get('sample_idx')) if isinstance(item, dict) else None
    scene = item.get('scene_token', '') if isinstance(item, dict) else None
    if not (isinstance(token, str) or (isinstance(token, int) and 0 <= token < 2**63)) or not isinstance(scene, str):
        raise DataError(f'{where}: expected a frame with a token or sample_idx, found {short(item)}')


def _image(image: dict, name: str, flat_from_lidar: np.ndarray, root: Path, where: str) -> dict[str, Any]:
    # lidar2cam · lidar2ego⁻¹ · ego2global⁻¹ · flat(ego2global). Unlike cam2ego, lidar2cam includes the ego motion
    # between the timestamps of lidar and camera.
    cam_from_flat = pose(image.get('lidar2cam'), f'{where}.lidar2cam') @ invert_rigid(flat_from_lidar)
    return dict(
        camera=name,
        path=_find_image(image.get('img_path'), name, root, f'{where}.img_path'),
        intrinsics=camera_matrix(image.get('cam2img'), f'{where}.cam2img'),
        cam_from_ego=cam_from_flat,
    )


def _flat_ego_from_lidar(
    item: dict, images: Sequence[tuple[str, dict]], where: str, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """flat(ego2global), and flat(ego2global)⁻¹ · ego2global · lidar2ego, (4, 4)."""
    world_from_ego = pose(item.get('ego2global'), f'{where}: ego2global')
    world_from_flat = flat_pose(
        list(Quaternion(matrix=_rotation(world_from_ego)).elements), world_from_ego[:3, 3].tolist()
    )
    points = item.get('lidar_points')
    if isinstance(points, dict) and points.get('lidar2ego') is not None:
        ego_from_lidar = pose(points['lidar2ego'], f'{where}: lidar_points.lidar2ego')
    else:
        ego_from_lidar = _approximate_lidar(images, where, notes)
    return world_from_flat, invert_rigid(world_from_flat) @ world_from_ego @ ego_from_lidar


def _approximate_lidar(images: Sequence[tuple[str, dict]], where: str, notes: list[str]) -> np.ndarray:
    """Estimates lidar2ego as the mean of cam2ego · lidar2cam, which is exact for a stationary ego."""
    estimates = np.stack(
        [
            pose(image.get('cam2ego'), f'{where}: no lidar_points.lidar2ego, and images.{name}.cam2ego')
            @ pose(image.get('lidar2cam'), f'{where}: images.{name}.lidar2cam')
            for name, image in images
        ]
    )
    mean = estimates.mean(axis=0)
    mean[:3, :3] = _rotation(mean)
    metres = np.linalg.norm(estimates[:, :3, 3] - mean[:3, 3], axis=1).max()
    notes.append(
        'no lidar_points.lidar2ego: approximated by the mean of cam2ego · lidar2cam, from which the cameras differ by '
        f'up to {metres:.1f} m (ego motion between the timestamps)'
    )
    return mean


def _rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation closest to that of a matrix, which may be rounded to float32."""
    left, _, right = np.linalg.svd(matrix[:3, :3])
    return left @ right


def _find_image(name: Any, camera: str, root: Path, where: str) -> str:
    """Finds an image in the folder itself or, as in the full data set, in ``samples/<camera>``; never elsewhere."""
    if not isinstance(name, str) or not name or '\0' in name:
        raise DataError(f'{where}: expected the path of an image, found {short(name)}')
    file = PurePosixPath(name.replace('\\', '/')).name
    candidates = [root / file, root / 'samples' / PurePosixPath(camera).name / file]
    for candidate in candidates:
        if os.path.isfile(candidate):  # noqa: PTH113 (Path.is_file raises on a name that is too long)
            return str(candidate)
    raise DataError(f'{where}: no such file: {" or ".join(map(str, candidates))}')
