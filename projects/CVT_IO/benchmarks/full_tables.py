"""Time and memory for reading tables of nuScenes' size: ``python -m projects.CVT_IO.benchmarks.full_tables``.

Writes synthetic tables with as many records as v1.0-trainval has (850 scenes, 34,000 key frames, 2.6 million ego poses
and sensor records, 1.2 million boxes; 2.5 GB), then reads them in a separate process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from nuscenes.utils.splits import create_splits_scenes

from ..cvt_io.fileio.atomic import write_json

CAMERAS = ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT', 'CAM_BACK_LEFT', 'CAM_BACK', 'CAM_BACK_RIGHT')
CHANNELS = (*CAMERAS, 'LIDAR_TOP', *(f'RADAR_{i}' for i in range(5)))
VERSION = 'v1.0-trainval'
#: Key frames per scene, records per channel and boxes in each of them.
FRAMES, RECORDS, BOXES = 40, 6, 34
_INTRINSICS = [[1266.4, 0.0, 816.2], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]]
_READ = """
import json, resource, sys, time
from pathlib import Path
from projects.CVT_IO.cvt_io.labels.description import DatasetDescription
from projects.CVT_IO.cvt_io.labels.nuscenes.tables import NuScenesTables
start = time.monotonic()
tables = NuScenesTables(Path(sys.argv[1]), DatasetDescription())
frames = sum(len(tables.frames(scenes)) for scenes in tables.splits().values())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps(dict(frames=frames, seconds=time.monotonic() - start, peak_gb=peak)))
"""


def write_full_tables(root: Path, scenes: int = 850) -> None:
    """Writes the tables of the first official scenes below ``root/v1.0-trainval``."""
    folder = root / VERSION
    folder.mkdir(parents=True)
    splits = create_splits_scenes()
    names = (splits['train'] + splits['val'])[:scenes]
    samples = [(s, k, _token('sample', s, k)) for s in range(len(names)) for k in range(FRAMES)]
    small = {
        'sensor': [{'token': name, 'channel': name, 'modality': 'camera'} for name in CHANNELS],
        'log': [{'token': 'log', 'location': 'boston-seaport'}],
        'category': [{'token': 'car', 'name': 'vehicle.car'}],
        'instance': [
            {'token': _token('instance', s, i), 'category_token': 'car'} for s in range(scenes) for i in range(76)
        ],
        'scene': [
            {'token': name, 'name': name, 'log_token': 'log', 'first_sample_token': _token('sample', s, 0)}
            for s, name in enumerate(names)
        ],
        'calibrated_sensor': [
            {
                'token': _token(name, s),
                'sensor_token': name,
                'translation': [1.7, 0.0, 1.5],
                'rotation': [0.5, -0.5, 0.5, -0.5],
                'camera_intrinsic': _INTRINSICS if name in CAMERAS else [],
            }
            for s in range(scenes)
            for name in CHANNELS
        ],
        'sample': [
            {'token': token, 'timestamp': 10**15 + k, 'prev': '', 'next': _token('sample', s, k + 1) * (k + 1 < FRAMES)}
            for s, k, token in samples
        ],
    }
    for name, records in small.items():
        write_json(folder / f'{name}.json', records)
    for name, large in (('ego_pose', _poses), ('sample_data', _sample_data), ('sample_annotation', _annotations)):
        _write_table(folder / f'{name}.json', large(samples))


def _token(*identity: object) -> str:
    """A token of 32 characters, as in nuScenes."""
    return '-'.join(map(str, identity)).rjust(32, '0')


def _write_table(path: Path, records: Iterable[dict]) -> None:
    """Writes one record at a time, indented like nuScenes' own tables."""
    with path.open('w') as file:
        for i, record in enumerate(records):
            file.write((',\n' if i else '[\n') + json.dumps(record, indent=0))
        file.write('\n]\n')


def _each_record(samples: list[tuple]) -> Iterator[tuple]:
    for s, k, sample in samples:
        for channel in CHANNELS:
            for i in range(RECORDS + (channel == 'LIDAR_TOP') * 4):
                yield s, sample, channel, i, _token(channel, s, k, i)


def _poses(samples: list[tuple]) -> Iterator[dict]:
    for *_, token in _each_record(samples):
        yield {
            'token': token,
            'timestamp': 1532402927647951,
            'rotation': [0.5720320396729045, -0.0016977771610471074, 0.011798001930183783, -0.8201446642457809],
            'translation': [411.3039349319818, 1180.8903791765097, 0.0],
        }


def _sample_data(samples: list[tuple]) -> Iterator[dict]:
    for s, sample, channel, i, token in _each_record(samples):
        folder = 'sweeps' if i else 'samples'
        yield {
            'token': token,
            'sample_token': sample,
            'ego_pose_token': token,
            'calibrated_sensor_token': _token(channel, s),
            'timestamp': 1532402927604844,
            'fileformat': 'jpg',
            'is_key_frame': i == 0,
            'height': 900,
            'width': 1600,
            'filename': f'{folder}/{channel}/n015-2018-07-24-11-22-45+0800__{channel}__{token}.jpg',
            'prev': '',
            'next': '',
        }


def _annotations(samples: list[tuple]) -> Iterator[dict]:
    for s, k, sample in samples:
        for i in range(BOXES):
            yield {
                'token': _token('box', s, k, i),
                'sample_token': sample,
                'instance_token': _token('instance', s, i),
                'visibility_token': '4',
                'attribute_tokens': ['4d8821270b4a47e3a8a300cbec48188e'],
                'translation': [411.25 + i, 1180.5 + k, 1.0],
                'size': [1.95, 4.6, 1.7],
                'rotation': [0.5720320396729045, 0.0, 0.0, -0.8201446642457809],
                'prev': '',
                'next': '',
                'num_lidar_pts': 5,
                'num_radar_pts': 0,
            }


def measure(root: Path) -> dict[str, float]:
    """Number of frames, time in seconds and peak memory in GB of a process that reads the tables."""
    result = subprocess.run([sys.executable, '-c', _READ, str(root)], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--scenes', type=int, default=850, help='default: %(default)s, as v1.0-trainval has')
    parser.add_argument('--root', type=Path, help='keep the tables here, and reuse those that are there')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = args.root or Path(temporary)
        if not (root / VERSION).is_dir():
            write_full_tables(root, args.scenes)
        print('{frames} frames: {seconds:.0f} s, {peak_gb:.2f} GB'.format(**measure(root)))


if __name__ == '__main__':
    main()
