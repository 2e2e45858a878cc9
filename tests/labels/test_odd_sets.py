"""Data sets that are not quite nuScenes: converted, trained, tested and drawn, or refused with a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.classes import CLASSES, MAP_CLASSES, VEHICLE
from projects.CVT_IO.cvt_io.labels.codec import StoredLabel, read_label, read_stored
from projects.CVT_IO.cvt_io.labels.description import DatasetDescription, read_description
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import Summary, convert
from tests.labels import odd_sets
from tests.tiny import REPO, TINY_GRID, TINY_OPTIONS, TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool

#: The worked examples of the documentation.
MINE, MASKS = re.findall(r'```yaml\n(.*?)```', (REPO / 'docs/own_data.md').read_text(), re.DOTALL)


@dataclass(frozen=True)
class Odd:
    """A set derived from the world, how it is described, and what converting it says."""

    change: Callable
    description: str = 'version: v1.0-mini'
    notes: tuple[str, ...] = ()
    version: str = 'v1.0-mini'
    maps: bool = True
    same: bool = True
    train: list[str] = field(default_factory=lambda: ['scene-0061', 'scene-0553'])


LYFT, T4 = ((REPO / f'configs/datasets/{name}.yaml').read_text() for name in ('lyft', 't4'))
NO_MAP = 'labels hold the boxes alone'
SETS = {
    'Lyft': Odd(odd_sets.lyft, LYFT, (NO_MAP, 'boxes have no visibility'), 'v1.01-train', train=[]),
    'T4': Odd(odd_sets.t4, T4, (NO_MAP, 'in none of the classes: '), 'annotation', train=[]),
    'five cameras, no lidar': Odd(odd_sets.five_cameras, MINE, (NO_MAP,), 'v1.0-custom', same=False),
    'no map': Odd(lambda tables: None, notes=(NO_MAP,), maps=False),
    'from Windows': Odd(odd_sets.written_on_windows),
    'no instances': Odd(odd_sets.without_instances),
    'ego above zero': Odd(odd_sets.raised),
}


def open_set(world: Path, root: Path, odd: Odd) -> tuple[Path, Path]:
    """Folder and description of a set."""
    odd_sets.derive(world, root, odd.change, odd.version, odd.maps)
    if odd.change is odd_sets.t4:
        odd_sets.mirrored(world, root)
    if odd.change is odd_sets.written_on_windows:
        for path in (root / odd.version).iterdir():
            path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    description = root / 'description.yaml'
    description.write_text(odd.description)
    (root / 'splits.json').write_text(json.dumps({'train': ['scene-0061', 'scene-0553'], 'val': ['scene-0103']}))
    return root, description


def run(root: Path, description: Path | DatasetDescription | str, out_dir: Path | None = None, **options) -> Summary:
    if isinstance(description, Path):
        description = read_description(description)
    return convert(root, description, out_dir, grid=TINY_GRID, progress=False, **options)


def infos(root: Path, split: str) -> dict:
    return json.loads((root / f'cvt_io_infos_{split}.json').read_text())


def labels(root: Path) -> dict[str, StoredLabel]:
    return {path.stem: read_stored(path) for path in (root / f'cvt_io_labels/{TINY_GRID.name}').rglob('*.png')}


def options(root: Path, **extra) -> list[str]:
    short = TINY_OPTIONS | {'train_cfg.max_iters': 2, 'param_scheduler.total_steps': 3, 'data_root': root}
    return ['--cfg-options', *as_arguments(short | extra)]


def config_of(folder: Path, group: str, classes: list[str]) -> Path:
    """The toy config with another label group."""
    path = folder / f'{group}.py'
    path.write_text(f"_base_ = '{TOY_CONFIG}'\nlabel_groups = dict(_delete_=True, {group}=dict(classes={classes}))\n")
    return path


def use(root: Path, work_dir: Path, *browse: object, config: Path = TOY_CONFIG, **extra) -> dict:
    """Trains two steps, tests and draws; the metrics."""
    words = ('--work-dir', work_dir, *options(root, **extra))
    assert run_tool('tools/train.py', config, *words) is None
    out = work_dir / 'result.json'
    show = ('--out', out, '--show-dir', 'panels')
    assert run_tool('tools/test.py', config, work_dir / 'iter_2.pth', *show, *words) is None
    assert [*work_dir.glob('*/panels/*.png')]
    draw = ('--output-dir', work_dir / 'drawn', '--not-show', '--num', 1, *browse)
    assert run_tool('tools/misc/browse_dataset.py', config, *draw, *options(root, **extra)) is None
    assert len([*(work_dir / 'drawn').iterdir()]) == 1
    return json.loads(out.read_text())


#: Whose training differs from that of nuScenes; the others take another way only until they are converted.
TRAINED = ('Lyft', 'T4', 'five cameras, no lidar', 'no map')


@pytest.mark.parametrize(
    'name', [name if name in TRAINED else pytest.param(name, marks=pytest.mark.slow) for name in SETS]
)
def test_trained_tested_and_drawn(toy_root, tmp_path, name):
    root, description = open_set(toy_root, tmp_path / 'set', SETS[name])
    run(root, description)
    assert 'vehicle/IoU@0.50' in use(root, tmp_path / 'work', '--dataset', description)


@pytest.mark.parametrize('name', SETS)
def test_converted(toy_root, tmp_path, name):
    odd = SETS[name]
    root, description = open_set(toy_root, tmp_path / 'set', odd)
    summary = run(root, description)
    assert sum(summary.frames.values()) == 9 and all(summary.frames[split] for split in ('train', 'val'))
    for note in odd.notes:
        assert any(note in line for line in summary.notes), summary.notes
    if odd.train:
        assert list(dict.fromkeys(i['scene_name'] for i in infos(root, 'train')['data_list'])) == odd.train
    if not odd.same:
        return
    # The vehicles are those of the world, cell by cell.
    expected, found = labels(toy_root), labels(root)
    assert expected.keys() == found.keys()
    for token, label in expected.items():
        if name != 'T4':  # whose list has neither construction nor emergency vehicles
            np.testing.assert_array_equal(found[token].instances, label.instances)
        if name == 'Lyft':
            assert {v[2] for v in found[token].vehicles} <= {4}
        else:
            boxes = 0b1111 << 4 if name == 'T4' else 0xFF << 4
            np.testing.assert_array_equal(found[token].class_bits & boxes, label.class_bits & boxes)
            assert {v[2] for v in found[token].vehicles} <= {v[2] for v in label.vehicles}
        map_bits = label.class_bits & 0b1111
        np.testing.assert_array_equal(
            found[token].class_bits & 0b1111, 0 * map_bits if NO_MAP in odd.notes else map_bits
        )


def test_the_first_camera_is_the_reference_without_lidar(toy_root, tmp_path):
    root, description = open_set(toy_root, tmp_path / 'set', SETS['five cameras, no lidar'])
    description.write_text(MINE.replace('reference: front\n', ''))
    assert any("front_left's time defines the ego pose" in note for note in run(root, description).notes)
    tables = {name: json.loads((root / f'v1.0-custom/{name}.json').read_text()) for name in ('sample_data', 'ego_pose')}
    frame = infos(root, 'train')['data_list'][0]
    cameras = ['front_left', 'front', 'front_right', 'back_left', 'back_right']
    assert [image['camera'] for image in frame['images']] == cameras
    data = next(r for r in tables['sample_data'] if r['filename'] == frame['images'][0]['path'])
    pose = next(r for r in tables['ego_pose'] if r['token'] == data['ego_pose_token'])
    assert np.array(frame['world_from_ego'])[:3, 3].tolist() == pose['translation']


def test_times_are_microseconds(toy_root, tmp_path):
    """Of nanoseconds, of seconds and of a float; 0.25 µs are rounded away."""

    def in_seconds(tables):
        for record in tables['sample']:
            record['timestamp'] /= 1e6

    expected = {i['sample_token']: i['timestamp'] for i in infos(toy_root, 'train')['data_list']}
    for name, change in (('s', in_seconds), ('ns', odd_sets.written_on_windows)):
        root, description = open_set(toy_root, tmp_path / name, Odd(change))
        run(root, description)
        assert {i['sample_token']: i['timestamp'] for i in infos(root, 'train')['data_list']} == expected


def test_label_groups_of_the_map_are_refused_without_map(toy_root, tmp_path):
    root, description = open_set(toy_root, tmp_path / 'set', SETS['no map'])
    run(root, description)
    assert infos(root, 'train')['metainfo']['missing_classes'] == [*MAP_CLASSES]
    config = config_of(tmp_path, 'road', ['lane', 'road_segment'])
    said = run_tool('tools/train.py', config, '--work-dir', tmp_path, *options(root))
    assert 'label group road: expected labels with lane, road_segment, which these data do not have' in said


def test_a_missing_layer_costs_its_class_alone(toy_root, tmp_path):
    root, description = open_set(toy_root, tmp_path / 'set', Odd(lambda tables: None, maps=False))
    (root / 'maps/expansion').mkdir(parents=True)
    for path in (toy_root / 'maps/expansion').glob('*.json'):
        content = json.loads(path.read_text())
        del content['lane_divider']
        (root / 'maps/expansion' / path.name).write_text(json.dumps(content | {'version': '1.1'}))
    assert any('a map lacks the layers lane_divider' in note for note in run(root, description).notes)
    assert infos(root, 'train')['metainfo']['missing_classes'] == ['lane_divider']
    for token, label in labels(toy_root).items():
        np.testing.assert_array_equal(labels(root)[token].class_bits, label.class_bits & ~np.uint16(1 << 3))


def split_names(root: Path) -> dict[str, list[str]]:
    found = {}
    for split in ('train', 'val', 'test'):
        if (root / f'cvt_io_infos_{split}.json').exists():
            found[split] = sorted({i['scene_name'] for i in infos(root, split)['data_list']})
    return found


@pytest.mark.parametrize(
    ('splits', 'expected', 'note'),
    [
        ({'train': 'train.txt', 'val': ['scene-0553']},
         {'train': ['scene-0061', 'scene-0103'], 'val': ['scene-0553']}, ''),
        ('splits.json', {'train': ['scene-0061', 'scene-0553'], 'val': ['scene-0103']}, ''),
        ({'train': ['scene-0061'], 'val': ['scene-0103']}, {'train': ['scene-0061'], 'val': ['scene-0103']},
         '1 of 3 scenes are in no split and left out: scene-0553'),
        ({'train': ['scene-0061', 'scene-0103']}, {'train': ['scene-0061', 'scene-0103']}, 'without validation'),
        ({'val_share': 0.0}, {'train': ['scene-0061', 'scene-0103', 'scene-0553']}, 'no val frames'),
    ],
)  # fmt: skip
def test_own_splits(toy_root, tmp_path, splits, expected, note):
    root, _ = open_set(toy_root, tmp_path / 'set', Odd(lambda tables: None))
    (root / 'train.txt').write_text('scene-0061\n\nscene-0103\nscene-elsewhere\n')
    summary = run(root, DatasetDescription(version='v1.0-mini', splits=splits, folder=root))
    assert split_names(root) == expected
    assert any(note in line for line in summary.notes) or not note


def test_a_share_of_the_scenes_follows_from_its_seed(toy_root, tmp_path):
    found = []
    for seed in range(8):
        root, _ = open_set(toy_root, tmp_path / str(seed), Odd(lambda tables: None))
        run(root, DatasetDescription(version='v1.0-mini', splits={'val_share': 0.4, 'seed': seed // 2}))
        found.append(split_names(root))
    assert found[::2] == found[1::2] and len({str(split) for split in found}) > 1
    assert all(len(split['val']) == 1 and len(split['train']) == 2 for split in found)


def test_training_scenes_alone(toy_root, tmp_path):
    """Training says how to go without validation, and that way works."""
    root, _ = open_set(toy_root, tmp_path / 'set', Odd(lambda tables: None))
    run(root, DatasetDescription(version='v1.0-mini', splits={'train': ['scene-0061', 'scene-0103']}))
    said = run_tool('tools/train.py', TOY_CONFIG, '--work-dir', tmp_path, *options(root))
    assert 'cvt_io_infos_val.json: no such infos' in said
    words = said.partition('--cfg-options ')[2].split()
    assert len(words) == 3
    short = [word for word in options(root) if not word.startswith('val_')]
    assert run_tool('tools/train.py', TOY_CONFIG, '--work-dir', tmp_path, *short, *words) is None
    assert (tmp_path / 'iter_2.pth').is_file()


def test_versions_in_one_root_are_kept_apart(toy_root, tmp_path):
    root, _ = open_set(toy_root, tmp_path / 'set', Odd(lambda tables: None, version='v1.0-trainval'))
    odd_sets.derive(toy_root, tmp_path / 'mini', lambda tables: None)
    (root / 'v1.0-mini').symlink_to(tmp_path / 'mini/v1.0-mini')
    run(root, 'v1.0-trainval')
    before = infos(root, 'train')
    with pytest.raises(DataError, match=r'found those of nuscenes v1\.0-trainval; --extra-tag or --out-dir keeps'):
        run(root, 'v1.0-mini')
    run(root, 'v1.0-mini', extra_tag='mini')
    assert infos(root, 'train') == before and (root / 'mini_infos_train.json').is_file()
    run(root, 'v1.0-trainval')


def test_images_of_a_read_only_root(toy_root, tmp_path):
    root, description = open_set(toy_root, tmp_path / 'set', Odd(lambda tables: None))
    before = sorted(root.rglob('*'))
    root.chmod(0o555)
    out = tmp_path / 'out'
    summary = run(root, description, out)
    assert f'to train: --cfg-options data_root={out} image_root={root}' in summary.notes
    assert 'vehicle/IoU@0.50' in use(out, tmp_path / 'work', image_root=root)
    root.chmod(0o755)
    assert sorted(root.rglob('*')) == before


@pytest.mark.parametrize('kind', ['png', 'npz'])
def test_masks_of_ones_own(toy_root, tmp_path, kind):
    """Vehicles and road drawn by somebody: the labels have just these cells."""

    def without_boxes(tables):
        for name in ('sample_annotation', 'instance', 'category', 'attribute', 'visibility', 'log', 'map'):
            del tables[name]

    root, _ = open_set(toy_root, tmp_path / 'set', Odd(without_boxes, maps=False))
    expected = {}
    for frame in [i for split in ('train', 'val') for i in infos(toy_root, split)['data_list']]:
        label = read_label(toy_root / f'cvt_io_labels/{TINY_GRID.name}' / frame['label'])
        planes = {'car': label.classes[[*VEHICLE]].any(0), 'road_segment': label.classes[1]}
        expected[frame['sample_token']] = planes
        for name, plane in planes.items():
            path = root / f'bev/{name}/{frame["scene_name"]}/{frame["sample_token"]}.{kind}'
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == 'png':
                Image.fromarray(plane.astype(np.uint8) * 255).save(path)
            else:
                np.savez_compressed(path, **{name: plane})
    description = root / 'masks.yaml'
    description.write_text(MASKS.replace('.png', f'.{kind}'))
    run(root, description)
    missing = infos(root, 'train')['metainfo']['missing_classes']
    assert missing == [name for name in CLASSES if name not in ('car', 'road_segment')]
    for token, planes in expected.items():
        (path,) = root.glob(f'cvt_io_labels/*/*/{token}.png')
        label = read_label(path)
        for name, plane in planes.items():
            np.testing.assert_array_equal(label.classes[CLASSES.index(name)], plane)
        np.testing.assert_array_equal(label.visibility, np.where(planes['car'], 4, 255))
    config = config_of(tmp_path, 'vehicle', ['car'])
    assert 'vehicle/IoU@0.50' in use(root, tmp_path / 'work', '--no-boxes', config=config)
    path.unlink()
    broken = next(root.glob(f'bev/car/*/*.{kind}'))
    broken.write_bytes(b'x')
    with pytest.raises(DataError, match=rf'{broken}: expected a mask of car, found'):
        run(root, description)
    broken.unlink()
    with pytest.raises(DataError, match=rf'{broken}: cannot read the mask of car'):
        run(root, description)


def all_of(table: str, **values) -> Callable:
    def change(tables):
        for record in tables[table]:
            record.update(values)

    return change


@pytest.mark.parametrize(
    ('change', 'description', 'message'),
    [
        (lambda t: odd_sets.rename_categories(t, lambda n: n.replace('vehicle.', '')), '{}',
         r"sample_annotation\.json: category '\w+': expected a vehicle to have the word .*; give categories"),
        (lambda t: odd_sets.rename_categories(t, lambda n: 'thing'), '{}', 'found none among thing; give categories'),
        (lambda t: odd_sets.drop_channels(t, 'CAM_BACK'), '{}',
         r'sensor\.json: expected the channel CAM_BACK.*--dataset'),
        (lambda t: odd_sets.drop_channels(t, 'CAM_BACK'), 'reference: LIDAR', 'expected the channel CAM_BACK'),
        (all_of('calibrated_sensor', rotation=np.eye(3).tolist()), '{}',
         r"calibrated_sensor\.json: record '\w+': .*4 finite numbers, a quaternion \(w, x, y, z\) and not a matrix"),
        (lambda t: t['ego_pose'].clear(), '{}',
         r"ego_pose\.json: no record .*, which ego_pose_token of record '\w+' of sample_data\.json refers to"),
        (lambda t: t['instance'].clear(), '{}', r'instance\.json: no record .* of sample_annotation\.json'),
        (lambda t: t.pop('sample_annotation'), '{}', r'sample_annotation\.json: cannot read file: .*masks of your own'),
        (all_of('sample', timestamp='noon'), '{}', r"sample\.json: .*a number of microseconds, got 'noon'"),
        (lambda t: None, 'splits: {train: [scene-0061], val: [scene-0061]}', 'scene scene-0061: expected in one split'),
        (lambda t: None, 'splits: {train: [elsewhere]}', r'found others \(scene-0061, scene-0103, scene-0553\)'),
        (lambda t: None, 'splits: {val_share: 2}', 'expected val_share'),
        (lambda t: None, 'splits: {dev: [a]}', 'expected lists of scenes of train, val, test, found dev'),
        (lambda t: None, 'splits: nowhere.json', r'nowhere\.json: cannot read file'),
        (lambda t: None, 'cameras: [a, a]', r'description\.yaml: cameras: expected at least one camera, each once'),
        (lambda t: None, 'camera: [a]', r'description\.yaml: camera: unknown key; expected name, version, cameras'),
        (lambda t: None, 'categories: {car: lorry}', r'categories\.car: expected one of car, truck, .*lorry'),
        (lambda t: None, 'visibility: {high: 9}', r'visibility\.high: expected one of 1, 2, 3, 4, found 9'),
        (lambda t: None, 'masks: {car: a.png}', r'masks\.car: expected a path'),
        (lambda t: None, '[', r'description\.yaml: unreadable description'),
        (lambda t: None, '3', r'description\.yaml: expected the keys name, version'),
        (lambda t: None, '!!python/object/apply:os.mkdir [evil]', r'description\.yaml: unreadable description'),
    ],
)  # fmt: skip
def test_refused_with_file_record_and_remedy(toy_root, tmp_path, change, description, message):
    text = description if description[0] in '[3!{' else f'version: v1.0-mini\n{description}'
    root, path = open_set(toy_root, tmp_path / 'set', Odd(change, text.replace('{}', 'version: v1.0-mini')))
    with pytest.raises(DataError, match=message) as error:
        run(root, path)
    assert '\n' not in str(error.value) and not (root / 'cvt_io_labels').exists()


def test_description_in_python_and_on_the_command_line(toy_root, tmp_path, capfd):
    root, _ = open_set(toy_root, tmp_path / 'set', SETS['five cameras, no lidar'])
    path = root / 'mine.py'
    path.write_text(
        "name, version = 'mine', 'v1.0-custom'\nreference = 'front'\nsplits = 'splits.json'\nmap = False\n"
        "cameras = ['front_left', 'front', 'front_right', 'back_left', 'back_right']\n"
    )
    grid = ('--bev-size', 48, 48, '--bev-metres', 48, 48, '--workers', 1)
    assert not run_tool('tools/create_data.py', 'nuscenes', '--root-path', root, '--dataset', path, *grid)
    said = capfd.readouterr()
    assert '6 train, 3 val frames' in said.out and 'note: no map (map: false)' in said.out
    assert infos(root, 'val')['metainfo']['dataset'] == 'mine'
