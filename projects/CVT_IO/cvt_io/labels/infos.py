"""Info files: the frames of a split in mmengine's BaseDataset format. Their content is validated on reading."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..fileio.atomic import write_atomic
from ..fileio.checks import camera_matrix, image_path, image_size, is_name, pose
from ..fileio.records import read_json
from ..geometry import is_pinhole, is_rigid
from .classes import CLASSES
from .description import DatasetDescription
from .frame import Frame

INFO_VERSION = 1
_FRAME_KEYS = ('sample_token', 'scene_name', 'timestamp', 'world_from_ego', 'label', 'images')
_IMAGE_KEYS = ('camera', 'path', 'width', 'height', 'intrinsics', 'cam_from_ego')
_ADVICE = 'make them again with tools/create_data.py'


def write_infos(
    path: Path,
    frames: Sequence[Frame],
    description: DatasetDescription,
    split: str,
    missing_classes: Sequence[str] = (),
) -> None:
    """Writes the info file of a split, one frame per line, with full float64 precision.

    Args:
        path: the file.
        frames: frames of the split.
        description: description of the data set.
        split: name of the split.
        missing_classes: classes that the labels cannot have, e.g. without a map.
    """
    metainfo = {
        'dataset': description.name,
        'version': description.version,
        'split': split,
        'info_version': INFO_VERSION,
        'cameras': description.cameras,
        'classes': CLASSES,
    }
    if missing_classes:
        metainfo['missing_classes'] = [*missing_classes]
    lines = ',\n'.join(json.dumps(frame_info(frame, description.has_labels)) for frame in frames)
    write_atomic(path, f'{{"metainfo": {json.dumps(metainfo)},\n"data_list": [\n{lines}\n]}}\n'.encode())


def frame_info(frame: Frame, labelled: bool) -> dict:
    """An entry of ``data_list``; images are relative to the data set's root, labels to a label folder."""
    return {
        'sample_token': frame.token,
        'scene_name': frame.scene,
        'timestamp': frame.timestamp,
        'world_from_ego': frame.world_from_ego.tolist(),
        'label': frame.label_name if labelled else None,
        'images': [
            {
                'camera': camera.channel,
                'path': camera.path,
                'width': camera.width,
                'height': camera.height,
                'intrinsics': camera.intrinsics.tolist(),
                'cam_from_ego': camera.cam_from_ego.tolist(),
            }
            for camera in frame.cameras
        ],
    }


def read_infos(path: Path) -> tuple[dict, list[dict]]:
    """Reads metainfo and frames (:func:`check_infos`) of an info file.

    Raises:
        DataError: the file cannot be read, or is not an info file of this version.
    """
    content = read_json(path)
    frames = check_infos(content, path)
    return content['metainfo'], frames


def read_metainfo(path: Path) -> dict:
    """Reads only the metainfo, which :func:`write_infos` writes to the first line.

    Raises:
        DataError: see :func:`read_infos`.
    """
    try:
        with path.open(encoding='utf-8') as file:
            metainfo = json.loads(file.readline().rstrip().rstrip(',') + '}')['metainfo']
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        metainfo = None
    return metainfo if isinstance(metainfo, dict) else read_infos(path)[0]


def check_infos(content: Any, path: Path) -> list[dict]:
    """Returns the frames of an info file after checking that each is a record with a unique token.

    Args:
        content: content of the file.
        path: path of the file.

    Raises:
        DataError: the file is not an info file of this version, or has no frames or duplicate ones.
    """
    metainfo = content.get('metainfo') if isinstance(content, dict) else None
    if not isinstance(metainfo, dict):
        raise DataError(f'{path}: expected infos with the key metainfo, found {content!r:.60}')
    for key, expected in (('info_version', INFO_VERSION), ('classes', [*CLASSES])):
        if metainfo.get(key) != expected:
            raise DataError(f'{path}: metainfo.{key}: expected {expected}, found {metainfo.get(key)!r:.60}; {_ADVICE}')
    cameras = metainfo.get('cameras')
    if not isinstance(cameras, list) or not cameras or not all(isinstance(name, str) for name in cameras):
        raise DataError(f'{path}: metainfo.cameras: expected a list of names, found {cameras!r:.60}')
    frames = content.get('data_list')
    if not isinstance(frames, list) or not frames:
        raise DataError(f'{path}: data_list: expected a list of at least one frame, found {frames!r:.60}')
    first: dict[str, int] = {}
    for index, frame in enumerate(frames):
        token = frame.get('sample_token') if isinstance(frame, dict) else None
        if not is_name(token):
            raise DataError(
                f'{path}: data_list[{index}].sample_token: expected a name of the frame, found {token!r:.60}'
            )
        if first.setdefault(token, index) != index:
            raise DataError(
                f'{path}: sample_token: expected each once, found {token} in data_list[{first[token]}] and [{index}]'
            )
    return frames


def check_frame(info: dict, where: str, calibrated: bool = False) -> None:
    """Checks that a frame has its keys, that names and label agree, and that its pose is rigid.

    Args:
        info: the frame.
        where: name of the frame for error messages.
        calibrated: whether :func:`are_calibrated` has already validated its pose.

    Raises:
        DataError: one of these is not the case.
    """
    _require(info, _FRAME_KEYS, where)
    if not is_name(info['scene_name']):
        raise DataError(f'{where}: scene_name: expected a name, found {info["scene_name"]!r:.60}')
    label = f'{info["scene_name"]}/{info["sample_token"]}.png'
    if info['label'] is not None and info['label'] != label:
        raise DataError(f"{where}: label: expected this frame's {label}, found {info['label']!r:.100}")
    if not calibrated:
        pose(info['world_from_ego'], f'{where}: world_from_ego')


def choose_images(info: dict, known: Sequence[str], cameras: Sequence[str] | None, where: str) -> list[dict]:
    """Selects the images of some cameras, in the order of the cameras.

    Args:
        info: the frame.
        known: the cameras of the infos; each frame must have all of them.
        cameras: cameras to select; None for all.
        where: name of the frame for error messages.

    Raises:
        DataError: a camera is missing, unknown or duplicate, or an image is not a record.
    """
    images = info.get('images')
    by_camera: dict[str, dict] = {}
    for image in images if isinstance(images, list) and images else [None]:
        if not isinstance(image, dict) or not isinstance(image.get('camera'), str):
            raise DataError(f'{where}: images: expected entries with a camera name, found {image!r:.60}')
        if image['camera'] not in known:
            raise DataError(f'{where}: images: expected the cameras {", ".join(known)}, found {image["camera"]!r:.60}')
        if by_camera.setdefault(image['camera'], image) is not image:
            raise DataError(f'{where}: images: expected each camera once, found {image["camera"]} twice')
    for name in (*known, *(cameras or ())):
        if name not in by_camera:
            raise DataError(f'{where}: images: expected the camera {name}, found {", ".join(by_camera)}')
    return [by_camera[name] for name in cameras or known]


def parse_image(image: dict, root: Path, where: str, calibrated: bool = False) -> dict[str, Any]:
    """Validates an entry of a frame's ``images`` and makes its path absolute.

    Args:
        image: the entry.
        root: folder of the images.
        where: name of the frame for error messages.
        calibrated: whether :func:`are_calibrated` has already validated its calibration.

    Raises:
        DataError: a key is missing or a value is invalid.
    """
    where = f'{where}: {image["camera"]}'
    _require(image, _IMAGE_KEYS, where)
    size = image_size(image, where)
    if not calibrated:
        camera_matrix(image['intrinsics'], f'{where}: intrinsics', size)
        pose(image['cam_from_ego'], f'{where}: cam_from_ego')
    return dict(image, path=image_path(image['path'], root, f'{where}: path'))


def are_calibrated(frames: Sequence[dict]) -> np.ndarray:
    """Whether the pose and the calibration of each frame are valid, bool (n,).

    Validating all frames at once takes a hundredth of the time. If any frame is malformed, the result may be False for
    all; :func:`parse_image` then checks them one by one and reports the error.
    """
    try:
        intrinsics = np.array([[image['intrinsics'] for image in frame['images']] for frame in frames])
        cam_from_ego = np.array([[image['cam_from_ego'] for image in frame['images']] for frame in frames])
        world_from_ego = np.array([[frame['world_from_ego']] for frame in frames])
        sizes = np.array([[[image['width'], image['height']] for image in frame['images']] for frame in frames])
    except (KeyError, TypeError, ValueError, OverflowError):
        return np.zeros(len(frames), bool)
    shapes = [(array.dtype.kind, array.shape[2:]) for array in (intrinsics, cam_from_ego, world_from_ego, sizes)]
    if shapes != [('f', (3, 3)), ('f', (4, 4)), ('f', (4, 4)), ('i', (2,))]:
        return np.zeros(len(frames), bool)
    good = (sizes > 0).all(axis=-1) & is_pinhole(intrinsics, np.maximum(sizes, 1))
    return (good & is_rigid(cam_from_ego) & is_rigid(world_from_ego)).all(axis=1)


def _require(record: dict, keys: Sequence[str], where: str) -> None:
    for key in keys:
        if key not in record:
            raise DataError(f'{where}: expected the key {key}, found {", ".join(map(str, record))}')
