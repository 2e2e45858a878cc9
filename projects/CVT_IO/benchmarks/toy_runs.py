"""Training runs on the toy world: one process per run, resumed if interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cvt_io.analysis.logs import Run, read_run
from ..cvt_io.errors import DataError
from ..cvt_io.fileio.atomic import write_json

REPO = Path(__file__).resolve().parents[3]
TOOLS = REPO / 'tools'
RESULT = 'result.json'
#: One thread, so that parallel runs do not compete. glibc keeps freed memory instead of returning it to the system, as
#: page faults took an eighth of a step's time.
_ENVIRONMENT = dict(
    OMP_NUM_THREADS='1',
    GLIBC_TUNABLES='glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=4294967296:glibc.malloc.hugetlb=1',
)
#: Reading cached images takes less time than a data worker would add.
_LOADING = {
    f'{split}_dataloader.{key}': value
    for split in ('train', 'val', 'test')
    for key, value in (('num_workers', 0), ('dataset.image_cache', 'image_cache'))
}
_WORLD = ('--version', 'v1.0-trainval', '--frames', 8)
_SIZES = ('--image-size', 225, 400, '--bev-size', 48, 48, '--bev-metres', 48, 48)
#: Folder name → number of scenes and seed; the second world has other towns.
WORLDS = {'toy-1': (850, 0), 'toy-1-other': (50, 1)}


@dataclass(frozen=True)
class ToyRun:
    """A training run.

    Attributes:
        name: name of its folder.
        model: name of a config in ``configs/`` that has a toy variant.
        seed: seed of initialisation and sample order.
        options: further settings of the config.
    """

    name: str
    model: str
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The toy config."""
        return REPO / f'configs/toy/{self.model}_toy.py'


def make_worlds(data: Path) -> None:
    """Generates missing worlds below a folder."""
    for name, (scenes, seed) in WORLDS.items():
        if not (data / name / 'cvt_io_infos_val.json').is_file():
            words = ('toy', *_WORLD, '--scenes', scenes, '--seed', seed, '--out-dir', data / name, *_SIZES)
            run_tool(TOOLS / 'create_data.py', *words)


def make_cache(config: Path, data_root: Path) -> None:
    """Writes the image caches of both splits before several runs do so at once."""
    for split in ('train', 'val'):
        run_tool(TOOLS / 'misc/check_dataset.py', config, '--split', split, *cfg_options(data_root))


def cfg_options(data_root: Path, options: dict[str, Any] | None = None) -> list[str]:
    """Command-line arguments for the world, the image cache and further settings of the config."""
    settings: dict[str, Any] = {'data_root': data_root} | _LOADING | (options or {})
    return ['--cfg-options', *(f'{key}={value}' for key, value in settings.items())]


def run_tool(tool: Path, *words: object, log: Path | None = None) -> None:
    """Runs a tool, appending its output to a log file if given.

    Raises:
        DataError: the tool failed; the message has the last line of its output.
    """
    command = [sys.executable, *map(str, (tool, *words))]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('ab') if log else nullcontext() as out:
        code = subprocess.run(command, cwd=REPO, env=os.environ | _ENVIRONMENT, stdout=out, stderr=out).returncode
    if code:
        last = log.read_text(errors='replace').rstrip().rpartition('\n')[2] if log else ''
        raise DataError(f'{tool.name} ended with code {code}{f"; {log}: {last}" if log else ""}')


def train(run: ToyRun, folder: Path, data_root: Path, steps: int) -> Run:
    """Trains or resumes a run and returns its log."""
    work_dir = folder / run.name
    options = {
        'max_iters': steps,
        'train_cfg.val_interval': steps,
        'randomness.seed': run.seed,
        'default_hooks.health.action': 'warn',  # a collapse is a result
    }
    if not last_checkpoint(work_dir, steps).is_file():
        words = cfg_options(data_root, options | run.options)
        run_tool(TOOLS / 'train.py', run.config, '--work-dir', work_dir, '--resume', *words, log=work_dir / 'train.log')
    return read_run(work_dir)


def last_checkpoint(work_dir: Path, steps: int) -> Path:
    """The checkpoint of a run's last step."""
    return work_dir / f'iter_{steps}.pth'


def run_all(
    runs: Sequence[ToyRun], folder: Path, jobs: int, execute: Callable[[ToyRun], dict], update: Callable[[dict], None]
) -> dict[str, dict]:
    """Executes runs in order, several at a time, skipping those that have a result.

    Args:
        runs: all runs.
        folder: parent of the run folders, each with its :data:`RESULT`.
        jobs: number of simultaneous runs.
        execute: trains and tests a run and returns its result.
        update: called with all results by name after each run.

    Raises:
        DataError: some runs failed; all others have been executed.
    """
    results: dict[str, dict] = {}
    problems: list[str] = []

    def one(run: ToyRun) -> None:
        path = folder / run.name / RESULT
        try:
            if not path.is_file():
                print(f'{run.name}: running, log in {path.parent}', flush=True)
                write_json(path, execute(run))
            results[run.name] = json.loads(path.read_text())
        except DataError as error:
            problems.append(f'{run.name}: {error}')
            print(problems[-1], file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(one, runs):
            update({run.name: results[run.name] for run in runs if run.name in results})
    if problems:
        raise DataError(f'{len(problems)} of {len(runs)} runs failed: ' + '; '.join(problems))
    return results
