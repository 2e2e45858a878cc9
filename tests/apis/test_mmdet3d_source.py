"""mmdet3d's pickles: the normative transform, and nothing of a stranger's that runs."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from projects.CVT_IO.cvt_io.apis.mmdet3d_source import mmdet3d_source
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.info_pickle import read_info_pickle
from tests.apis.toy_inputs import mmdet3d_info, mmdet3d_pickle


def parsed(path: Path) -> dict:
    source = mmdet3d_source(path)
    return source.parse(source.items[0])


def test_calibration_is_our_infos(tmp_path, toy_root, frame):
    found = parsed(mmdet3d_pickle(toy_root, frame, tmp_path))
    assert found['sample_token'] == frame['sample_token'] and not found['notes']
    for ours, theirs in zip(frame['images'], found['images'], strict=True):
        np.testing.assert_allclose(theirs['cam_from_ego'], ours['cam_from_ego'], atol=1e-6)
        np.testing.assert_allclose(theirs['intrinsics'], ours['intrinsics'])
        assert Path(theirs['path']).name == Path(ours['path']).name


def test_roll_and_pitch_go_into_the_cameras(tmp_path, toy_root, frame):
    """An ego that pitches by 0.1 rad about its left: flat⁻¹ · ego2global is that turn about y, and lidar = ego here."""
    entry = mmdet3d_info(toy_root, frame)
    cos, sin = np.cos(0.1), np.sin(0.1)
    pitch = np.array([[cos, 0, sin, 0], [0, 1, 0, 0], [-sin, 0, cos, 0], [0, 0, 0, 1]])
    entry['ego2global'] = np.float32(pitch)  # as arrays, and of the precision that some files have
    entry['lidar_points']['lidar2ego'] = np.eye(4, dtype='>f8')
    found = parsed(mmdet3d_pickle(toy_root, frame, tmp_path, entry))
    expected = np.array(entry['images']['CAM_FRONT']['lidar2cam']) @ pitch.T
    front = next(image for image in found['images'] if image['camera'] == 'CAM_FRONT')
    np.testing.assert_allclose(front['cam_from_ego'], expected, atol=1e-5)


def test_lidar_of_a_standing_ego_is_exact(tmp_path, toy_root, frame):
    """Without motion cam2ego · lidar2cam is lidar2ego."""
    entry = mmdet3d_info(toy_root, frame)
    lidar2ego = np.array(entry['lidar_points'].pop('lidar2ego'))
    for image in entry['images'].values():
        image['lidar2cam'] = (np.linalg.inv(image['cam2ego']) @ lidar2ego).tolist()
    approximated = parsed(mmdet3d_pickle(toy_root, frame, tmp_path / 'a', entry))
    entry['lidar_points']['lidar2ego'] = lidar2ego.tolist()
    exact = parsed(mmdet3d_pickle(toy_root, frame, tmp_path / 'b', entry))
    for one, other in zip(approximated['images'], exact['images'], strict=True):
        np.testing.assert_allclose(one['cam_from_ego'], other['cam_from_ego'], atol=1e-9)
    assert 'differ by up to 0.0 m' in approximated['notes'][0]


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_numpy_is_read(tmp_path, protocol):
    values = [np.arange(6.0).reshape(2, 3), np.arange(6, dtype='>i4').reshape(3, 2).T, np.float32(0.5), {'a': (1, 'b')}]
    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(values, protocol))
    first, second, scalar, plain = read_info_pickle(path)
    np.testing.assert_array_equal(np.asarray(first), values[0])
    np.testing.assert_array_equal(np.asarray(second), values[1])
    assert scalar == 0.5 and plain == {'a': (1, 'b')}


def test_an_array_that_claims_more_than_the_file_has(tmp_path):
    huge = pickle.dumps(np.zeros(3), 2).replace(b'K\x03\x85', b'J\xff\xff\xff\x7f\x85')
    path = tmp_path / 'a.pkl'
    path.write_bytes(huge)
    with pytest.raises(DataError, match=r'ValueError: an array of shape \(2147483647,\) with 24 bytes'):
        read_info_pickle(path)


@pytest.mark.parametrize('shape', [('a' * 9, 10**10), (10**9,) * 30, (-1, -24), (2**50,)])
def test_arrays_of_impossible_shapes(tmp_path, shape):
    """Written by hand: none may cost memory or time before it is refused."""

    class Array:
        def __reduce__(self) -> tuple:
            return (
                np.core.multiarray._reconstruct,
                (np.ndarray, (0,), b'b'),
                (1, shape, np.dtype('f8'), False, b'x' * 24),
            )

    path = tmp_path / 'a.pkl'
    path.write_bytes(pickle.dumps(Array()))
    with pytest.raises(DataError, match='unreadable pickle: ValueError: an array of shape'):
        read_info_pickle(path)


def growing() -> list:
    """A hundred bytes of pickle that would be 10²⁰ numbers."""
    value: object = 1.0
    for _ in range(20):
        value = [value] * 10
    return value


def broken(entry: dict, *keys: str, value: object = None) -> dict:
    """The entry without a key, or with another value there."""
    record = entry
    for key in keys[:-1]:
        record = record[key]
    if value is None:
        del record[keys[-1]]
    else:
        record[keys[-1]] = value
    return entry


@pytest.mark.parametrize(
    ('keys', 'value', 'message'),
    [
        (['ego2global'], None, 'ego2global: expected 4×4 finite numbers, found None'),
        (['ego2global'], np.eye(4) * 2, 'ego2global: expected a rotation and a translation'),
        (['lidar_points', 'lidar2ego'], [[1]], 'lidar_points.lidar2ego: expected 4×4 finite numbers'),
        (['images'], None, 'images: expected a dict with one entry per camera, found None'),
        (['images', 'CAM_BACK'], 3, 'images: expected CAM_BACK with its keys'),
        (['images', 'CAM_BACK', 'lidar2cam'], None, r'images.CAM_BACK.lidar2cam: expected 4×4'),
        (['images', 'CAM_BACK', 'cam2img'], [[0.0] * 3] * 3, r'cam2img: expected positive focal lengths'),
        (['images', 'CAM_BACK', 'img_path'], '../../etc/passwd', 'img_path: no such file: '),
        (['images', 'CAM_BACK', 'img_path'], 'a' * 5000, 'img_path: no such file: '),
        (['ego2global'], np.core.multiarray._reconstruct, 'ego2global: expected 4×4 finite numbers'),
        (['ego2global'], growing(), 'ego2global: expected 4×4 finite numbers'),
    ],
)
def test_broken_entries_are_named(tmp_path, toy_root, frame, keys, value, message):
    path = mmdet3d_pickle(toy_root, frame, tmp_path, broken(mmdet3d_info(toy_root, frame), *keys, value=value))
    with pytest.raises(DataError, match=message) as error:
        parsed(path)
    assert f'{path}: sample {frame["sample_token"]}' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'unreadable pickle'),
        (b'\x80\x04}', 'unreadable pickle'),
        (pickle.dumps([1, 2]), 'expected a dict with a data_list'),
        (pickle.dumps({'infos': []}), 'expected at least one frame'),
        (pickle.dumps({'data_list': []}), 'expected at least one frame'),
        (pickle.dumps({'data_list': [{'token': growing()}]}), r'data_list\[0\]: expected a frame with a token'),
        (pickle.dumps({'data_list': [Path('a')]}), r'found a Python object \(pathlib\.\w+\), which is not loaded'),
    ],
)
def test_other_pickles(tmp_path, content, message):
    path = tmp_path / 'a.pkl'
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        parsed(path)
    assert str(error.value).startswith(str(path)) and '\n' not in str(error.value)


@pytest.mark.parametrize('code', ['(2,3)f8', 'f8,' * 9, '', 'f8 ', '\u0661f8', ')' * 99])
def test_types_that_numpy_would_parse(tmp_path, code):
    path = tmp_path / 'a.pkl'
    path.write_bytes(b'cnumpy\ndtype\n(V' + code.encode('raw-unicode-escape') + b'\ntR.')
    with pytest.raises(DataError, match='expected numbers, found an array of '):
        read_info_pickle(path)


def test_an_array_that_was_never_made(tmp_path):
    """NEWOBJ would skip the constructor."""
    path = tmp_path / 'a.pkl'
    path.write_bytes(b'cnumpy.core.multiarray\n_reconstruct\n)\x81.')
    with pytest.raises(DataError, match='unreadable pickle: TypeError'):
        read_info_pickle(path)
