"""``skip_broken``: broken frames are counted once, reported and done without; too many of them are an error."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet3d.registry import DATASETS
from mmengine.dataset import InfiniteSampler, pseudo_collate
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset
from projects.CVT_IO.cvt_io.engine.hooks import CVTIOBrokenFramesHook
from projects.CVT_IO.cvt_io.engine.hooks import broken_frames as broken_frames_hook
from projects.CVT_IO.cvt_io.errors import DataError
from tests.tiny import TINY_OPTIONS, TOY_CONFIG, as_arguments, tiny_config
from tests.tools.in_process import run_tool

INFOS = 'cvt_io_infos_train.json'
FRAMES = 6
FEW = dict(skip_broken=True, max_broken=0.5)  # three of the six


@pytest.fixture
def root(toy_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy_root, tmp_path / 'data')


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log file of a run."""
    path = tmp_path / 'run.log'
    MMLogger.get_instance(f'run-{tmp_path}', log_file=str(path))
    return path


def dataset(root: Path, **options) -> CVTIONuScenesDataset:
    cfg = tiny_config(root, root / 'work').train_dataloader.dataset
    return DATASETS.build(dict(cfg, ann_file=INFOS, **options))


def infos(root: Path) -> list[dict]:
    return json.loads((root / INFOS).read_text())['data_list']


def break_images(root: Path, *indices: int) -> list[Path]:
    paths = [root / infos(root)[index]['images'][0]['path'] for index in indices]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-50])
    return paths


def break_calibration(root: Path, index: int) -> None:
    content = json.loads((root / INFOS).read_text())
    content['data_list'][index]['images'][0]['intrinsics'][0][0] = float('nan')
    (root / INFOS).write_text(json.dumps(content))


def tokens(batches: list[dict]) -> list[str]:
    return [sample.sample_token for batch in batches for sample in batch['data_samples']]


def test_another_frame_takes_its_place_and_always_the_same(root, log):
    paths = break_images(root, 2, 4)
    frames = dataset(root, **FEW)
    own = [info['sample_token'] for info in infos(root)]
    first = [frames[index]['data_samples'].sample_token for index in range(FRAMES)]
    assert [i for i in range(FRAMES) if first[i] != own[i]] == [2, 4]
    assert {first[2], first[4]} <= {own[i] for i in (0, 1, 3, 5)}
    # Whatever was read before: here nothing, and in another order.
    again = dataset(root, **FEW)
    assert [again[index]['data_samples'].sample_token for index in reversed(range(FRAMES))] == first[::-1]
    assert len(frames.broken) == len(again.broken) == 2
    assert frames[-2]['data_samples'].sample_token == first[4]
    text = log.read_text()
    for path, number in zip(paths, ('1', '2'), strict=True):
        assert f'Skipped a broken frame, number {number} of at most 3: {path}: expected an image' in text
    assert text.count('Skipped') == 4  # two data sets, each frame once


@pytest.mark.parametrize(('start', 'workers'), [('fork', 2), ('spawn', 1)])
def test_data_workers_share_one_count(root, log, start, workers):
    paths = break_images(root, 0, 3)
    frames = dataset(root, **FEW)
    loader = DataLoader(
        frames,
        batch_size=2,
        num_workers=workers,
        multiprocessing_context=start,
        sampler=InfiniteSampler(frames, shuffle=True, seed=0),
        collate_fn=pseudo_collate,
    )
    batches = [batch for batch, _ in zip(loader, range(9), strict=False)]  # three times through the set
    order = InfiniteSampler(frames, shuffle=True, seed=0)
    alone = [frames[index]['data_samples'].sample_token for index, _ in zip(order, range(18), strict=False)]
    assert tokens(batches) == alone
    assert len(frames.broken) == 2
    if start == 'fork':  # a spawned worker has no log file, it prints
        assert [log.read_text().count(str(path)) for path in paths] == [1, 1]


def test_too_many_end_a_loader_with_workers(root):
    break_images(root, 0, 1, 2, 3)
    loader = DataLoader(dataset(root, **FEW), num_workers=1, collate_fn=pseudo_collate)
    message = f'{INFOS}: expected at most 0.5 of 6 frames to be broken (max_broken), found 4'
    with pytest.raises(DataError, match=re.escape(message)):
        list(loader)


@pytest.mark.parametrize(
    ('broken', 'options', 'message'),
    [
        ([0, 1, 2, 3], {}, r'at most 0\.5 of 6 frames .*found 4'),
        ([0, 1, 2, 3], dict(test_mode=True), 'found 4'),
        ([0], dict(max_broken=None), r'at most 0\.01 of 6 frames'),  # the default
        (range(FRAMES), dict(max_broken=0.99), 'found 6'),
        ([0, 1], dict(indices=3), r'at most 0\.5 of 3 frames'),  # two of six would be allowed
    ],
)
def test_too_many_are_an_error(root, broken, options, message):
    break_images(root, *broken)
    options = {key: value for key, value in (FEW | options).items() if value is not None}
    with pytest.raises(DataError, match=message):
        [frames[i] for frames in [dataset(root, **options)] for i in range(len(frames))]


@pytest.mark.parametrize('max_broken', [-0.1, 1, float('nan')])
def test_a_set_of_broken_frames_only_is_never_allowed(root, max_broken):
    with pytest.raises(ValueError, match='max_broken: expected a fraction from 0 to less than 1'):
        dataset(root, skip_broken=True, max_broken=max_broken)


def test_entries_of_the_infos_are_dropped_at_once(root, log):
    break_calibration(root, 1)
    frames = dataset(root, **FEW)
    own = [info['sample_token'] for info in infos(root)]
    assert [frames[i]['data_samples'].sample_token for i in range(len(frames))] == own[:1] + own[2:]
    assert len(frames.broken) == 1 and log.read_text().count('intrinsics: expected 3×3 finite numbers') == 1
    # Files that are found to be broken later count on.
    break_images(root, 0, 2, 3)
    with pytest.raises(DataError, match=r'expected at most 0\.5 of 6 frames .* found 4'):
        [frames[i] for i in range(len(frames))]
    for index in range(2, FRAMES):
        break_calibration(root, index)
    with pytest.raises(DataError, match=r'found 4; the last: .*intrinsics'):
        dataset(root, **FEW)


def test_in_test_mode_they_are_dropped_before_anything_is_counted(root, log):
    break_images(root, 2, 5)
    break_calibration(root, 0)
    frames = dataset(root, test_mode=True, **FEW)
    own = [info['sample_token'] for info in infos(root)]
    assert len(frames) == 3
    found = [frames[i]['data_samples'] for i in range(3)]
    assert [sample.sample_token for sample in found] == [own[1], own[3], own[4]]
    assert [sample.sample_idx for sample in found] == [0, 1, 2]
    assert log.read_text().count('Skipped a broken frame') == 3
    # One that breaks afterwards is an error: nothing may take its place.
    (path,) = break_images(root, 3)
    with pytest.raises(DataError, match=re.escape(str(path))):
        frames[1]


def test_other_errors_are_not_swallowed(root):
    def step(results: dict) -> dict:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dataset(root, pipeline=[step], **FEW)[0]


def test_flags_of_two_processes_become_one_count(root, monkeypatch):
    """What the hook does with the flags of another process, which is played by ``all_reduce``."""
    frames = dataset(root, **FEW)
    other = torch.tensor([0, 1, 1, 0, 0, 0], dtype=torch.uint8)
    monkeypatch.setattr(broken_frames_hook, 'all_reduce', lambda flags, op: flags.bitwise_or_(other))
    break_images(root, 0)
    frames[0]
    runner = SimpleNamespace(train_dataloader=SimpleNamespace(dataset=frames), iter=49)
    hook = CVTIOBrokenFramesHook(interval=50)
    hook.after_train_iter(runner)
    assert len(frames.broken) == 3
    other[4] = 1
    runner.iter = 50
    hook.after_train_iter(runner)  # not its turn
    runner.iter = 99
    with pytest.raises(DataError, match='found 4'):
        hook.after_train_iter(runner)


SHORT = {'train_cfg.max_iters': 3, 'train_cfg.val_interval': 3, 'param_scheduler.total_steps': 4}  # once through


def train(root: Path, *options: str) -> str | int | None:
    words = as_arguments(TINY_OPTIONS | {'data_root': root, 'train_dataloader.num_workers': 1, **SHORT})
    return run_tool('tools/train.py', TOY_CONFIG, '--work-dir', root / 'work', '--cfg-options', *words, *options)


def test_training_ends_with_the_error_of_its_data_worker_in_one_line(root):
    paths = break_images(root, *range(FRAMES))
    message = train(root)
    assert re.fullmatch(r'error: (\S+): expected an image, found a truncated JPEG', message)
    assert message.split()[1].rstrip(':') in map(str, paths)


def test_training_goes_on_and_says_at_the_end_how_many_were_broken(root):
    paths = break_images(root, 1, 4)
    assert train(root, *(f'train_dataloader.dataset.{key}={value}' for key, value in FEW.items())) is None
    (log,) = (root / 'work').glob('*/*.log')
    text = log.read_text()
    assert '2 of 6 training frames were broken and skipped.' in text
    assert [text.count(str(path)) for path in paths] == [1, 1]


def test_resumed_run_still_counts_what_was_found_before(root):
    """One frame in the first half and three in the second are one more than the three that may be broken."""
    few = [f'train_dataloader.dataset.{key}={value}' for key, value in FEW.items()]
    (path,) = break_images(root, 1)
    assert train(root, *few) is None
    path.write_bytes(path.read_bytes() + b'\xff\xd9')
    break_images(root, 2, 3, 4)
    assert 'found 4' in train(root, *few, 'train_cfg.max_iters=8', 'param_scheduler.total_steps=9', '--resume')


def test_all_files_can_be_checked_before_a_run(root, capsys):
    def check_dataset() -> str | int | None:
        words = as_arguments({'data_root': root})
        return run_tool('tools/misc/check_dataset.py', TOY_CONFIG, '--cfg-options', *words)

    assert check_dataset() is None
    assert capsys.readouterr().out == f'{root / INFOS}: all 6 frames are intact\n'
    paths = break_images(root, 0, 4)
    assert check_dataset() == f'error: {root / INFOS}: 2 of 6 frames are broken'
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(': expected an image')[0] for line in lines] == [str(path) for path in paths]
