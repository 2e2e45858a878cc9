"""Frames of the nuScenes tables: cameras, poses and annotations of every key frame of a split.

The tables are read directly: the devkit's constructor also wants the map mask images, which are not needed here, and
keeps every sweep in memory.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from nuscenes.utils.splits import create_splits_scenes

from ...errors import DataError
from ...fileio.checks import image_path, is_name
from ...fileio.records import Record, Table
from ...geometry import (
    flat_pose,
    invert_rigid,
    is_pinhole,
    pose_matrix,
)
from ..classes import is_vehicle

CAMERAS = ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_BACK_LEFT', 'CAM_BACK', 'CAM_BACK_RIGHT')
LIDAR = 'LIDAR_TOP'

#: Our split names → the devkit's, for each version of the data set.
SPLITS = {
    'v1.0-trainval': {'train': 'train', 'val': 'val'},
    'v1.0-mini': {'train': 'mini_train', 'val': 'mini_val'},
    'v1.0-test': {'test': 'test'},
}


class Annotation(NamedTuple):
    """An annotated box; ``visibility`` is the token 1–4 of a vehicle, 0 of everything else.

    World frame, metres; ``size`` is (width, length, height), ``rotation`` a quaternion (w, x, y, z).
    """

    category: str
    visibility: int
    translation: tuple[float, ...]
    size: tuple[float, ...]
    rotation: tuple[float, ...]


@dataclass(frozen=True)
class Camera:
    """An image with its calibration; ``path`` is relative to the data set's root.

    ``cam_from_ego`` (4, 4) starts from the flat ego pose at the lidar's time and goes through the full ego pose at
    the image's own time.
    """

    channel: str
    path: str
    width: int
    height: int
    intrinsics: np.ndarray
    cam_from_ego: np.ndarray


@dataclass(frozen=True)
class Frame:
    """A key frame; ``world_from_ego`` (4, 4) is the flat (yaw only) ego pose at the lidar's time."""

    token: str
    scene: str
    location: str
    timestamp: int
    world_from_ego: np.ndarray
    cameras: tuple[Camera, ...]
    annotations: tuple[Annotation, ...]


def splits_of(version: str) -> dict[str, str]:
    """Our split names and the devkit's of a version.

    Raises:
        DataError: the version is unknown.
    """
    if version not in SPLITS:
        raise DataError(f'version: expected one of {", ".join(SPLITS)}, got {version!r}')
    return SPLITS[version]


class NuScenesTables:
    """The tables of one version, reduced to the key frames of the lidar and the six cameras.

    Args:
        root: folder that holds ``<version>/``.
        version: for example ``v1.0-mini``.
        annotations: whether to read the annotations too (the test version has none).

    Raises:
        DataError: a table is missing or unreadable, a key is missing or a token leads nowhere.
    """

    def __init__(self, root: Path, version: str, annotations: bool = True) -> None:
        self.folder = Path(root) / version
        if not self.folder.is_dir():
            found = ', '.join(sorted(p.name for p in Path(root).glob('v1.0-*') if p.is_dir())) or 'none'
            raise DataError(f'{self.folder}: no such folder (versions found in {root}: {found})')
        self.scene = self._table('scene', 'name', 'log_token', 'first_sample_token')
        self.log = self._table('log', 'location')
        self.sample = self._table('sample', 'timestamp', 'next')
        self._read_sample_data()
        self._annotations = self._read_annotations() if annotations else {}

    def _table(self, name: str, *keys: str) -> Table:
        return Table(self.folder / f'{name}.json', keys)

    def _read_sample_data(self) -> None:
        sensor = self._table('sensor', 'channel')
        self.calibrated_sensor = self._table(
            'calibrated_sensor', 'sensor_token', 'translation', 'rotation', 'camera_intrinsic'
        )
        channels = {c['token']: sensor.get(c['sensor_token'])['channel'] for c in self.calibrated_sensor.records}
        others = {token for token, channel in channels.items() if channel not in (LIDAR, *CAMERAS)}
        self.sample_data = Table(
            self.folder / 'sample_data.json',
            (
                'is_key_frame',
                'sample_token',
                'ego_pose_token',
                'calibrated_sensor_token',
                'filename',
                'width',
                'height',
            ),
            # The sweeps are more than nine in ten records.
            drop=lambda r: not r.get('is_key_frame', True) or r.get('calibrated_sensor_token') in others,
        )
        poses = {record['ego_pose_token'] for record in self.sample_data.records}
        self.ego_pose = Table(
            self.folder / 'ego_pose.json',
            ('translation', 'rotation'),
            drop=lambda r: 'token' in r and r['token'] not in poses,
        )
        self._data: dict[str, dict[str, Record]] = defaultdict(dict)
        for record in self.sample_data.records:
            self.calibrated_sensor.get(record['calibrated_sensor_token'])
            self._data[record['sample_token']][channels[record['calibrated_sensor_token']]] = record

    def _read_annotations(self) -> dict[str, list[Annotation]]:
        """Annotations by sample token, in the order of their table."""
        category = self._table('category', 'name')
        instance = self._table('instance', 'category_token')
        names = {r['token']: category.get(r['category_token'])['name'] for r in instance.records}
        table = self._table(
            'sample_annotation', 'sample_token', 'instance_token', 'visibility_token', 'translation', 'size', 'rotation'
        )
        result = defaultdict(list)
        for record in table.records:
            self.sample.get(record['sample_token'])
            name = names[instance.get(record['instance_token'])['token']]
            visibility = 0
            if is_vehicle(name):
                if str(record['visibility_token']) not in ('1', '2', '3', '4'):
                    raise table.error(record, 'visibility_token', 'a vehicle to be 1, 2, 3 or 4')
                visibility = int(record['visibility_token'])
            translation, size = table.numbers(record, 'translation', 3), table.numbers(record, 'size', 3)
            rotation = table.numbers(record, 'rotation', 4)
            vectors = (tuple(vector.tolist()) for vector in (translation, size, rotation))
            result[record['sample_token']].append(Annotation(name, visibility, *vectors))
        return result

    def frames(self, split: str) -> list[Frame]:
        """Frames of a devkit split: its scenes that the scene table holds, in split order, frames in time order."""
        scenes = {record['name']: record for record in self.scene.records}
        return [
            frame for name in create_splits_scenes()[split] if name in scenes for frame in self._scene(scenes[name])
        ]

    def _scene(self, scene: Record) -> list[Frame]:
        log = self.log.get(scene['log_token'])
        if not is_name(log['location']):
            raise self.log.error(log, 'location', 'a name without folders')
        frames: dict[str, Frame] = {}
        token = scene['first_sample_token']
        while token:
            if token in frames:
                raise DataError(f'{self.sample.path}: record {token!r}: the chain of next of {scene["name"]} is a ring')
            frames[token] = self._frame(self.sample.get(token), scene['name'], log['location'])
            token = self.sample.get(token)['next']
        return list(frames.values())

    def _frame(self, sample: Record, scene: str, location: str) -> Frame:
        token = sample['token']
        if not is_name(token):
            raise self.sample.error(sample, 'token', 'a name without folders')
        data = self._data[token]
        for channel in (LIDAR, *CAMERAS):
            if channel not in data:
                raise DataError(f'{self.sample_data.path}: sample {token!r} has no key frame of {channel}')
        world_from_ego = flat_pose(*self._pose(self.ego_pose, data[LIDAR]['ego_pose_token']))
        cameras = tuple(self._camera(channel, data[channel], world_from_ego) for channel in CAMERAS)
        annotations = tuple(self._annotations.get(token, ()))
        return Frame(token, scene, location, sample['timestamp'], world_from_ego, cameras, annotations)

    def _camera(self, channel: str, record: Record, world_from_ego: np.ndarray) -> Camera:
        egocam_from_cam = pose_matrix(*self._pose(self.calibrated_sensor, record['calibrated_sensor_token']))
        world_from_egocam = pose_matrix(*self._pose(self.ego_pose, record['ego_pose_token']))
        calibration = self.calibrated_sensor.get(record['calibrated_sensor_token'])
        for key in ('width', 'height'):
            if not isinstance(record[key], int) or record[key] <= 0:
                raise self.sample_data.error(record, key, 'a positive number of pixels')
        where = f'{self.sample_data.path}: record {record["token"]!r}: filename'
        image_path(record['filename'], self.folder.parent, where)
        intrinsics = self.calibrated_sensor.numbers(calibration, 'camera_intrinsic', 3, 3)
        if not is_pinhole(intrinsics, np.array([record['width'], record['height']])):
            fitting = f'a camera of {record["width"]}×{record["height"]} pixels'
            raise self.calibrated_sensor.error(calibration, 'camera_intrinsic', fitting)
        return Camera(
            channel,
            record['filename'],
            record['width'],
            record['height'],
            intrinsics,
            invert_rigid(egocam_from_cam) @ invert_rigid(world_from_egocam) @ world_from_ego,
        )

    @staticmethod
    def _pose(table: Table, token: str) -> tuple[list[float], list[float]]:
        record = table.get(token)
        rotation = table.numbers(record, 'rotation', 4)
        if not rotation.any():
            raise table.error(record, 'rotation', 'a quaternion that is not zero')
        return rotation.tolist(), table.numbers(record, 'translation', 3).tolist()
