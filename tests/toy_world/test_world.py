from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from nuscenes.utils.splits import mini_train, mini_val, train, val

from projects.CVT_IO.toy_world import generate_toy_world, scene_names
from projects.CVT_IO.toy_world import world as world_module
from projects.CVT_IO.toy_world.tables import TABLES

TINY = {'scenes': 2, 'frames': 2, 'image_size': (27, 48), 'seed': 3, 'progress': False}


def digests(root):
    """Hash of every file by its path below ``root``."""
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp('tiny') / 'alone'
    generate_toy_world(root, **TINY)
    return root


def test_equal_bytes_with_two_workers(tiny, tmp_path):
    generate_toy_world(tmp_path / 'together', workers=2, **TINY)
    assert digests(tmp_path / 'together') == digests(tiny)


def test_a_scene_depends_on_the_seed_but_not_on_how_many_there_are(tiny, tmp_path):
    for seed in (3, 4):
        generate_toy_world(tmp_path / str(seed), **{**TINY, 'seed': seed, 'scenes': 1})
    same, other, both = digests(tmp_path / '3'), digests(tmp_path / '4'), digests(tiny)
    # 13 tables, 2 scenes · 2 frames · 6 images, 2 maps as JSON and as PNG, and the marker.
    assert len(both) == 13 + 24 + 4 + 1 and {f'v1.0-mini/{name}.json' for name in TABLES} < set(both)
    images = [name for name in same if name.endswith('.jpg')]
    assert len(images) == 12 and all(same[name] == both[name] for name in images)
    assert not set(other.values()) & set(both.values()) - {other['v1.0-mini/visibility.json']}


@pytest.mark.parametrize('moment', [(1, 0), (15, 0), (24, 5)], ids=['first image', 'second scene', 'tables'])
def test_a_killed_run_is_finished_by_the_next(tiny, tmp_path, monkeypatch, moment):
    class Killed(BaseException):
        pass

    write = world_module._write
    calls = {'jpg': 0, 'tables': 0}

    def write_or_die(path, content):
        calls['jpg'] += path.suffix == '.jpg'
        calls['tables'] += path.parent.name == 'v1.0-mini'
        if (calls['jpg'], calls['tables']) >= moment:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f'.{path.name}.tmp').write_bytes(content[: len(content) // 2])
            raise Killed
        write(path, content)

    monkeypatch.setattr(world_module, '_write', write_or_die)
    with pytest.raises(Killed):
        generate_toy_world(tmp_path / 'world', **TINY)
    assert not (tmp_path / 'world' / 'v1.0-mini').exists()
    monkeypatch.setattr(world_module, '_write', write)
    generate_toy_world(tmp_path / 'world', **TINY)
    assert digests(tmp_path / 'world') == digests(tiny)


def test_a_finished_world_is_left_alone_and_repaired_where_damaged(tiny, tmp_path, monkeypatch):
    root = tmp_path / 'world'
    shutil.copytree(tiny, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*') if path.is_file()}
    generate_toy_world(root, **TINY)
    assert {path: path.stat().st_mtime_ns for path in root.rglob('*') if path.is_file()} == before
    next(root.glob('samples/CAM_BACK/*.jpg')).unlink()
    next(root.glob('maps/*.png')).unlink()
    generate_toy_world(root, **TINY)
    assert digests(root) == digests(tiny)


@pytest.mark.parametrize(
    ('file', 'content', 'message'),
    [
        ('v1.0-mini/scene.json', '[]', r'holds v1\.0-mini but no toy_world\.json.*choose another folder'),
        ('toy_world.json', json.dumps({'version': 'v1.0-mini', 'seed': 9}), 'another toy world'),
    ],
)
def test_real_nuscenes_and_other_toy_worlds_are_never_touched(tmp_path, file, content, message):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        generate_toy_world(tmp_path, **TINY)
    assert digests(tmp_path).keys() == {file}


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'version': 'v1.0-test'}, "version: expected one of .* got 'v1.0-test'"),
        ({'scenes': 11}, 'v1.0-mini has names for 1 to 10 scenes, got 11'),
        ({'scenes': 0}, 'scenes: .* got 0'),
        ({'scenes': 851, 'version': 'v1.0-trainval'}, '1 to 850 scenes, got 851'),
        ({'frames': 0}, 'frames: expected at least 1, got 0'),
        ({'image_size': (0, 100)}, 'image_size: expected .* got'),
        ({'image_size': (90, -160)}, 'image_size: expected .* got'),
        ({'seed': -1}, 'seed: expected .* got -1'),
        ({'workers': -1}, 'workers: expected .* got -1'),
    ],
)
def test_wrong_arguments(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        generate_toy_world(tmp_path / 'world', **{**TINY, **wrong})
    assert not (tmp_path / 'world').exists()


@pytest.mark.parametrize(('scenes', 'in_val'), [(1, 0), (2, 1), (10, 2), (850, 150)])
def test_scene_names_come_from_both_splits_in_proportion(scenes, in_val):
    names = scene_names('v1.0-trainval', scenes)
    assert len(set(names)) == len(names) == scenes
    assert len(set(names) & set(val)) == in_val
    assert len(set(names) & set(train)) == scenes - in_val
    assert set(scene_names('v1.0-mini', 10)) == {*mini_train, *mini_val}
