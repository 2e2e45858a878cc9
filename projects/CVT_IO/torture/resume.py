"""Runs that are killed and go on: the same in every bit as one that was left alone."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np

from ..cvt_io.zoo.catalogue import REPOSITORY
from .mortal import SUFFIX
from .outcome import Outcome
from .same_run import difference
from .tiny import (
    CONFIG,
    TINY_OPTIONS,
    as_arguments,
    make_world,
)

#: With random augmentations, steps that are checkpoints, validations, both or neither, and a score that moves.
_CONFIG = f"""\
_base_ = [{str(CONFIG)!r}]
load, resize_crop, *rest = _base_.pipeline
pipeline = [load, resize_crop, dict(type='CVTIOStrongAugment'), dict(type='CVTIOGeometricAugment'), *rest]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""
_OPTIONS = TINY_OPTIONS | {
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


class Mortals:
    """The process that forks training runs, see :mod:`mortal`; of which ``folder`` keeps what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count()

    def __enter__(self) -> Mortals:
        words = [sys.executable, '-m', f'{__package__}.mortal']
        with (self.folder / 'server.txt').open('w') as output:
            self._server = subprocess.Popen(
                words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
            )
        self._requests, self._answers = cast(IO[str], self._server.stdin), cast(IO[str], self._server.stdout)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._requests.close()
        self._server.wait(timeout=60)

    def run(self, arguments: Sequence[str], death: dict | None = None, share: float = 0.5) -> tuple[int, float, Path]:
        """One run: exit code (negative: the signal that killed it), seconds that it lived, and what it printed."""
        output = self.folder / f'{next(self._numbers):03}.txt'
        request = dict(arguments=list(arguments), output=str(output), death=death, share=share)
        print(json.dumps(request), file=self._requests, flush=True)
        answer = json.loads(self._answers.readline())
        return answer['code'], answer['seconds'], output


def run(folder: Path, full: bool, seed: int = 0) -> Iterator[Outcome]:
    """32 kills (short form: 3), about half of them of runs with two data workers."""
    with Mortals(folder / 'output') as mortals:
        yield from trials(mortals, folder, (16, 16) if full else (2, 1), seed)


def trials(mortals: Mortals, folder: Path, kills: tuple[int, int], seed: int) -> Iterator[Outcome]:
    """So many kills of runs without data workers and with two; the world and the runs are left in the folder."""
    world = make_world(folder / 'data')
    rng = np.random.default_rng(seed)
    for workers, count in zip((0, 2), kills, strict=True):
        words = train_words(folder, world, workers)
        yield kill_and_compare(mortals, folder / f'{workers}_workers', words, count, rng)


def train_words(folder: Path, world: Path, workers: int) -> list[str]:
    """Arguments of ``tools/train.py`` but for the work folder."""
    config = folder / 'resumed.py'
    config.write_text(_CONFIG)
    options = _OPTIONS | {'data_root': str(world)}
    for loader in ('train', 'val'):
        options |= {f'{loader}_dataloader.num_workers': workers, f'{loader}_dataloader.persistent_workers': workers > 0}
    return [str(config), '--cfg-options', *as_arguments(options)]


def kill_and_compare(
    mortals: Mortals, folder: Path, words: Sequence[str], kills: int, rng: np.random.Generator
) -> Outcome:
    """Kills so many runs, each once or twice, and holds what they become against a run that was left alone."""
    name = folder.name.replace('_', ' ')
    code, seconds, output = mortals.run([*words, '--work-dir', str(folder / 'whole')])
    if code != 0:
        return Outcome(f'killed runs, {name}', kills, 0, f'the run to compare with ended with {code}, see {output}')
    moments = json.loads(Path(f'{output}{SUFFIX}').read_text())
    failures = []
    deaths = list(itertools.islice(choose_deaths(moments, seconds, rng), kills))
    for number, (what, death) in enumerate(deaths):
        work_dir = folder / str(number)
        arguments = [*words, '--work-dir', str(work_dir)]
        code, _, _ = mortals.run(arguments, death, rng.uniform())
        if rng.uniform() < 1 / 3:  # once more, on its way back
            mortals.run([*arguments, '--resume'], dict(seconds=rng.uniform(0, seconds)))
        resumed, _, output = mortals.run([*arguments, '--resume'])
        found = f'ended with {resumed}, see {output}' if resumed else difference(folder / 'whole', work_dir)
        if code == 0 and 'moment' in death:
            found = 'was not killed'
        if found:
            failures.append(f'{what}: {found}')
    kinds = len({what if 'moment' in death else 'a random time' for what, death in deaths})
    note = (
        '; '.join(failures[:3]) if failures else f'{kinds} kinds of moments, of {len(moments)}; {seconds:.1f} s a run'
    )
    return Outcome(f'killed runs, {name}', kills, kills - len(failures), note)


def choose_deaths(
    moments: Sequence[str], seconds: float, rng: np.random.Generator
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Random moments of every kind in turn, in random order, and every third one a random time."""
    kinds: dict[str, list[int]] = {}
    for index, name in enumerate(moments):
        kinds.setdefault(name, []).append(index)
    # What a kill can harm comes before what is written once at the start.
    first = [kind for kind in kinds if kind in ('training', 'validation', 'optimizer step') or 'pth' in kind]
    order = [*rng.permutation(first), *rng.permutation(sorted(set(kinds) - set(first)))]
    for number, kind in enumerate(itertools.cycle(order)):
        yield kind, dict(moment=int(rng.choice(kinds[kind])))
        if number % 2:
            time = rng.uniform(0, seconds)
            yield f'after {time:.2f} s', dict(seconds=time)
