"""A rig's JSON: read as its schema says, and every mistake is named."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.apis.rig_source import SCHEMA, rig_source
from projects.CVT_IO.cvt_io.errors import DataError
from tests.tiny import REPO

EYE = np.eye(4).tolist()
CAMERA = {'intrinsics': [[100, 0, 80], [0, 100, 45], [0, 0, 1]], 'cam_from_ego': EYE}
RIG = {
    'cameras': {'left': CAMERA, 'right': CAMERA},
    'frames': [
        {'token': 'a', 'images': {'right': 'r/0.png', 'left': 'l/0.png'}},
        {'token': 'b', 'images': {'left': 'l'}},
    ],
}
PATH = Path('folder/rig.json')


def parse(content: dict, **kwargs) -> list[dict]:
    source = rig_source(content, PATH, **kwargs)
    return [source.parse(item) for item in source.items]


def changed(keys: tuple, value: object) -> dict:
    content = record = copy.deepcopy(RIG)
    for key in keys[:-1]:
        record = record[key]
    record[keys[-1]] = value
    return content


def test_frames():
    """Cameras in the order of the rig; those that a frame lacks are left out."""
    first, second = parse(RIG)
    assert [image['path'] for image in first['images']] == ['folder/l/0.png', 'folder/r/0.png']
    assert [image['camera'] for image in second['images']] == ['left']
    assert first['scene_name'] == '' and first['sample_token'] == 'a'
    assert parse(RIG, root=Path('/photos'), frames=['b'])[0]['images'][0]['path'] == '/photos/l'


def test_the_documented_file_is_one():
    """And its front camera, by its text: 1.7 m ahead and 1.5 m up, looking ahead."""
    content = json.loads(re.search(r'```json\n(.*?)```', (REPO / 'docs/own_rig.md').read_text(), re.DOTALL)[1])
    first, second = parse(content)
    assert [len(first['images']), len(second['images'])] == [2, 1]
    point = first['images'][0]['cam_from_ego'] @ [11.7, 2, 0.5, 1]  # 10 m ahead of the camera, 2 m left, 1 m below
    assert point.tolist() == pytest.approx([-2, 1, 10, 1])


def test_ego_from_cam_is_the_inverse():
    """A camera 2 m ahead of the ego that looks the same way: the ego is 2 m behind it."""
    moved = np.eye(4)
    moved[0, 3] = 2
    content = changed(('cameras', 'left'), {'intrinsics': CAMERA['intrinsics'], 'ego_from_cam': moved.tolist()})
    assert parse(content)[0]['images'][0]['cam_from_ego'][:3, 3].tolist() == [-2, 0, 0]


BAD = [
    (('cameras',), {}, 'cameras: expected an object with one entry per camera'),
    (('frames',), [], r'frames: expected a list with one entry per frame, found \[\]'),
    (('lidar',), 1, "expected .* found 'lidar'"),
    (('cameras', 'left', 'intrinsics'), [[1, 2], [3, 4]], 'cameras.left.intrinsics: expected 3×3 finite numbers'),
    (('cameras', 'left', 'intrinsics'), [['1', '0', '1'], ['0', '1', '1'], ['0', '0', '1']], 'expected 3×3 finite'),
    (('cameras', 'left', 'intrinsics'), 'fisheye', 'cameras.left.intrinsics: expected 3×3 finite numbers'),
    (('cameras', 'left', 'ego_from_cam'), EYE, 'cameras.left: expected one of cam_from_ego and ego_from_cam'),
    (('cameras', 'left'), {'intrinsics': CAMERA['intrinsics']}, 'expected one of cam_from_ego and ego_from_cam'),
    (('cameras', 'left', 'distortion'), [0], "cameras.left: .* found 'distortion'"),
    (('frames', 0, 'token'), 7, r'frames\[0\].token: expected a name, found 7'),
    (('frames', 0, 'scene'), '', r'frames\[0\].scene: expected a name'),
    (('frames', 0), 'a.png', r'frames\[0\]: expected an object'),
    (('frames', 0, 'images'), {}, 'frame a: images: expected a path for each camera'),
    (('frames', 0, 'images', 'left'), '../l.png', r'images.left: expected a path with / and without \.\. below folder'),
    (('frames', 0, 'images', 'left'), '/etc/l.png', 'images.left: expected a path with /'),
    (('frames', 0, 'images', 'left'), 'C:/l.png', 'images.left: expected a path with /'),
    (('frames', 0, 'images', 'left'), 'l\\0.png', 'images.left: expected a path with /'),
    (('frames', 0, 'images', 'left'), 5, 'images.left: expected the path of an image, found 5'),
]
# What a schema cannot say.
BEYOND_SCHEMA = [
    (('cameras', 'left', 'intrinsics'), EYE[:3], 'cameras.left.intrinsics: expected 3×3'),
    (('cameras', 'left', 'intrinsics'), (-np.eye(3)).tolist(), 'expected positive focal lengths'),
    (('cameras', 'left', 'cam_from_ego'), (2 * np.eye(4)).tolist(), 'expected a rotation and a translation'),
    (('cameras', 'left', 'cam_from_ego'), np.diag([1.0, 1, -1, 1]).tolist(), 'expected a rotation and a translation'),
    (('frames', 0, 'images', 'rear'), 'x.png', 'expected cameras left, right, found rear'),
]


@pytest.mark.parametrize(('keys', 'value', 'message'), BAD + BEYOND_SCHEMA)
def test_mistakes_are_named(keys, value, message):
    with pytest.raises(DataError, match=message) as error:
        parse(changed(keys, value))
    assert str(error.value).startswith(str(PATH)) and '\n' not in str(error.value)


def test_schema_agrees():
    """The shipped schema takes what is read and refuses what is refused."""
    jsonschema = pytest.importorskip('jsonschema')
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(RIG)
    for keys, value, _ in BAD:
        assert not validator.is_valid(changed(keys, value)), keys
