"""Custom rigs, described by a JSON file; see ``rig.schema.json`` and docs/own_rig.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..fileio.checks import camera_matrix, image_path, pose
from ..geometry import invert_rigid
from .source import Source, choose_frames

SCHEMA = Path(__file__).with_name('rig.schema.json')
_CAMERA_KEYS = {'intrinsics', 'cam_from_ego', 'ego_from_cam'}
_FRAME_KEYS = {'token', 'scene', 'images'}


def rig_source(
    content: dict, path: Path, root: Path | None = None, frames: Sequence[str] = (), scene: str | None = None
) -> Source:
    """Opens a rig; see :func:`nuscenes_source` for the arguments.

    Raises:
        DataError: the file does not follow the schema, or a selected frame is not in it.
    """
    _check_keys(content, {'cameras', 'frames', '$schema'}, str(path))
    cameras, items = content.get('cameras'), content.get('frames')
    if not isinstance(cameras, dict) or not cameras:
        raise DataError(f'{path}: cameras: expected an object with one entry per camera, found {cameras!r:.60}')
    if not isinstance(items, list) or not items:
        raise DataError(f'{path}: frames: expected a list with one entry per frame, found {items!r:.60}')
    calibration = {name: _camera(camera, f'{path}: cameras.{name}') for name, camera in cameras.items()}
    for index, item in enumerate(items):
        where = f'{path}: frames[{index}]'
        _check_keys(item, _FRAME_KEYS, where)
        for key in ('token', 'scene') if 'scene' in item else ('token',):
            if not isinstance(item.get(key), str) or not item[key]:
                raise DataError(f'{where}.{key}: expected a name, found {item.get(key)!r:.60}')

    def parse(item: dict) -> dict:
        token, scene_name = _keys(item)
        where = f'{path}: frame {token}: images'
        images = item.get('images')
        if not isinstance(images, dict) or not images:
            raise DataError(f'{where}: expected a path for each camera, found {images!r:.60}')
        unknown = [name for name in images if name not in calibration]
        if unknown:
            raise DataError(f'{where}: expected cameras {", ".join(calibration)}, found {unknown[0]}')
        parsed = [
            dict(
                camera=name, path=image_path(images[name], root or path.parent, f'{where}.{name}'), **calibration[name]
            )
            for name in calibration
            if name in images
        ]
        return dict(sample_token=token, scene_name=scene_name, images=parsed)

    return choose_frames(Source(items, parse, any_rig=True), frames, scene, _keys, str(path))


def _keys(item: dict) -> tuple[str, str]:
    return item['token'], item.get('scene', '')


def _camera(camera: Any, where: str) -> dict[str, Any]:
    """Calibration of a camera."""
    _check_keys(camera, _CAMERA_KEYS, where)
    if ('cam_from_ego' in camera) == ('ego_from_cam' in camera):
        raise DataError(f'{where}: expected one of cam_from_ego and ego_from_cam, found {", ".join(camera) or "none"}')
    if 'cam_from_ego' in camera:
        cam_from_ego = pose(camera['cam_from_ego'], f'{where}.cam_from_ego')
    else:
        cam_from_ego = invert_rigid(pose(camera['ego_from_cam'], f'{where}.ego_from_cam'))
    return dict(intrinsics=camera_matrix(camera.get('intrinsics'), f'{where}.intrinsics'), cam_from_ego=cam_from_ego)


def _check_keys(record: Any, known: set[str], where: str) -> None:
    if not isinstance(record, dict):
        raise DataError(f'{where}: expected an object, found {record!r:.60}')
    unknown = sorted(set(record) - known)
    if unknown:
        raise DataError(f'{where}: expected {", ".join(sorted(known))}, found {unknown[0]!r:.60}')
