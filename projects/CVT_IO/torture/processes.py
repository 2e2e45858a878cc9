"""Several processes: the same results as one, and a quick end of all when one dies."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from ..cvt_io.runtime.config import build_model, load_config
from ..cvt_io.zoo.catalogue import REPOSITORY
from .gradients import compare
from .launched import (
    Ending,
    data_workers,
    ranks,
    run_and_hit,
)
from .outcome import Outcome
from .team import run_tool_in_team
from .tiny import (
    CONFIG,
    TINY_OPTIONS,
    as_arguments,
    make_world,
)

FRAMES = 8  # of the validation scene
# A model that has not been trained predicts about one half everywhere.
THRESHOLDS = (0.48, 0.5, 0.52)
IN_TRAINING = r'Iter\(train\) \[ *5/'
IN_VALIDATION = r'Iter\(val\) \['


def run(folder: Path, full: bool) -> Iterator[Outcome]:
    """Metrics, gradients and deaths; the short form has one or two of each."""
    world = make_world(folder / 'data', frames=FRAMES if full else 2)
    yield from same_metrics(world, folder / 'metrics', full)
    yield from same_gradients(full)
    yield from deaths(world, folder / 'deaths', full)


def same_metrics(world: Path, folder: Path, full: bool) -> Iterator[Outcome]:
    """The test tool with 2 and 3 processes on sets of several sizes, against one process."""
    folder.mkdir(parents=True)
    checkpoint = folder / 'random.pth'
    torch.manual_seed(0)
    model = build_model(load_config(str(CONFIG), TINY_OPTIONS))
    torch.save(dict(state_dict=model.state_dict(), meta={}), checkpoint)
    tried = survived = 0
    for frames in (1, 2, 3, 5, FRAMES) if full else (2,):
        alone, *others = [tested(n, frames, world, checkpoint, folder) for n in ((1, 2, 3) if full else (1, 3))]
        tried += len(others)
        survived += sum(other == alone and any(alone.values()) for other in others)
    yield Outcome('test sets with the metrics of one process', tried, survived)


def tested(processes: int, frames: int, world: Path, checkpoint: Path, folder: Path) -> dict[str, float]:
    """Metrics of the first so many validation frames."""
    out = folder / f'{processes}_{frames}.json'
    options = TINY_OPTIONS | {
        'data_root': world,
        'test_dataloader.dataset.indices': frames,
        'test_evaluator.thresholds': THRESHOLDS,
    }
    words = ['--work-dir', folder / 'work', '--out', out, '--cfg-options', *as_arguments(options)]
    run_tool_in_team(processes, 'tools/test.py', CONFIG, checkpoint, *words)
    found = json.loads(out.read_text())
    return {name: value for name, value in found.items() if '/IoU@' in name}


def same_gradients(full: bool) -> Iterator[Outcome]:
    """A step of 2 and 3 processes against that of one, with shares of hidden pixels that differ from frame to frame."""
    steps: list[tuple[str, int, list[list[float | None]]]] = [
        ('steps as of one process: 2 × batch 2', 2, [[None] * 4]),
        ('steps as of one process: one without a pixel that counts', 2, [[None, 1.0, None, 1.0]]),
        ('steps as of one process: two accumulated batches', 2, [[None] * 4, [None] * 4]),
        ('steps as of one process: 3 × batch 2', 3, [[None] * 6]),
        ('steps as of one process: no pixel that counts', 2, [[1.0] * 4]),
    ]
    for what, processes, hidden in steps if full else steps[1:3]:
        seeds = range(5 if full else 1)
        survived = sum(compare(processes, seed, fill_in(hidden, seed)) for seed in seeds)
        yield Outcome(what, len(seeds), survived)


def fill_in(hidden: Sequence[Sequence[float | None]], seed: int) -> list[list[float]]:
    """Random shares for those left open: some frames are seen in full, others hardly."""
    generator = random.Random(seed)
    return [[generator.random() ** 0.3 if share is None else share for share in batch] for batch in hidden]


@dataclass(frozen=True)
class Death:
    """How a run is to be hit, and what it must then say.

    Attributes:
        what: in a few words.
        times: of the full form; each at another random moment.
        processes: of ``dist_train.sh``; 1 for the tool alone.
        until: pattern in the output after which it is hit.
        hit: does it, to the command's process.
        cause: pattern in the last lines.
        within: so many seconds after the pattern.
    """

    what: str
    times: int
    processes: int
    until: str
    hit: Callable[[psutil.Process], None]
    cause: str
    within: float = 3.0


def deaths(world: Path, folder: Path, full: bool) -> Iterator[Outcome]:
    """Kills processes of a training from outside, and damages a file that one of them reads."""
    folder.mkdir(parents=True)
    images = {split: first_image(world, split) for split in ('train', 'val')}
    names = {split: re.escape(path.name) for split, path in images.items()}
    killed, worker = r'Signal 9 \(SIGKILL\)', r'data worker \d+ was killed by the system'

    def kill_any(run: psutil.Process) -> None:
        random.choice(ranks(run)).kill()

    trials = [
        Death('processes killed in training', 3, 2, IN_TRAINING, kill_any, killed),
        Death('… of three', 1, 3, IN_TRAINING, kill_any, killed),
        Death('… in validation', 2, 2, IN_VALIDATION, kill_any, killed, within=0.3),
        Death('… that hang', 1, 2, IN_TRAINING, lambda run: ranks(run)[1].suspend(), 'does not answer'),
        Death('… that meet a damaged image', 1, 2, IN_TRAINING, lambda _: damage(images['train']), names['train']),
        Death('… that do in validation', 1, 2, IN_TRAINING, lambda _: damage(images['val']), names['val']),
        Death('the launcher asked to end', 1, 2, IN_TRAINING, lambda run: run.terminate(), 'got signal: 15'),
        Death('data workers killed', 2, 1, IN_TRAINING, lambda run: data_workers(run)[0].kill(), worker),
        Death('… of two processes', 1, 2, IN_TRAINING, lambda run: data_workers(ranks(run)[1])[0].kill(), worker),
    ]
    for number, death in enumerate(trials if full else trials[:1]):
        times = death.times if full else 1
        endings = [die(death, world, folder / f'{number}_{i}') for i in range(times)]
        for path in images.values():
            repair(path)
        survived = sum(ending.as_promised(death.cause) for ending in endings)
        longest = max(ending.seconds for ending in endings)
        yield Outcome(death.what, times, survived, f'all over after at most {longest:.0f} s')


def die(death: Death, world: Path, work_dir: Path) -> Ending:
    """One run and its end."""
    options = TINY_OPTIONS | {
        'data_root': world,
        'train_cfg.max_iters': 2000,
        'train_cfg.val_interval': 20,
        'param_scheduler.total_steps': 2001,
        'default_hooks.checkpoint.interval': 20,
        'train_dataloader.batch_size': 1,
        'train_dataloader.num_workers': 1,
        'val_dataloader.num_workers': 1,
        'val_dataloader.batch_size': 1,
        'env_cfg.dist_cfg.timeout': 10,
    }
    launch = [sys.executable, REPOSITORY / 'tools/train.py', CONFIG]
    if death.processes > 1:
        launch = ['bash', REPOSITORY / 'tools/dist_train.sh', CONFIG, death.processes]
    words = [*launch, '--work-dir', work_dir, '--cfg-options', *as_arguments(options)]
    return run_and_hit(words, work_dir.with_suffix('.log'), death.until, death.hit, death.within * random.random())


def first_image(world: Path, split: str) -> Path:
    """An image of a split."""
    infos = json.loads((world / f'cvt_io_infos_{split}.json').read_text())
    return world / infos['data_list'][0]['images'][0]['path']


def damage(path: Path) -> None:
    """Cuts a file in half, and keeps the whole one beside it."""
    whole = path.read_bytes()
    path.with_suffix('.whole').write_bytes(whole)
    path.write_bytes(whole[: len(whole) // 2])


def repair(path: Path) -> None:
    """Undoes the damage, if there is any."""
    if path.with_suffix('.whole').exists():
        path.with_suffix('.whole').replace(path)
