"""Trains a small model on a procedural world and tests it on unseen scenes: ``python tools/misc/toy_demo.py``."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.zoo.catalogue import REPOSITORY

FRAMES = 8  # of each scene
LEAST, MOST_CONTROL = 0.35, 0.10  # IoU@0.50 on unseen scenes, and with the images of other frames
PANEL_INTERVAL = 60  # frames between the panels
CAMERAS = 6


class Demo:
    """Runs the tools one after the other. Their output goes to log files unless it is wanted on the screen."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.config, self.data_root, self.work_dir = args.config, args.data_root, args.work_dir
        self.scenes, self.steps = args.scenes, args.steps
        self.verbose = args.verbose
        self.options = ['--cfg-options', f'data_root={self.data_root}', *args.cfg_options]
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn())
        self.progress = Progress(TextColumn('{task.description:<34}'), *columns, disable=self.verbose)

    def run(self, title: str, total: int, done: Callable[[], int], *words: object) -> None:
        """Runs a tool behind a progress bar; ``done`` says how much of ``total`` is finished."""
        log = self.work_dir / f'{title.replace(" ", "_")}.log'
        task = self.progress.add_task(title, total=total)
        with log.open('w') as file:
            output = None if self.verbose else file
            command = [sys.executable, *map(str, words)]
            # The images are small: a second thread gains little and, on a busy machine, costs much.
            env = {'OMP_NUM_THREADS': '1'} | os.environ
            with subprocess.Popen(command, cwd=REPOSITORY, env=env, stdout=output, stderr=subprocess.STDOUT) as process:
                while process.poll() is None:
                    self.progress.update(task, completed=min(done(), total))
                    time.sleep(0.5)
        if process.returncode:
            self.progress.stop()
            sys.exit(f'error: {title} failed{"" if self.verbose else f", see {log}:{_last_lines(log)}"}')
        self.progress.update(task, completed=total)

    def make_world(self) -> None:
        """Writes the scenes; one in six is for validation. The images are twice as large as the model reads them."""
        images = self.data_root / 'samples'
        self.run(
            'world: images and labels',
            self.scenes * FRAMES * CAMERAS,
            lambda: sum(1 for _ in images.glob('*/*.jpg')),
            *('tools/create_data.py', 'toy', '--out-dir', self.data_root, '--version', 'v1.0-trainval'),
            *('--scenes', self.scenes, '--frames', FRAMES, '--image-size', 126, 224),
            *('--bev-size', 48, 48, '--bev-metres', 48, 48),
        )

    def train(self) -> Path:
        """Returns the checkpoint."""
        logs = set(self.work_dir.glob('*/vis_data/scalars.json'))
        self.run(
            'training: steps',
            self.steps,
            lambda: max(
                (_last_step(log) for log in {*self.work_dir.glob('*/vis_data/scalars.json')} - logs), default=0
            ),
            *('tools/train.py', self.config, '--work-dir', self.work_dir),
            *(*self.options, f'max_iters={self.steps}', 'default_hooks.logger.interval=10'),
        )
        return Path((self.work_dir / 'last_checkpoint').read_text().strip())

    def test(self, name: str, checkpoint: Path, *words: object) -> float:
        """IoU@0.50 of vehicles on the unseen scenes."""
        out = self.work_dir / f'{name}.json'
        words = ('tools/test.py', self.config, checkpoint, '--work-dir', self.work_dir / name, '--out', out, *words)
        self.run(f'test: {name}', 1, lambda: 0, *words, *self.options)
        return json.loads(out.read_text())['vehicle/IoU@0.50']


def _last_step(log: Path) -> int:
    lines = log.read_text().rpartition('\n')[0].splitlines()
    return json.loads(lines[-1]).get('step', 0) if lines else 0


def _last_lines(log: Path) -> str:
    return '\n'.join(['', *log.read_text(errors='replace').splitlines()[-5:]])


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description='Generate a toy world, train a small CVT-IO on it, test and draw it.')
    for flag, folder, what in (
        ('--data-root', 'data/toy-demo', 'folder of the toy world'),
        ('--work-dir', 'work_dirs/toy_demo', 'folder of the results'),
        ('--config', 'configs/toy/cvt_io_v3_toy.py', 'config of the model'),
    ):
        parser.add_argument(flag, type=lambda path: Path(path).resolve(), default=REPOSITORY / folder, help=what)
    parser.add_argument('--scenes', type=int, default=200, help='one in six is for validation (default: %(default)s)')
    parser.add_argument('--steps', type=int, default=500, help='of training, 8 frames each (default: %(default)s)')
    parser.add_argument('--verbose', action='store_true', help='show the output of the tools instead of progress bars')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='passed on to the training and its tests')
    return parser.parse_args()


def main() -> None:
    """Entry point; fails if the model does not see, or does not need to."""
    args = parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    demo = Demo(args)
    with demo.progress:
        demo.make_world()
        checkpoint = demo.train()
        panels = ('--show-dir', 'panels', '--show-interval', PANEL_INTERVAL)
        unseen = demo.test('unseen', checkpoint, *panels)
        control = demo.test('control', checkpoint, '--control', 'other-frame')
    report(demo, checkpoint, unseen, control)
    if (args.scenes, args.steps) == (200, 500) and (unseen < LEAST or control > MOST_CONTROL):
        sys.exit(f'error: expected at least {LEAST} on unseen scenes and at most {MOST_CONTROL} for the control')


def report(demo: Demo, checkpoint: Path, unseen: float, control: float) -> None:
    """Prints the IoUs, where the pictures are, and what to run next."""
    table = Table('vehicles, 48 m × 48 m at 1 m', 'IoU@0.50', 'expected')
    table.add_row('scenes that were not trained on', f'{unseen:.3f}', f'at least {LEAST}')
    table.add_row('control: images of other frames', f'{control:.3f}', f'at most {MOST_CONTROL}')
    Console().print(table)
    print('Pictures:', *sorted(demo.work_dir.glob('unseen/*/panels/*.png')), sep='\n  ')
    model = f'{_shown(demo.config)} {_shown(checkpoint)}'
    world = f'--cfg-options data_root={_shown(demo.data_root)}'
    print(
        'Next:',
        f'python tools/attention_explorer.py {model} --out attention.html {world}',
        f'python tools/analysis_tools/eval_report.py {model} --out report {world}',
        'docs/tutorial.md: train on nuScenes, or on your own cameras',
        sep='\n  ',
    )


def _shown(path: Path) -> Path:
    return path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path


if __name__ == '__main__':
    cli.run(main)
