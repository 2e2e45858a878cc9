from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pytest
from nuscenes.utils.splits import mini_train, mini_val

from projects.CVT_IO.toy_world.rig import CAMERAS
from projects.CVT_IO.toy_world.tables import TABLES, visibility_token

# Fields of nuScenes' public schema.
FIELDS = {
    'category': {'token', 'name', 'description', 'index'},
    'attribute': {'token', 'name', 'description'},
    'visibility': {'token', 'level', 'description'},
    'instance': {'token', 'category_token', 'nbr_annotations', 'first_annotation_token', 'last_annotation_token'},
    'sensor': {'token', 'channel', 'modality'},
    'calibrated_sensor': {'token', 'sensor_token', 'translation', 'rotation', 'camera_intrinsic'},
    'ego_pose': {'token', 'timestamp', 'rotation', 'translation'},
    'log': {'token', 'logfile', 'vehicle', 'date_captured', 'location'},
    'scene': {'token', 'log_token', 'nbr_samples', 'first_sample_token', 'last_sample_token', 'name', 'description'},
    'sample': {'token', 'timestamp', 'prev', 'next', 'scene_token'},
    'sample_data': {
        'token', 'sample_token', 'ego_pose_token', 'calibrated_sensor_token', 'timestamp', 'fileformat', 'is_key_frame',
        'height', 'width', 'filename', 'prev', 'next',
    },
    'sample_annotation': {
        'token', 'sample_token', 'instance_token', 'visibility_token', 'attribute_tokens', 'translation', 'size',
        'rotation', 'prev', 'next', 'num_lidar_pts', 'num_radar_pts',
    },
    'map': {'category', 'token', 'filename', 'log_tokens'},
}  # fmt: skip


@pytest.fixture(scope='module')
def tables(world):
    return {name: json.loads((world.root / 'v1.0-mini' / f'{name}.json').read_text()) for name in TABLES}


def test_thirteen_tables_of_genuine_fields(tables, world):
    files = sorted(path.name for path in (world.root / 'v1.0-mini').iterdir())
    assert files == sorted(f'{name}.json' for name in FIELDS)
    for name, rows in tables.items():
        assert rows, name
        assert all(set(row) == FIELDS[name] for row in rows), name


def test_tokens_are_unique_and_references_resolve(tables):
    known = {name: {row['token'] for row in rows} for name, rows in tables.items()}
    for name, rows in tables.items():
        assert len(known[name]) == len(rows), name
        if name != 'visibility':
            assert all(re.fullmatch('[0-9a-f]{32}', token) for token in known[name]), name
    assert known['visibility'] == set('1234')
    targets = {f'{name}_token': name for name in TABLES}
    targets |= {'first_sample_token': 'sample', 'last_sample_token': 'sample'}
    targets |= {'first_annotation_token': 'sample_annotation', 'last_annotation_token': 'sample_annotation'}
    for name, rows in tables.items():
        for row in rows:
            for field, value in row.items():
                if field in targets:
                    assert value in known[targets[field]], (name, field)
                elif field in ('prev', 'next') and value:
                    assert value in known[name]
                elif field in ('log_tokens', 'attribute_tokens'):
                    assert set(value) <= known[field.removesuffix('_tokens')]


@pytest.mark.parametrize('name', ['sample', 'sample_data', 'sample_annotation'])
def test_chains_run_forwards_in_time(tables, name):
    times = {row['token']: row['timestamp'] for row in tables['sample']}
    rows = {row['token']: row for row in tables[name]}
    ends = 0
    for row in rows.values():
        if not row['next']:
            ends += 1
            continue
        after = rows[row['next']]
        assert after['prev'] == row['token']
        stamp = [r['timestamp'] if 'timestamp' in r else times[r['sample_token']] for r in (row, after)]
        assert stamp[0] < stamp[1]
        for field in {'scene_token', 'instance_token', 'calibrated_sensor_token'} & set(row):
            assert row[field] == after[field]
    # Two scenes, each with one chain of samples and seven of sensors, and one chain per object.
    assert ends == {'sample': 2, 'sample_data': 14, 'sample_annotation': len(tables['instance'])}[name]


def test_instances_count_their_annotations(tables):
    count = Counter(row['instance_token'] for row in tables['sample_annotation'])
    rows = {row['token']: row for row in tables['sample_annotation']}
    for instance in tables['instance']:
        assert instance['nbr_annotations'] == count[instance['token']]
        assert rows[instance['first_annotation_token']]['prev'] == ''
        assert rows[instance['last_annotation_token']]['next'] == ''


def test_scenes_come_from_both_splits_and_two_towns(world):
    names = {scene['name'] for scene in world.nusc.scene}
    assert len(names & set(mini_train)) == len(names & set(mini_val)) == 1
    assert len({log['location'] for log in world.nusc.log}) == 2
    assert all(scene['nbr_samples'] == 3 for scene in world.nusc.scene)


def test_every_category_that_matters_is_there(world):
    words = {word for row in world.nusc.sample_annotation for word in row['category_name'].split('.')}
    classes = {'car', 'truck', 'bus', 'trailer', 'construction', 'pedestrian', 'motorcycle', 'bicycle'}
    assert classes | {'emergency', 'trafficcone', 'barrier', 'construction_worker', 'bicycle_rack'} <= words


def test_annotations_stand_on_the_ground_around_the_ego(world):
    moving = 0
    for sample in world.nusc.sample:
        lidar = world.nusc.get('sample_data', sample['data']['LIDAR_TOP'])
        ego = world.nusc.get('ego_pose', lidar['ego_pose_token'])['translation']
        distances = []
        for token in sample['anns']:
            row = world.nusc.get('sample_annotation', token)
            assert row['translation'][2] == pytest.approx(row['size'][2] / 2, abs=1e-3)
            assert abs(row['rotation'][1]) + abs(row['rotation'][2]) == 0
            if row['category_name'].startswith('vehicle'):
                width, length, _ = row['size']
                assert length > width
                distances.append(np.hypot(*np.subtract(row['translation'], ego)[:2]))
                speed = np.linalg.norm(world.nusc.box_velocity(token))
                moving += speed > 2.0
        assert max(distances) <= 70.0
        assert (np.array(distances) < 35.0).sum() >= 3
    assert moving >= 10


def test_images_are_where_the_tables_say(world):
    for row in (row for row in world.nusc.sample_data if row['channel'] in CAMERAS):
        name, channel = row['filename'], row['channel']
        assert (world.root / name).is_file()
        assert re.fullmatch(rf'samples/{channel}/n\d+-[\d+-]+__{channel}__\d{{16}}\.jpg', name)


def test_visibility_tokens():
    shares = {(0, 0): '1', (0, 10): '1', (39, 100): '1', (40, 100): '2', (59, 100): '2', (60, 100): '3', (80, 100): '4'}
    assert {pair: visibility_token(*pair) for pair in shares} == shares and visibility_token(7, 7) == '4'
