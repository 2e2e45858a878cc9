"""The command: in processes of its own where that matters, otherwise by its ``main``."""

import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.labels.nuscenes.nuscenes_tree import write_tree
from tests.tools.in_process import run_process

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / 'tools/create_data.py')]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}


def start(*arguments) -> subprocess.Popen:
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([*COMMAND, *map(str, arguments)], env=ENVIRONMENT, **pipes)


def create_data(*arguments, cwd=None) -> subprocess.CompletedProcess:
    return run_process(*COMMAND[1:], *arguments, cwd=cwd)


@pytest.fixture(scope='module')
def main():
    spec = importlib.util.spec_from_file_location('create_data_under_test', ROOT / 'tools/create_data.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.main([str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, temporary ones too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('command') / 'nuscenes'
    write_tree(root, frames=40, boxes=20)
    return root


@pytest.fixture(scope='module')
def whole(tree) -> dict[str, bytes]:
    """What an uninterrupted run makes; run from another folder, which has its own ``projects`` in the way."""
    other = tree.parent / 'elsewhere'
    (other / 'projects').mkdir(parents=True)
    (other / 'projects/__init__.py').touch()
    result = create_data(
        *('nuscenes', '--root-path', '../nuscenes', '--version', 'v1.0-mini', '--out-dir', '../whole'), cwd=other
    )
    assert result.returncode == 0, result.stderr
    files = contents(tree.parent / 'whole')
    assert len(files) == 120 + 1 + 2
    sizes = [len(content) for name, content in files.items() if name.endswith('.png')]
    assert result.stdout.startswith('80 train, 40 val frames in ')
    assert f'labels: {sum(sizes) / 120:.0f} bytes a frame on average, {max(sizes)} at most' in result.stdout
    assert 'labels 200x200_100x100m: 100%' in result.stderr
    return files


@pytest.mark.parametrize(('workers', 'times'), [(1, 1), (2, 3)])
def test_killed_at_random_moments_and_run_again(tree, whole, tmp_path, workers, times):
    rng = random.Random(workers)
    out = tmp_path / 'out'
    arguments = ['nuscenes', '--root-path', tree, '--version', 'v1.0-mini', '--out-dir', out, '--workers', workers]
    kills = 0
    for _ in range(times):
        process = start(*arguments)
        there = len(list(out.rglob('*.png')))
        aim = there + rng.randrange(1, 30)
        while process.poll() is None and len(list(out.rglob('*.png'))) < aim:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert not (out / 'cvt_io_labels/200x200_100x100m/grid.json').exists() or contents(out) == whole
    assert kills == times
    left = {name: content for name, content in contents(out).items() if not name.endswith('.tmp')}
    assert len(left) < len(whole)
    assert left.items() <= whole.items()
    result = create_data(*arguments)
    assert result.returncode == 0, result.stderr
    assert contents(out) == whole
    kept = int(result.stdout.split('at most, ')[1].split()[0])
    assert kept >= len(left)


def test_another_grid_and_tag(main, tree, tmp_path):
    paths = ['--root-path', tree, '--out-dir', tmp_path, '--version', 'v1.0-mini', '--extra-tag', 'mine']
    grid = ['--bev-size', 40, 20, '--bev-metres', 100, 50, '--bev-offset', 0.1]
    assert main('nuscenes', *paths, *grid, '--workers', 1) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'mine_infos_train.json', 'mine_infos_val.json', 'mine_labels'}
    assert (tmp_path / 'mine_labels/40x20_100x50m_offset0.1/grid.json').is_file()


def test_error_is_one_line_and_nothing_is_written(tmp_path):
    result = create_data('nuscenes', '--root-path', 'nowhere', cwd=tmp_path)
    assert result.returncode == 1
    *before, last = result.stderr.splitlines()
    assert last == 'error: nowhere/v1.0-trainval: no such folder (versions found in nowhere: none)'
    assert before == ['reading the tables of nowhere/v1.0-trainval']
    assert result.stdout == ''
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--workers', -1], 'error: --workers: expected a non-negative number, got -1'),
        (
            ['--bev-size', 0, 5],
            'error: BEV grid: expected two positive sizes and extents, got (0, 5) and (100.0, 100.0)',
        ),
    ],
)
def test_wrong_values(main, tmp_path, capsys, arguments, message):
    assert main('nuscenes', '--root-path', tmp_path, *arguments) == 1
    assert capsys.readouterr() == ('', message + '\n')


def test_unwritable_out_dir(main, tree, tmp_path, capsys):
    (tmp_path / 'file').touch()
    assert main('nuscenes', '--root-path', tree, '--version', 'v1.0-mini', '--out-dir', tmp_path / 'file/out') == 1
    assert capsys.readouterr().err.splitlines()[1:] == [f"error: [Errno 20] Not a directory: '{tmp_path}/file/out'"]


def test_killed_worker(main, tree, tmp_path, capsys, monkeypatch):
    die = 'projects.CVT_IO.cvt_io.labels.nuscenes.label_maker.LabelMaker.write'
    monkeypatch.setattr(die, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    paths = ['--root-path', tree, '--version', 'v1.0-mini', '--out-dir', tmp_path]
    assert main('nuscenes', *paths, '--workers', 2) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith('error: a worker process was killed')


@pytest.mark.parametrize('dataset', ['nuscenes', 'toy'])
def test_help_tells_every_option_and_its_default(main, capsys, dataset):
    with pytest.raises(SystemExit, match=r'^0$'):
        main(dataset, '--help')
    text = capsys.readouterr().out
    for option in ('--version', '--out-dir', '--extra-tag', '--workers', '--bev-size', '--bev-metres'):
        assert option in text
    assert 'default: cvt_io' in text
    assert 'maps/expansion' in text or dataset == 'toy'


def test_toy_is_generated_and_then_converted_like_nuscenes(main, tmp_path):
    toy, again = tmp_path / 'toy', tmp_path / 'again'
    size = ['--scenes', 2, '--frames', 2, '--image-size', 90, 160]
    grid = ['--bev-size', 50, 50, '--workers', 0]
    assert main('toy', '--out-dir', toy, *size, '--seed', 3, *grid) == 0
    assert main('nuscenes', '--root-path', toy, '--version', 'v1.0-mini', '--out-dir', again, *grid) == 0
    made, beside = contents(again), contents(toy)
    assert {name: beside[name] for name in made} == made
    assert len([name for name in made if name.endswith('.png')]) == 4
    assert main('toy', '--out-dir', toy, *size, '--seed', 3, *grid) == 0
    assert contents(toy) == beside


def test_error_of_the_toy_world_is_one_line(main, tmp_path, capsys):
    assert main('toy', '--out-dir', tmp_path, '--scenes', 0) == 1
    assert capsys.readouterr() == ('', 'error: scenes: v1.0-mini has names for 1 to 10 scenes, got 0\n')


def test_shards_at_the_same_time_in_one_folder(main, tree, whole, tmp_path, capsys):
    """Two run, one of them is killed and run again; the merge waits for it, and then all is as one run makes it."""
    paths = ['--root-path', tree, '--version', 'v1.0-mini', '--out-dir', tmp_path, '--workers', 1]
    first, second = (start('nuscenes', *paths, '--shard', f'{i}/2') for i in (1, 2))
    label = next(name for name in whole if name.endswith('sample13.png'))  # an odd one is of the second shard
    while second.poll() is None and not (tmp_path / label).exists():
        time.sleep(0.001)
    second.send_signal(signal.SIGKILL)
    second.communicate()
    assert second.returncode == -signal.SIGKILL
    assert first.communicate()[0].startswith('shard 1/2: 40 train, 20 val frames in ')
    assert first.returncode == 0
    assert main('nuscenes', *paths, '--merge', 2) == 1
    assert re.search(
        r'error: .*: \d+ of 120 labels are .* \(\d+ missing\); run again --shard 2/2', capsys.readouterr().err
    )
    assert main('nuscenes', *paths, '--shard', '2/2') == 0
    assert main('nuscenes', *paths, '--merge', 2) == 0
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--shard', '0/4'], "error: --shard: expected i/n with i from 1 to n, such as 1/4, got '0/4'"),
        (['--shard', 'a/b'], "error: --shard: expected i/n with i from 1 to n, such as 1/4, got 'a/b'"),
        (['--merge', 0], 'error: --merge: expected a positive number of shards, got 0'),
    ],
)
def test_wrong_shards(main, tmp_path, capsys, arguments, message):
    for dataset in (['nuscenes', '--root-path'], ['toy', '--out-dir']):
        assert main(*dataset, tmp_path, *arguments) == 1
        assert capsys.readouterr() == ('', message + '\n')
    assert list(tmp_path.iterdir()) == []


def test_shards_of_a_toy_world(main, tmp_path, capsys):
    toy, again = tmp_path / 'toy', tmp_path / 'again'
    grid = ['--bev-size', 50, 50, '--workers', 0]
    options = ['--scenes', 2, '--frames', 2, '--image-size', 90, 160, *grid]
    for words in (['--shard', '2/3'], ['--merge', 3]):
        assert main('toy', '--out-dir', toy, *options, *words) == 1
        assert capsys.readouterr().err == (
            f'error: {toy}/v1.0-mini: no toy world here; --shard 1/N writes it, or the command without --shard\n'
        )
    for words in (['--shard', '1/3'], ['--shard', '2/3'], ['--shard', '3/3'], ['--merge', 3]):
        assert main('toy', '--out-dir', toy, *options, *words) == 0
    assert main('nuscenes', '--root-path', toy, '--version', 'v1.0-mini', '--out-dir', again, *grid) == 0
    made, beside = contents(again), contents(toy)
    assert {name: beside[name] for name in made} == made and len(made) == 4 + 2 + 1
    assert set(contents(toy / 'cvt_io_labels')) == set(contents(again / 'cvt_io_labels'))
