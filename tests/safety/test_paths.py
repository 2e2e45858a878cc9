"""Paths and names in untrusted files stay below the folder that the user has given."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.apis.mmdet3d_source import mmdet3d_source
from projects.CVT_IO.cvt_io.apis.nuscenes_source import nuscenes_source
from projects.CVT_IO.cvt_io.apis.rig_source import rig_source
from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.description import DatasetDescription
from projects.CVT_IO.cvt_io.labels.nuscenes.tables import NuScenesTables
from tests.apis.toy_inputs import mmdet3d_info, split_of
from tests.conftest import TINY_GRID
from tests.safety.payloads import ESCAPES

NAMES = ['../x', '..', '.', '/etc/x', 'a/b', 'a\\b', 'C:\\x', 'a\0b', '']


@pytest.fixture
def content(toy_root) -> dict:
    """An info file."""
    return json.loads(split_of(toy_root).read_text())


@pytest.fixture
def root(toy_root, tmp_path) -> Path:
    """The tiny world's images and labels under another folder's name, and a secret beside it."""
    root = tmp_path / 'root'
    root.mkdir()
    for name in ('samples', 'cvt_io_labels'):
        (root / name).symlink_to(toy_root / name)
    (tmp_path / 'secret').write_bytes(next(toy_root.glob('samples/CAM_FRONT/*.jpg')).read_bytes())
    return root


def read_as_dataset(root: Path, content: dict) -> dict:
    (root / 'infos.json').write_text(json.dumps(content))
    grid = dict(size=TINY_GRID.size, metres=TINY_GRID.metres)
    return CVTIONuScenesDataset('infos.json', str(root), grid, serialize_data=False)[0]


def read_as_input(root: Path, content: dict) -> dict:
    (root / 'cvt_io_infos_val.json').write_text(json.dumps(content))
    source = nuscenes_source(content, root / 'cvt_io_infos_val.json', TINY_GRID)
    return source.parse(source.items[0])


def test_the_unchanged_file_is_read(root, content):
    for read in (read_as_dataset, read_as_input):
        assert Path(read(root, content)['images'][0]['path']).is_file()


@pytest.mark.parametrize('read', [read_as_dataset, read_as_input])
@pytest.mark.parametrize('path', [*ESCAPES, '../48x48_48x48m/x.png'])
def test_images_and_labels_of_infos(root, content, read, path):
    frame = content['data_list'][0]
    label, frame['label'] = frame['label'], path
    with pytest.raises(DataError, match='label'):
        read(root, content)
    frame['label'], frame['images'][0]['path'] = label, path
    _refused_or_below(root, lambda: read(root, content)['images'][0]['path'])


@pytest.mark.parametrize('key', ['sample_token', 'scene_name'])
@pytest.mark.parametrize('name', NAMES)
def test_names_of_infos_are_names(root, content, key, name):
    """They become names of files; a label goes with its names."""
    frame = content['data_list'][0]
    frame[key] = name
    frame['label'] = f'{frame["scene_name"]}/{frame["sample_token"]}.png'
    with pytest.raises(DataError, match=key):
        read_as_dataset(root, content)


@pytest.mark.parametrize('path', ESCAPES)
def test_images_of_rigs(root, content, path):
    image = content['data_list'][0]['images'][0]
    camera = {key: image[key] for key in ('intrinsics', 'cam_from_ego')}
    rig = {'cameras': {'front': camera}, 'frames': [{'token': 'a', 'images': {'front': path}}]}
    source = rig_source(rig, root / 'rig.json')
    _refused_or_below(root, lambda: source.parse(source.items[0])['images'][0]['path'])


@pytest.mark.parametrize(
    ('camera', 'path'),
    [(None, path) for path in (*ESCAPES, 'CAM_FRONT/../../../secret')]
    + [(camera, 'secret') for camera in ('..', '../..', '/etc', 'a\0b')],
)
def test_images_of_mmdet3d(root, toy_root, content, camera, path):
    """Only the last part of the path counts, and the file is looked for in the folder itself, whatever the camera."""
    entry = mmdet3d_info(toy_root, content['data_list'][0])
    names = entry['images'] if camera is None else [camera]
    entry['images'] = {name: dict(entry['images']['CAM_FRONT'], img_path=path) for name in names}
    (root / 'x.pkl').write_bytes(pickle.dumps({'metainfo': {}, 'data_list': [entry]}))
    source = mmdet3d_source(root / 'x.pkl')
    with pytest.raises(DataError, match='img_path: '):
        source.parse(source.items[0])


@pytest.fixture
def tables(toy_root, tmp_path) -> Path:
    """A nuScenes folder of the tiny world, with tables of its own."""
    shutil.copytree(toy_root / 'v1.0-mini', tmp_path / 'v1.0-mini')
    (tmp_path / 'maps/expansion').mkdir(parents=True)
    return tmp_path


def read_tables(tables: Path, table: str, key: str, value: str) -> None:
    """Frames of the tables with another text in place of one value, wherever it stands."""
    records = json.loads((tables / f'v1.0-mini/{table}.json').read_text())
    old = next(record[key] for record in records if 'CAM_' in str(record[key]) or key != 'filename')
    for path in (tables / 'v1.0-mini').glob('*.json'):
        path.write_text(path.read_text().replace(json.dumps(old), json.dumps(value)))
    reader = NuScenesTables(tables, DatasetDescription(version='v1.0-mini'), annotations=False)
    assert any(reader.frames(scenes) for scenes in reader.splits().values())


def test_the_unchanged_tables_are_read(tables):
    read_tables(tables, 'log', 'location', 'singapore-onenorth')


@pytest.mark.parametrize(('table', 'key'), [('sample', 'token'), ('log', 'location'), ('scene', 'name')])
@pytest.mark.parametrize('name', [name for name in NAMES if name])  # an empty token ends a chain
def test_names_of_tables_are_names(tables, table, key, name):
    """A token becomes a label's name; a location names its map."""
    with pytest.raises(DataError, match=key):
        read_tables(tables, table, key, name)


@pytest.mark.parametrize('path', ESCAPES)
def test_images_of_tables(tables, path):
    with pytest.raises(DataError, match='filename'):
        read_tables(tables, 'sample_data', 'filename', path)


def test_links_are_followed(root, content):
    """As data sets are laid out: ``samples`` of this root is one."""
    path = Path(read_as_input(root, content)['images'][0]['path'])
    assert path.is_relative_to(root) and not path.resolve().is_relative_to(root)


def _refused_or_below(root: Path, read) -> None:
    try:
        path = Path(read())
    except DataError as error:
        assert '\n' not in str(error)
    else:
        assert path.is_relative_to(root) and '..' not in path.parts and path != root
