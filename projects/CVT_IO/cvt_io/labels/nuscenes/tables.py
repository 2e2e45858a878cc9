"""Key frames of nuScenes' tables with cameras, poses and annotations.

The tables are read directly: the devkit's constructor requires the map mask images, which are not needed here, and
keeps all sweeps in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...fileio.checks import image_path, is_name
from ...fileio.records import Record, Table
from ...geometry import flat_pose, invert_rigid, is_pinhole, pose_matrix
from ..description import LIDAR, DatasetDescription
from ..frame import Annotation, Camera, Frame
from ..splits import scenes_of_splits
from .annotations import read_annotations
from .images import first_few

# A float below the first is in seconds, a number above the second in nanoseconds: as microseconds, 1970 and 5138.
_SECONDS, _NANOSECONDS, _LATEST = 1e11, 1e17, 2e19


class NuScenesTables:
    """The tables of a version, reduced to the key frames of the reference sensor and the cameras.

    Args:
        root: parent of the version's folder.
        description: description of the data set.
        annotations: whether to read the annotations.

    Attributes:
        scene: the scene table.
        reference: channel whose timestamp defines the ego pose.
        notes: assumptions and omissions, one line each.

    Raises:
        DataError: a table is missing or unreadable, a key is missing, or a token is dangling.
    """

    def __init__(self, root: Path, description: DatasetDescription, annotations: bool = True) -> None:
        self.description = description
        self.notes: list[str] = []
        self.folder = Path(root) / description.version
        if not self.folder.is_dir():
            found = ', '.join(sorted(p.parent.name for p in Path(root).glob('*/scene.json'))) or 'none'
            raise DataError(f'{self.folder}: no such folder (versions found in {root}: {found})')
        self.scene = self._table('scene', 'name', 'first_sample_token', optional=('log_token',))
        for record in self.scene.records:
            if not is_name(record['name']):
                raise self.scene.error(record, 'name', 'a name without folders')
        # Only the map needs to know where a scene is.
        has_maps = description.map and not description.masks and (Path(root) / 'maps/expansion').is_dir()
        self.log = self._table('log', 'location') if has_maps else None
        self.sample = self._table('sample', 'timestamp', 'next')
        self._read_sample_data()
        self._annotations: dict[str, list[Annotation]] = {}
        if annotations:
            self._annotations = read_annotations(self.folder, self.sample, description, self.notes)

    def _table(self, name: str, *keys: str, **options: Any) -> Table:
        return Table(self.folder / f'{name}.json', keys, **options)

    def _read_sample_data(self) -> None:
        sensor = self._table('sensor', 'channel')
        self.calibrated_sensor = self._table(
            'calibrated_sensor', 'sensor_token', 'translation', 'rotation', 'camera_intrinsic'
        )
        channels = {
            c['token']: self.calibrated_sensor.follow(c, 'sensor_token', sensor)['channel']
            for c in self.calibrated_sensor.records
        }
        self.reference = self._choose_reference([record['channel'] for record in sensor.records])
        needed = {self.reference, *self.description.cameras}
        others = {token for token, channel in channels.items() if channel not in needed}
        self.sample_data = self._table(
            *('sample_data', 'is_key_frame', 'sample_token', 'ego_pose_token', 'calibrated_sensor_token', 'filename'),
            *('width', 'height'),
            # The sweeps are more than nine in ten records.
            drop=lambda r: not r.get('is_key_frame', True) or r.get('calibrated_sensor_token') in others,
        )
        poses = {record['ego_pose_token'] for record in self.sample_data.records}
        self.ego_pose = self._table(
            *('ego_pose', 'translation', 'rotation'), drop=lambda r: 'token' in r and r['token'] not in poses
        )
        self._data: dict[str, dict[str, Record]] = defaultdict(dict)
        for record in self.sample_data.records:
            self.sample_data.follow(record, 'calibrated_sensor_token', self.calibrated_sensor)
            self._data[record['sample_token']][channels[record['calibrated_sensor_token']]] = record

    def _choose_reference(self, channels: Sequence[str]) -> str:
        """The reference channel. Raises an error if a channel of the description does not exist."""
        chosen = self.description.reference
        if chosen is None and LIDAR in channels:
            chosen = LIDAR
        for name in (*self.description.cameras, *([chosen] if chosen else ())):
            if name not in channels:
                raise DataError(
                    f'{self.folder / "sensor.json"}: expected the channel {name}, found {", ".join(channels)}; '
                    'say which cameras and which reference sensor there are in a file for --dataset, docs/own_data.md'
                )
        if chosen is None:
            chosen = self.description.cameras[0]
            self.notes.append(f"no {LIDAR}: {chosen}'s time defines the ego pose of a key frame")
        return chosen

    def splits(self) -> dict[str, list[str]]:
        """Names of the scenes of each split, in the order of the split; adds a note on scenes in none."""
        names = [record['name'] for record in self.scene.records]
        splits = scenes_of_splits(self.description, names, self.scene.path)
        used = {name for scenes in splits.values() for name in scenes}
        others = [name for name in names if name not in used]
        if others:
            self.notes.append(f'{len(others)} of {len(names)} scenes are in no split and left out: {first_few(others)}')
        return splits

    def frames(self, scenes: Sequence[str]) -> list[Frame]:
        """Frames of the scenes in this order, sorted by time."""
        records = {record['name']: record for record in self.scene.records}
        return [frame for name in scenes for frame in self._scene(records[name])]

    def _scene(self, scene: Record) -> list[Frame]:
        location = ''
        if self.log is not None:
            if 'log_token' not in scene:
                raise DataError(f"{self.scene.path}: table: record {scene['token']!r} has no key 'log_token'")
            log = self.scene.follow(scene, 'log_token', self.log)
            location = log['location']
            if not is_name(location):
                raise self.log.error(log, 'location', 'a name without folders')
        frames: dict[str, Frame] = {}
        sample = self.scene.follow(scene, 'first_sample_token', self.sample)
        while True:
            token = sample['token']
            if token in frames:
                raise DataError(f'{self.sample.path}: record {token!r}: the chain of next of {scene["name"]} is a ring')
            frames[token] = self._frame(sample, scene['name'], location)
            if not sample['next']:
                return list(frames.values())
            sample = self.sample.follow(sample, 'next', self.sample)

    def _frame(self, sample: Record, scene: str, location: str) -> Frame:
        token = sample['token']
        if not is_name(token):
            raise self.sample.error(sample, 'token', 'a name without folders')
        data = self._data[token]
        cameras = self.description.cameras
        for channel in (self.reference, *cameras):
            if channel not in data:
                raise DataError(
                    f'{self.sample_data.path}: sample {token!r} of {scene} has no key frame of {channel}; all frames '
                    'of all scenes need the same cameras: leave this one out of cameras, or the scene out of splits'
                )
        pose = self._pose(self.ego_pose, self.sample_data.follow(data[self.reference], 'ego_pose_token', self.ego_pose))
        world_from_ego = flat_pose(*pose)
        return Frame(
            token,
            scene,
            location,
            self._microseconds(sample),
            world_from_ego,
            tuple(self._camera(channel, data[channel], world_from_ego) for channel in cameras),
            tuple(self._annotations.get(token, ())),
        )

    def _microseconds(self, sample: Record) -> int:
        """Timestamp of a sample; other data sets use seconds, nanoseconds or floats."""
        time = sample['timestamp']
        if isinstance(time, bool) or not isinstance(time, (int, float)) or not 0 <= time < _LATEST:
            raise self.sample.error(sample, 'timestamp', 'a number of microseconds')
        if time >= _NANOSECONDS:
            return int(time) // 1000
        return round(time * 1e6) if isinstance(time, float) and time < _SECONDS else round(time)

    def _camera(self, channel: str, record: Record, world_from_ego: np.ndarray) -> Camera:
        calibration = self.sample_data.follow(record, 'calibrated_sensor_token', self.calibrated_sensor)
        egocam_from_cam = pose_matrix(*self._pose(self.calibrated_sensor, calibration))
        ego_pose = self.sample_data.follow(record, 'ego_pose_token', self.ego_pose)
        world_from_egocam = pose_matrix(*self._pose(self.ego_pose, ego_pose))
        for key in ('width', 'height'):
            if not isinstance(record[key], int) or record[key] <= 0:
                raise self.sample_data.error(record, key, 'a positive number of pixels')
        path = record['filename']
        if isinstance(path, str):
            path = path.replace('\\', '/')  # of tables written on Windows
        image_path(path, self.folder.parent, f'{self.sample_data.path}: record {record["token"]!r}: filename')
        intrinsics = self.calibrated_sensor.numbers(calibration, 'camera_intrinsic', 3, 3)
        if not is_pinhole(intrinsics, np.array([record['width'], record['height']])):
            fitting = f'a camera of {record["width"]}×{record["height"]} pixels'
            raise self.calibrated_sensor.error(calibration, 'camera_intrinsic', fitting)
        return Camera(
            channel,
            path,
            record['width'],
            record['height'],
            intrinsics,
            invert_rigid(egocam_from_cam) @ invert_rigid(world_from_egocam) @ world_from_ego,
        )

    @staticmethod
    def _pose(table: Table, record: Record) -> tuple[list[float], list[float]]:
        rotation = table.numbers(record, 'rotation', 4)
        if not rotation.any():
            raise table.error(record, 'rotation', 'a quaternion that is not zero')
        return rotation.tolist(), table.numbers(record, 'translation', 3).tolist()
