import json

import numpy as np
import pytest
from nuscenes import NuScenes
from nuscenes.utils.splits import create_splits_scenes

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.records import read_json
from projects.CVT_IO.cvt_io.labels.description import DatasetDescription
from projects.CVT_IO.cvt_io.labels.nuscenes.tables import NuScenesTables

from .naive_labels import ego_pose, flat_matrix
from .nuscenes_tree import SCENES, VERSION, write_tables, write_tree


def open_tables(root, version=VERSION):
    return NuScenesTables(root, DatasetDescription(version=version), True)


def read(root, split):
    tables = open_tables(root)
    return tables.frames(tables.splits()[split])


@pytest.fixture(scope='module')
def frames(shared_tree):
    return read(shared_tree, 'train') + read(shared_tree, 'val')


def test_split_order_is_the_devkits(tmp_path):
    names = create_splits_scenes()['mini_val'] + create_splits_scenes()['mini_train']
    write_tree(tmp_path, frames=1, boxes=0, scenes=tuple((name, 'boston-seaport', (0.0, 0.0)) for name in names))
    for split in ('train', 'val'):
        assert [frame.scene for frame in read(tmp_path, split)] == create_splits_scenes()[f'mini_{split}']


def test_annotations_equal_the_devkits(nusc, frames):
    for frame in frames:
        records = [nusc.get('sample_annotation', token) for token in nusc.get('sample', frame.token)['anns']]
        assert len(records) == 60
        expected = [(r['category_name'], r['translation'], r['size'], r['rotation']) for r in records]
        found = [(a.category, list(a.translation), list(a.size), list(a.rotation)) for a in frame.annotations]
        assert found == expected
        visibility = [int(r['visibility_token']) * r['category_name'].startswith('vehicle') for r in records]
        assert [a.visibility for a in frame.annotations] == visibility


def test_poses_and_locations_equal_the_devkits(nusc, frames):
    locations = {name: location for name, location, _ in SCENES}
    for frame in frames:
        pose = ego_pose(nusc, nusc.get('sample', frame.token), 'LIDAR_TOP')
        expected = flat_matrix(pose['rotation'], pose['translation'])
        np.testing.assert_allclose(frame.world_from_ego, expected, rtol=0, atol=1e-12)
        assert frame.location == locations[frame.scene]


def test_later_key_frame_of_a_channel_wins_as_in_the_devkit(tree, tables):
    record = next(r for r in tables['sample_data'] if r['is_key_frame'] and 'CAM_BACK/scene-0061_0' in r['filename'])
    tables['sample_data'].append({**record, 'token': 'again', 'filename': 'samples/again.jpg'})
    write_tables(tree, tables)
    nusc = NuScenes(VERSION, str(tree), verbose=False)
    assert nusc.get('sample', 'scene-0061-sample0')['data']['CAM_BACK'] == 'again'
    frame = read(tree, 'train')[0]
    assert [camera.path for camera in frame.cameras if camera.channel == 'CAM_BACK'] == ['samples/again.jpg']


def test_nested_objects_in_a_table_do_no_harm(tree, tables):
    for record in tables['ego_pose'] + tables['sample_data']:
        record['extra'] = {'sample_token': None}
    write_tables(tree, tables)
    assert len(read(tree, 'train')) == 4


def test_missing_version_names_those_there(tree):
    with pytest.raises(DataError, match=r'v1\.0-trainval: no such folder .*found in .*: v1\.0-mini\)'):
        open_tables(tree, version='v1.0-trainval')


TABLES = [
    'scene', 'log', 'sample', 'sensor', 'calibrated_sensor', 'sample_data', 'ego_pose', 'category', 'instance',
    'sample_annotation',
]  # fmt: skip


@pytest.mark.parametrize('name', [name for name in TABLES if name != 'instance'])
def test_missing_table(tree, name):
    (tree / VERSION / f'{name}.json').unlink()
    with pytest.raises(DataError, match=rf'{VERSION}/{name}\.json: cannot read file: No such file'):
        open_tables(tree)


@pytest.mark.parametrize('name', TABLES)
@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'[{"token": ', 'unreadable JSON: Expecting value'),
        (b'', 'unreadable JSON: Expecting value'),
        (b'["\xff"]', 'unreadable JSON: .*utf-8'),
        (b'{"token": "a"}', 'expected table to be a list of records, found (dict|NoneType)'),
        (b'[3]', 'expected table to be a list of records, found the entry 3'),
    ],
)
def test_unreadable_table(tree, name, content, message):
    (tree / VERSION / f'{name}.json').write_bytes(content)
    with pytest.raises(DataError, match=rf'{VERSION}/{name}\.json: {message}'):
        open_tables(tree)


KEYS = {
    'scene': 'name log_token first_sample_token',
    'log': 'location',
    'sample': 'token timestamp next',
    'sensor': 'channel',
    'calibrated_sensor': 'sensor_token translation rotation camera_intrinsic',
    'sample_data': 'sample_token ego_pose_token calibrated_sensor_token is_key_frame filename width height',
    'ego_pose': 'token translation rotation',
    'category': 'name',
    'instance': 'category_token',
    'sample_annotation': 'sample_token instance_token translation size rotation',
}


def used(tables: dict, table: str) -> dict:
    """A record that the frames need."""
    data = next(r for r in tables['sample_data'] if r['is_key_frame'] and 'CAM_FRONT/scene-0061_0' in r['filename'])
    token = {
        'sample_data': data['token'],
        'ego_pose': data['ego_pose_token'],
        'calibrated_sensor': data['calibrated_sensor_token'],
        'sample': data['sample_token'],
        'scene': tables['scene'][-1]['token'],
        'log': tables['scene'][-1]['log_token'],
        'instance': 'instance-0',
    }.get(table, tables[table][0]['token'])
    return next(r for r in tables[table] if r['token'] == token)


@pytest.mark.parametrize(('table', 'key'), [(table, key) for table in KEYS for key in KEYS[table].split()])
def test_missing_key_names_table_and_key(tree, tables, table, key):
    del used(tables, table)[key]
    write_tables(tree, tables)
    with pytest.raises(DataError, match=rf"{VERSION}/{table}\.json: .*has no key '{key}'"):
        read(tree, 'train')


@pytest.mark.parametrize(
    ('table', 'key', 'target'),
    [
        ('scene', 'log_token', 'log'),
        ('scene', 'first_sample_token', 'sample'),
        ('sample', 'next', 'sample'),
        ('calibrated_sensor', 'sensor_token', 'sensor'),
        ('sample_data', 'calibrated_sensor_token', 'calibrated_sensor'),
        ('sample_data', 'ego_pose_token', 'ego_pose'),
        ('instance', 'category_token', 'category'),
        ('sample_annotation', 'instance_token', 'instance'),
        ('sample_annotation', 'sample_token', 'sample'),
    ],
)
def test_dangling_token_names_table_and_token(tree, tables, table, key, target):
    used(tables, table)[key] = 'nowhere'
    write_tables(tree, tables)
    with pytest.raises(DataError, match=rf"{VERSION}/{target}\.json: no record with token 'nowhere'"):
        read(tree, 'train')


@pytest.mark.parametrize(
    ('table', 'key', 'value', 'expected'),
    [
        ('ego_pose', 'translation', [1, 2], '3 finite numbers'),
        ('ego_pose', 'rotation', [1, 2, 3], '4 finite numbers'),
        ('ego_pose', 'rotation', [0, 0, 0, 0], 'a quaternion that is not zero'),
        ('ego_pose', 'translation', [1, 2, float('nan')], '3 finite numbers'),
        ('calibrated_sensor', 'camera_intrinsic', [], '3×3 finite numbers'),
        ('calibrated_sensor', 'camera_intrinsic', [[1, 0, 800], [0, 1, 450], [0, 0, 1]], 'a camera of 1600×900 pixels'),
        ('sample_annotation', 'size', 'big', '3 finite numbers'),
        ('sample_annotation', 'translation', None, '3 finite numbers'),
        ('sample_annotation', 'rotation', [1, 0, 0, float('inf')], '4 finite numbers'),
        ('sample_data', 'width', 0, 'a positive number of pixels'),
        ('sample_data', 'height', '900', 'a positive number of pixels'),
    ],
)
def test_wrong_values(tree, tables, table, key, value, expected):
    record = used(tables, table)
    record[key] = value
    write_tables(tree, tables)
    with pytest.raises(DataError) as info:
        read(tree, 'train')
    assert f"{table}.json: record '{record['token']}': expected {key} of {expected}, got " in str(info.value)


def test_visibility_of_a_vehicle(tree, tables):
    instances = {r['token']: r['category_token'] for r in tables['instance']}
    record = next(r for r in tables['sample_annotation'] if instances[r['instance_token']] == 'category-0')
    record['visibility_token'] = '7'
    write_tables(tree, tables)
    with pytest.raises(DataError, match=r"sample_annotation\.json: .*of a vehicle to be one of 1, 2, 3, 4 .*got '7'"):
        open_tables(tree)


def test_ring_of_samples(tree, tables):
    used(tables, 'sample')['next'] = used(tables, 'sample')['token']
    write_tables(tree, tables)
    with pytest.raises(DataError, match=r'sample\.json: .*scene-0061 is a ring'):
        read(tree, 'train')


@pytest.mark.parametrize('channel', ['LIDAR_TOP', 'CAM_BACK'])
def test_missing_key_frame(tree, tables, channel):
    for record in tables['sample_data']:
        if f'{channel}/scene-0061_0' in record['filename']:
            record['is_key_frame'] = False
    write_tables(tree, tables)
    message = rf"sample_data\.json: sample 'scene-0061-sample0' of scene-0061 has no key frame of {channel}; all frames"
    with pytest.raises(DataError, match=message):
        read(tree, 'train')


def test_token_that_would_leave_the_label_folder(tree):
    for name in ('sample', 'scene', 'sample_data', 'sample_annotation'):
        path = tree / VERSION / f'{name}.json'
        path.write_text(path.read_text().replace('"scene-0061-sample0"', '"../../sample0"'))
    assert json.loads((tree / VERSION / 'scene.json').read_text())[-1]['first_sample_token'] == '../../sample0'
    with pytest.raises(DataError, match=r'sample\.json: .*a name without folders'):
        read(tree, 'train')


def test_json_without_end(tmp_path):
    (tmp_path / 'a.json').write_text('[' * 10**6)
    with pytest.raises(DataError, match=r'a\.json: unreadable JSON: lists or objects nested'):
        read_json(tmp_path / 'a.json')
