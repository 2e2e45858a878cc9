"""Data sets that are not quite nuScenes, derived from the procedural world."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

Tables = dict[str, list[dict]]


def derive(
    world: Path, root: Path, change: Callable[[Tables], None], version: str = 'v1.0-mini', maps: bool = True
) -> Path:
    """Writes the tables of a world, changed, below another root, with links to its images and maps."""
    tables = {path.stem: json.loads(path.read_text()) for path in (world / 'v1.0-mini').glob('*.json')}
    change(tables)
    (root / version).mkdir(parents=True)
    for name, records in tables.items():
        (root / version / f'{name}.json').write_text(json.dumps(records))
    (root / 'samples').symlink_to(world / 'samples')
    if maps:
        (root / 'maps').symlink_to(world / 'maps')
    return root


def rename_categories(tables: Tables, name_of: Callable[[str], str]) -> None:
    """Gives each category the name that ``name_of`` makes of nuScenes' name."""
    for record in tables['category']:
        record['name'] = name_of(record['name'])


def second_word(name: str) -> str:
    """``car`` of ``vehicle.car``, ``animal`` of ``animal``."""
    return (name.split('.') * 2)[1]


def drop_channels(tables: Tables, *channels: str) -> None:
    """Takes sensors away, with their calibrations and data."""
    sensors = {record['token'] for record in tables['sensor'] if record['channel'] in channels}
    calibrations = {r['token'] for r in tables['calibrated_sensor'] if r['sensor_token'] in sensors}
    tables['sensor'] = [r for r in tables['sensor'] if r['token'] not in sensors]
    tables['calibrated_sensor'] = [r for r in tables['calibrated_sensor'] if r['token'] not in calibrations]
    tables['sample_data'] = [r for r in tables['sample_data'] if r['calibrated_sensor_token'] not in calibrations]


def lyft(tables: Tables) -> None:
    """Lyft Level 5: names of one word, no visibility, times as floats, scenes of other names."""
    rename_categories(tables, lambda name: 'pedestrian' if name.startswith('human') else second_word(name))
    for record in tables['category']:
        if record['name'] in ('construction', 'trailer', 'emergency'):
            record['name'] = 'other_vehicle'
    for record in tables['sample_annotation']:
        record['visibility_token'] = ''
    for index, record in enumerate(tables['scene']):
        record['name'] = f'host-a{index:03}-lidar0'
    for record in tables['sample']:
        record['timestamp'] = float(record['timestamp']) + 0.25


def t4(tables: Tables) -> None:
    """T4: other categories, visibility by level, images in data/, and no tables of maps and logs."""
    names = {'vehicle.car': 'CAR', 'vehicle.truck': 'TRUCK', 'vehicle.motorcycle': 'MOTORBIKE'}
    rename_categories(
        tables,
        lambda name: names.get(name, 'pedestrian.adult' if name.startswith('human') else second_word(name).upper()),
    )
    for record, level in zip(tables['visibility'], ('none', 'partial', 'most', 'full'), strict=True):
        record.update(token=f'token of {level}', level=level)
    levels = ('none', 'partial', 'most', 'full')
    for record in tables['sample_annotation']:
        record['visibility_token'] = f'token of {levels[int(record["visibility_token"]) - 1]}'
    for record in tables['sample_data']:
        record['filename'] = record['filename'].replace('samples/', 'data/')
    for name in ('log', 'map', 'attribute'):
        del tables[name]


def five_cameras(tables: Tables) -> None:
    """A rig without lidar, of five cameras with names of their own."""
    drop_channels(tables, 'LIDAR_TOP', 'CAM_BACK')
    for record in tables['sensor']:
        record['channel'] = record['channel'].removeprefix('CAM_').lower()


def written_on_windows(tables: Tables) -> None:
    """Backslashes, nulls, nanoseconds, keys that nobody knows."""
    for record in tables['sample_data']:
        record['filename'] = record['filename'].replace('/', '\\')
        record['extra'] = {'nested': [1, {'token': 'x'}]}
    for record in tables['sample']:
        record['timestamp'] *= 1000
        record['next'] = record['next'] or None


def without_instances(tables: Tables) -> None:
    """Annotations that name their category themselves."""
    categories = {record['token']: record['name'] for record in tables['category']}
    names = {record['token']: categories[record['category_token']] for record in tables['instance']}
    for record in tables['sample_annotation']:
        record['category_name'] = names[record.pop('instance_token')]
    for name in ('instance', 'category', 'attribute', 'visibility'):
        del tables[name]


def raised(tables: Tables) -> None:
    """A map whose ground is not at zero: poses and boxes 50 m up."""
    for record in tables['ego_pose'] + tables['sample_annotation']:
        record['translation'][2] += 50


def mirrored(world: Path, root: Path) -> None:
    """Images of T4's folder."""
    shutil.copytree(world / 'samples', root / 'data', copy_function=lambda a, b: Path(b).symlink_to(a))
