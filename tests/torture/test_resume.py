"""Runs that are killed and resumed: bit for bit the same as one that was left alone."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from projects.CVT_IO.cvt_io.analysis.logs import read_run
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG, as_arguments
from tests.torture.mortal import SUFFIX

#: Random augmentations; steps with a checkpoint, a validation, both or neither; a score that changes.
CONFIG = f"""\
_base_ = [{str(TOY_CONFIG)!r}]
load, resize_crop, *rest = _base_.pipeline
pipeline = [load, resize_crop, dict(type='CVTIOStrongAugment'), dict(type='CVTIOGeometricAugment'), *rest]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""
OPTIONS = TINY_OPTIONS | {
    'train_cfg.max_iters': 5,
    'train_cfg.val_interval': 3,
    'param_scheduler.total_steps': 6,
    'val_evaluator.thresholds': (0.02,),
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.checkpoint.save_best': 'vehicle/IoU@0.02',
    'default_hooks.visualization.val_panels': 0,
    'train_dataloader.dataset.cameras': ('CAM_FRONT', 'CAM_BACK'),
    'val_dataloader.dataset.cameras': ('CAM_FRONT', 'CAM_BACK'),
}
SLOW = pytest.mark.slow


class Mortals:
    """Client of the process that forks training runs (:mod:`mortal`); their output is kept in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()

    def __enter__(self) -> Mortals:
        words = [sys.executable, '-m', 'tests.torture.mortal']
        with (self.folder / 'server.txt').open('w') as output:
            self._server = subprocess.Popen(
                words, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
            )
        self._requests, self._answers = cast(IO[str], self._server.stdin), cast(IO[str], self._server.stdout)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._requests.close()
        self._server.wait(timeout=60)

    def run(self, arguments: Sequence[str], death: dict | None = None, share: float = 0.5) -> tuple[int, float, Path]:
        """One run: exit code (negative: the signal that killed it), seconds that it lived, and its output."""
        output = self.folder / f'{next(self._numbers):03}.txt'
        request = dict(arguments=list(arguments), output=str(output), death=death, share=share)
        print(json.dumps(request), file=self._requests, flush=True)
        answer = json.loads(self._answers.readline())
        return answer['code'], answer['seconds'], output


@pytest.fixture(scope='module')
def mortals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    with Mortals(tmp_path_factory.mktemp('resume')) as server:
        yield server


@pytest.fixture(scope='module')
def whole(mortals: Mortals, toy_root: Path) -> Callable[[int], tuple[Path, list[str], list[str], float]]:
    """Runs that are left alone, by number of data workers: folder, arguments, moments, seconds."""
    runs: dict[int, tuple[Path, list[str], list[str], float]] = {}

    def get(workers: int) -> tuple[Path, list[str], list[str], float]:
        if workers not in runs:
            folder, words = mortals.folder / f'{workers}_workers', train_words(mortals.folder, toy_root, workers)
            code, seconds, output = mortals.run([*words, '--work-dir', str(folder)])
            assert code == 0, output.read_text()[-2000:]
            runs[workers] = folder, words, json.loads(Path(f'{output}{SUFFIX}').read_text()), seconds
        return runs[workers]

    return get


def train_words(folder: Path, world: Path, workers: int) -> list[str]:
    """Arguments of ``tools/train.py`` except the work folder."""
    config = folder / 'resumed.py'
    config.write_text(CONFIG)
    options = OPTIONS | {'data_root': str(world)}
    for loader in ('train', 'val'):
        options |= {f'{loader}_dataloader.num_workers': workers, f'{loader}_dataloader.persistent_workers': workers > 0}
    return [str(config), '--cfg-options', *as_arguments(options)]


def choose_deaths(moments: Sequence[str], seconds: float, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Random moments of each kind in turn, in random order; every third death is at a random time."""
    kinds: dict[str, list[int]] = {}
    for index, name in enumerate(moments):
        kinds.setdefault(name, []).append(index)
    # What a kill can harm comes before what is written once at the start.
    first = [kind for kind in kinds if kind in ('training', 'validation', 'optimizer step') or 'pth' in kind]
    order = [*rng.permutation(first), *rng.permutation(sorted(set(kinds) - set(first)))]
    for number, kind in enumerate(itertools.cycle(order)):
        yield dict(moment=int(rng.choice(kinds[kind])))
        if number % 2:
            yield dict(seconds=rng.uniform(0, seconds))


#: What tells the time, the folder or the name of the start, or the commit that is checked out.
_OF_THE_START = {'time', 'data_time', 'eta', 'experiment_name', 'cfg', 'memory', 'mmengine_version'}
_PATHS = {'last_ckpt', 'best_ckpt'}


def difference(expected: Path, found: Path) -> str | None:
    """The first difference between the checkpoints and logs of two runs, ``None`` if there is none."""
    names = [sorted(path.name for path in folder.iterdir() if path.is_file()) for folder in (expected, found)]
    if names[0] != names[1]:
        return f'expected the files {names[0]}, found {names[1]}'
    left = [path.name for path in found.rglob('.*.tmp')]
    if left:
        return f'half files left: {left}'
    last = [Path((folder / 'last_checkpoint').read_text()).name for folder in (expected, found)]
    if last[0] != last[1]:
        return f'last_checkpoint: expected {last[0]}, found {last[1]}'
    for name in names[0]:
        if name.endswith('.pth'):
            first, second = (torch.load(folder / name, weights_only=True) for folder in (expected, found))
            where = _differs(first, second, name)
            if where:
                return where
    return _log_differs(expected, found)


def records(work_dir: Path) -> list[dict[str, float]]:
    """Rows of the logs of all starts of a run, in the order of their steps, without what depends on the clock."""
    rows = []
    for path in sorted(work_dir.glob('*/vis_data/2*.json')):
        lines = path.read_text().splitlines()
        if lines != path.with_name('scalars.json').read_text().splitlines():
            raise ValueError(f'{path}: expected the same rows as in scalars.json')
        rows += [json.loads(line) for line in lines]
    rows = [{key: value for key, value in row.items() if key not in _OF_THE_START} for row in rows]
    return sorted(rows, key=lambda row: (row['step'], 'iter' not in row))


def _log_differs(expected: Path, found: Path) -> str | None:
    try:
        first, second = records(expected), records(found)
    except ValueError as error:
        return str(error)
    for one, other in zip(first, second, strict=False):
        if one != other:
            return f'log: expected {one}, found {other}'
    if len(first) != len(second):
        return f'log: expected {len(first)} rows, found {len(second)}'
    runs = [read_run(folder) for folder in (expected, found)]
    for what in ('training', 'validation'):
        steps = [[*getattr(run, what)] for run in runs]
        if steps[0] != steps[1]:
            return f'log as the analysis reads it: {what}: expected the steps {steps[0]}, found {steps[1]}'
    return None


def _differs(expected: Any, found: Any, where: str) -> str | None:
    """Where two checkpoints differ."""
    if type(expected) is not type(found):
        return f'{where}: expected {type(expected).__name__}, found {type(found).__name__}'
    if isinstance(expected, Tensor):
        same = expected.dtype == found.dtype and torch.equal(expected, found)
        return None if same else f'{where}: tensors differ'
    if isinstance(expected, Mapping):
        if expected.keys() != found.keys():
            return f'{where}: keys differ: {sorted(map(str, expected.keys() ^ found.keys()))}'
        keys = [key for key in expected if str(key).rpartition('/')[2] not in _OF_THE_START]
        pairs = [(key, expected[key], found[key]) for key in keys]
    elif isinstance(expected, (list, tuple)):
        if len(expected) != len(found):
            return f'{where}: expected {len(expected)} items, found {len(found)}'
        pairs = [(index, *pair) for index, pair in enumerate(zip(expected, found, strict=True))]
    else:
        return None if expected == found else f'{where}: expected {expected!r:.60}, found {found!r:.60}'
    for key, one, other in pairs:
        if key in _PATHS and isinstance(one, str) and isinstance(other, str):
            one, other = Path(one).name, Path(other).name
        if inner := _differs(one, other, f'{where}: {key}'):
            return inner
    return None


@pytest.mark.parametrize(
    ('workers', 'kills'), [(0, 2), (2, 1), pytest.param(0, 16, marks=SLOW), pytest.param(2, 16, marks=SLOW)]
)
def test_killed_run_becomes_the_whole_one(mortals, whole, tmp_path, workers, kills):
    """Killed once or twice at chosen moments, then resumed: same files, weights, optimizer state and logs."""
    expected, words, moments, seconds = whole(workers)
    rng = np.random.default_rng(workers)
    for number, death in enumerate(itertools.islice(choose_deaths(moments, seconds, rng), kills)):
        arguments = [*words, '--work-dir', str(tmp_path / str(number))]
        code, _, _ = mortals.run(arguments, death, rng.uniform())
        assert code != 0 or 'moment' not in death, f'{death}: not killed'
        if rng.uniform() < 1 / 3:  # once more, after the first resumption
            mortals.run([*arguments, '--resume'], dict(seconds=rng.uniform(0, seconds)))
        code, _, output = mortals.run([*arguments, '--resume'])
        assert code == 0, f'{death}: {output.read_text()[-2000:]}'
        assert difference(expected, tmp_path / str(number)) is None, f'{death}, {moments[death.get("moment", 0)]}'


def edit(path: Path, change: Callable[[dict], object]) -> None:
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)


def next_float(tensor: torch.Tensor) -> None:
    """The smallest change of a weight."""
    tensor.flatten()[0] = np.nextafter(tensor.flatten()[0].item(), np.inf, dtype=np.float32).item()


def rewrite(work_dir: Path, change: Callable[[list[str]], list[str]]) -> None:
    for path in work_dir.glob('*/vis_data/*.json'):
        path.write_text('\n'.join(change(path.read_text().splitlines())) + '\n')


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    'weight': (lambda d: edit(d / 'iter_5.pth', lambda c: next_float(next(iter(c['state_dict'].values())))), 'tensors'),
    'moment': (
        lambda d: edit(d / 'iter_5.pth', lambda c: next_float(c['optimizer']['state'][0]['exp_avg'])),
        'exp_avg',
    ),
    'rate': (lambda d: edit(d / 'iter_5.pth', lambda c: c['optimizer']['param_groups'][0].update(lr=1e-3)), ': lr: '),
    'score': (
        lambda d: edit(d / 'iter_5.pth', lambda c: c['message_hub']['runtime_info'].update(best_score=0.5)),
        'best_score',
    ),
    'no best': (lambda d: next(d.glob('best_*')).unlink(), 'expected the files'),
    'half file': (lambda d: (d / '.iter_9.pth.1.tmp').touch(), 'iter_9.pth'),
    'log gap': (lambda d: rewrite(d, lambda lines: lines[1:]), 'log: expected'),
    'log repeats': (lambda d: rewrite(d, lambda lines: [lines[0], *lines]), 'log: expected'),
    'log value': (
        lambda d: rewrite(d, lambda lines: [line.replace('"loss": 0.', '"loss": 1.') for line in lines]),
        'log:',
    ),
}


@pytest.mark.parametrize('what', CHANGES)
def test_difference_is_found(whole, tmp_path, what):
    expected = whole(0)[0]
    work_dir = shutil.copytree(expected, tmp_path / 'run')
    assert difference(expected, work_dir) is None
    change, found = CHANGES[what]
    change(work_dir)
    assert found in difference(expected, work_dir)


def test_resuming_from_a_wrong_state_is_found(mortals, whole, tmp_path):
    """One optimizer moment is zeroed in the checkpoint from which the run is resumed."""
    expected, words, moments, _ = whole(0)
    words = [*words, '--work-dir', str(tmp_path / 'run')]
    code, _, _ = mortals.run(words, dict(moment=moments.index('rename iter_5.pth')))
    assert code == -9
    edit(tmp_path / 'run/iter_4.pth', lambda c: c['optimizer']['state'][0]['exp_avg'].zero_())
    code, _, output = mortals.run([*words, '--resume'])
    assert code == 0, output.read_text()[-2000:]
    assert 'tensors differ' in difference(expected, tmp_path / 'run')


def test_deaths_are_of_all_kinds_and_follow_from_the_seed():
    moments = ['write x.log', *['training', 'optimizer step', 'rename iter_2.pth'] * 3, 'validation']

    def deaths(seed: int) -> list[dict]:
        return list(itertools.islice(choose_deaths(moments, 10.0, np.random.default_rng(seed)), 9))

    assert deaths(1) == deaths(1) != deaths(2)
    assert {moments[death['moment']] for death in deaths(1) if 'moment' in death} == set(moments)
    assert all(0 <= death['seconds'] <= 10 for death in deaths(1) if 'seconds' in death)
