import json
from pathlib import Path

import numpy as np
import pytest
from nuscenes.map_expansion.map_api import NuScenesMap

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import read_label
from projects.CVT_IO.cvt_io.labels.layout import check_label_grid, labels_root
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert

from .naive_labels import NaiveLabels, camera_chain
from .nuscenes_tree import CAMERAS, SCENES, VERSION, contents, write_tables, write_tree

GRIDS = [
    BEVGrid(),
    BEVGrid((400, 200), (100, 50)),
    BEVGrid((50, 50), (50, 50)),
    BEVGrid((70, 90), (350, 330)),  # Reaches beyond the square of ± 150 m, so that it matters what lies in it.
    BEVGrid((40, 60), (30, 60), 0.25),
]


def run(root, out_dir, **options):
    return convert(root, VERSION, out_dir, progress=False, **options)


def infos(out_dir: Path, split: str) -> dict:
    return json.loads((out_dir / f'cvt_io_infos_{split}.json').read_text())


@pytest.mark.parametrize('grid', GRIDS, ids=lambda grid: grid.name)
def test_labels_equal_the_plain_way_cell_by_cell(shared_tree, nusc, tmp_path, grid):
    run(shared_tree, tmp_path, grid=grid)
    folder = check_label_grid(labels_root(tmp_path, 'cvt_io'), grid)
    locations = {name: location for name, location, _ in SCENES}
    maps = {location: NuScenesMap(str(shared_tree), location) for location in locations.values()}
    items = [item for split in ('train', 'val') for item in infos(tmp_path, split)['data_list']]
    assert len(items) == 9
    seen, emergency = np.zeros(12, int), 0
    for item in items:
        sample = nusc.get('sample', item['sample_token'])
        naive = NaiveLabels(nusc, maps[locations[item['scene_name']]], sample, grid.size, grid.metres, grid.offset)
        label = read_label(folder / item['label'], grid)
        np.testing.assert_array_equal(label.classes, naive.classes)
        np.testing.assert_array_equal(label.visibility, naive.visibility)
        np.testing.assert_allclose(label.center, naive.center, rtol=0, atol=1e-7)
        seen += label.classes.sum((1, 2), dtype=int)
        emergency += ((label.visibility < 255) & ~label.classes[[4, 5, 6, 7, 8, 10, 11]].any(0)).sum()
    assert seen.min() > 0
    assert emergency > 0


def test_infos_and_summary(shared_tree, nusc, tmp_path):
    summary = run(shared_tree, tmp_path)
    for split, scenes in {'train': ['scene-0061', 'scene-0553'], 'val': ['scene-0103']}.items():
        content = infos(tmp_path, split)
        metainfo, items = content['metainfo'], content['data_list']
        assert set(content) == {'metainfo', 'data_list'}
        assert (metainfo['dataset'], metainfo['version'], metainfo['split']) == ('nuscenes', VERSION, split)
        assert metainfo['cameras'] == list(CAMERAS)
        # The official mini_train has 0061 before 0553; the scene table has them the other way round, and 0001 besides.
        found = [(item['scene_name'], item['timestamp']) for item in items]
        assert found == [(scene, time) for scene in scenes for time in (1000, 1001, 1002)]
        for item in items:
            sample = nusc.get('sample', item['sample_token'])
            assert item['timestamp'] == sample['timestamp']
            assert item['label'] == f'{item["scene_name"]}/{item["sample_token"]}.png'
            assert [image['camera'] for image in item['images']] == list(CAMERAS)
            for image in item['images']:
                record = nusc.get('sample_data', sample['data'][image['camera']])
                assert (image['path'], image['width'], image['height']) == (record['filename'], 1600, 900)
                expected = camera_chain(nusc, sample, image['camera'])
                np.testing.assert_allclose(image['cam_from_ego'], expected, rtol=0, atol=1e-9)
                calibration = nusc.get('calibrated_sensor', record['calibrated_sensor_token'])
                assert image['intrinsics'] == calibration['camera_intrinsic']
    sizes = [path.stat().st_size for path in tmp_path.rglob('*.png')]
    assert (summary.frames, sorted(summary.label_bytes), summary.kept) == ({'train': 6, 'val': 3}, sorted(sizes), 0)
    mean = f'{np.mean(sizes):.0f}'
    assert f'6 train, 3 val frames in {summary.seconds:.1f} s' in str(summary)
    assert f'labels: {mean} bytes a frame on average, {max(sizes)} at most, 0 were there before' in str(summary)


@pytest.mark.parametrize('workers', [1, 2, 5])
def test_bytes_do_not_depend_on_workers_or_folders(shared_tree, tmp_path, workers, monkeypatch):
    run(shared_tree, tmp_path / 'a')
    monkeypatch.chdir(shared_tree.parent)
    run(Path(shared_tree.name), tmp_path / 'deeper/b', workers=workers)
    assert contents(tmp_path / 'a') == contents(tmp_path / 'deeper/b')
    assert not any(str(tmp_path).encode() in content for content in contents(tmp_path / 'a').values())


def test_grids_lie_side_by_side_and_infos_do_not_change(shared_tree, tmp_path):
    run(shared_tree, tmp_path, grid=GRIDS[0])
    before = contents(tmp_path)
    run(shared_tree, tmp_path, grid=GRIDS[1])
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 9 + 1
    for grid in GRIDS[:2]:
        check_label_grid(labels_root(tmp_path, 'cvt_io'), grid)


def test_second_run_keeps_whole_files_and_mends_the_others(shared_tree, tmp_path):
    run(shared_tree, tmp_path)
    before = contents(tmp_path)
    labels = sorted(tmp_path.rglob('*.png'))
    labels[0].unlink()
    labels[1].write_bytes(labels[1].read_bytes()[:-30])
    labels[2].write_bytes(b'')
    labels[3].write_bytes(labels[4].read_bytes())  # A whole label file, but of another frame.
    damaged = bytearray(labels[5].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    labels[5].write_bytes(damaged)
    times = [path.stat().st_mtime_ns for path in labels[6:]]
    stale = [labels[6].with_name('.x.png.1.tmp'), tmp_path / '.cvt_io_infos_val.json.1.tmp']
    for path in stale:
        path.touch()
    summary = run(shared_tree, tmp_path)
    assert summary.kept == len(labels) - 5
    assert contents(tmp_path) == before
    assert [path.stat().st_mtime_ns for path in labels[6:]] == times


def test_labels_of_other_data_are_made_anew(tree, tables, tmp_path):
    run(tree, tmp_path / 'a')
    moved = next(r for r in tables['sample_annotation'] if r['sample_token'] == 'scene-0103-sample1')
    moved['translation'][2] += 0.5
    write_tables(tree, tables)
    assert run(tree, tmp_path / 'a').kept == 5
    assert run(tree, tmp_path / 'a').kept == 6
    lidar = next(r for r in tables['sample_data'] if r['filename'] == 'samples/LIDAR_TOP/scene-0061_0.jpg')
    pose = next(r for r in tables['ego_pose'] if r['token'] == lidar['ego_pose_token'])
    pose['translation'][0] += 0.5
    write_tables(tree, tables)
    assert run(tree, tmp_path / 'a').kept == 5
    run(tree, tmp_path / 'b')
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')
    for path in (tree / 'maps/expansion').iterdir():
        path.write_text(path.read_text() + '\n')
    assert run(tree, tmp_path / 'a').kept == 0


def test_no_file_is_ever_half_there(tree, tmp_path, monkeypatch):
    def stop(path, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, 'replace', stop)  # by when the content lies under another name
    with pytest.raises(KeyboardInterrupt):
        run(tree, tmp_path / 'out')
    assert contents(tmp_path / 'out') == {}


def test_grid_file_and_infos_come_last(tree, tmp_path, monkeypatch):
    run(tree, tmp_path)
    monkeypatch.setattr('projects.CVT_IO.cvt_io.labels.nuscenes.label_maker.draw_boxes', lambda *_: 1 / 0)
    next(tmp_path.rglob('*.png')).unlink()
    with pytest.raises(ZeroDivisionError):
        run(tree, tmp_path)
    with pytest.raises(DataError, match='unfinished labels'):
        check_label_grid(labels_root(tmp_path, 'cvt_io'), BEVGrid())


def test_test_version_has_infos_without_labels(tmp_path):
    root, scene = tmp_path / 'nuscenes', 'scene-0077'  # The first scene of the official test split.
    write_tree(root, frames=2, version='v1.0-test', scenes=((scene, 'boston-seaport', (0.0, 0.0)),))
    for name in ('sample_annotation', 'instance', 'category'):
        (root / f'v1.0-test/{name}.json').unlink()
    (root / 'maps/expansion/boston-seaport.json').unlink()
    summary = convert(root, 'v1.0-test', tmp_path / 'out', progress=False)
    assert list(contents(tmp_path / 'out')) == ['cvt_io_infos_test.json']
    items = infos(tmp_path / 'out', 'test')['data_list']
    assert [item['label'] for item in items] == [None, None]
    assert str(summary).startswith('2 test frames in ')


def test_trainval_takes_the_scenes_it_holds(tmp_path):
    root = tmp_path / 'nuscenes'
    names = ('scene-0003', 'scene-0002', 'scene-0001')  # 0003 is of the official val split, the others of train.
    scenes = tuple((name, 'singapore-queenstown', (10.0, 20.0)) for name in names)
    write_tree(root, frames=1, boxes=3, version='v1.0-trainval', scenes=scenes)
    convert(root, 'v1.0-trainval', tmp_path / 'out', progress=False)
    assert [i['scene_name'] for i in infos(tmp_path / 'out', 'train')['data_list']] == ['scene-0001', 'scene-0002']
    assert [i['scene_name'] for i in infos(tmp_path / 'out', 'val')['data_list']] == ['scene-0003']


def expect_error(tree, tmp_path, message):
    with pytest.raises(DataError, match=message) as info:
        convert(tree, VERSION, tmp_path / 'out', progress=False)
    assert not (tmp_path / 'out').exists()
    assert '\n' not in str(info.value)


def test_missing_images_are_counted_and_the_first_are_named(tree, tmp_path):
    folder = tree / 'samples/CAM_BACK'
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    (tree / 'samples/CAM_FRONT/scene-0061_1.jpg').unlink()
    # 3 scenes of the splits × 2 frames × 6 cameras = 36 images; CAM_BACK lacks 6 and CAM_FRONT one.
    expect_error(tree, tmp_path, r'images: 7 of 36 are missing: (.*jpg, ){5}…; --skip-missing-images keeps')


def test_a_few_missing_images_cost_their_frames(tree, tmp_path):
    path = tree / 'samples/CAM_FRONT/scene-0061_1.jpg'
    path.unlink()
    summary = run(tree, tmp_path)  # 1 of 36 is less than 5 %
    assert summary.frames == {'train': 3, 'val': 2}
    assert f'images: 1 of 36 are missing: {path}; kept the 5 of 6 frames that are whole' in summary.notes
    tokens = [item['sample_token'] for item in infos(tmp_path, 'train')['data_list']]
    assert tokens == ['scene-0061-sample0', 'scene-0553-sample0', 'scene-0553-sample1']


def test_part_of_the_images(tree, tmp_path):
    for path in [*tree.glob('samples/CAM_BACK/*_1.jpg'), *tree.glob('samples/*/scene-0103_0.jpg')]:
        path.unlink()
    expect_error(tree, tmp_path, r'--skip-missing-images keeps the 2 of 6 frames that are whole$')
    summary = run(tree, tmp_path, skip_missing_images=True)
    assert summary.frames == {'train': 2, 'val': 0} and not (tmp_path / 'cvt_io_infos_val.json').exists()
    assert any('kept the 2 of 6 frames' in note for note in summary.notes)
    for path in tree.glob('samples/CAM_BACK/*.jpg'):
        path.unlink()
    with pytest.raises(DataError, match='no frame has all its images'):
        run(tree, tmp_path, skip_missing_images=True)


def test_images_of_scenes_of_no_split_are_not_needed(tree, tmp_path):
    for path in tree.rglob('scene-0001_*.jpg'):
        path.unlink()
    assert run(tree, tmp_path).frames == {'train': 4, 'val': 2}


def test_some_maps_missing(tree, tmp_path):
    path = tree / 'maps/expansion/boston-seaport.json'
    path.unlink()
    expect_error(tree, tmp_path, rf'map expansion: missing {path}; map: false')


def test_no_scene_of_the_splits(tree, tables, tmp_path):
    for record in tables['scene']:
        record['name'] = 'scene-0001'
    write_tables(tree, tables)
    expect_error(
        tree, tmp_path, r'scene\.json: expected scenes of the splits train, val, found others .scene-0001.; .*--dataset'
    )
