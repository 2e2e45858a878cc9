"""mmdet3d's info files, version 2 (``.pkl``), as in its ``demo/data/nuscenes``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pyquaternion import Quaternion

from ..errors import DataError
from ..fileio.checks import camera_matrix, pose
from ..fileio.restricted_pickle import short
from ..geometry import flat_pose, invert_rigid
from .info_pickle import read_info_pickle
from .source import Source, choose_frames


def mmdet3d_source(
    path: Path,
    root: Path | None = None,
    cameras: Sequence[str] | None = None,
    frames: Sequence[str] = (),
    scene: str | None = None,
) -> Source:
    """Opens an info pickle; see :func:`nuscenes_source` for the arguments.

    Raises:
        DataError: the file is not an info pickle or contains forbidden objects, or a selected frame is not in it.
    """
    content = read_info_pickle(path)
    items = content.get('data_list') if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise DataError(f'{path}: expected a dict with a data_list of frames (mmdet3d 1.1 or later), found none')
    for index, item in enumerate(items):
        _check_names(item, f'{path}: data_list[{index}]')

    def parse(item: dict) -> dict:
        token, scene_name = _keys(item)
        where = f'{path}: sample {token}'
        images = item.get('images')
        if not isinstance(images, dict) or not images or not all(isinstance(name, str) for name in images):
            raise DataError(f'{where}: images: expected a dict with one entry per camera, found {short(images)}')
        names = cameras or list(images)
        missing = [name for name in names if not isinstance(images.get(name), dict)]
        if missing:
            raise DataError(f'{where}: images: expected {missing[0]} with its keys, found {short(list(images))}')
        notes: list[str] = []
        flat_from_lidar = _flat_ego_from_lidar(item, [(name, images[name]) for name in names], where, notes)
        parsed_images = [
            _image(images[name], name, flat_from_lidar, root or path.parent, f'{where}: images.{name}')
            for name in names
        ]
        return dict(sample_token=token, scene_name=scene_name, images=parsed_images, notes=notes)

    return choose_frames(Source(items, parse), frames, scene, _keys, str(path))


def _keys(item: dict) -> tuple[str, str]:
    return str(item.get('token', item.get('sample_idx'))), item.get('scene_token', '')


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


def _flat_ego_from_lidar(item: dict, images: Sequence[tuple[str, dict]], where: str, notes: list[str]) -> np.ndarray:
    """flat(ego2global)⁻¹ · ego2global · lidar2ego, (4, 4)."""
    world_from_ego = pose(item.get('ego2global'), f'{where}: ego2global')
    world_from_flat = flat_pose(
        list(Quaternion(matrix=_rotation(world_from_ego)).elements), world_from_ego[:3, 3].tolist()
    )
    points = item.get('lidar_points')
    if isinstance(points, dict) and points.get('lidar2ego') is not None:
        ego_from_lidar = pose(points['lidar2ego'], f'{where}: lidar_points.lidar2ego')
    else:
        ego_from_lidar = _approximate_lidar(images, where, notes)
    return invert_rigid(world_from_flat) @ world_from_ego @ ego_from_lidar


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
