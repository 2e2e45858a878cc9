"""Toy world → training → test → pictures, on two CPU cores: ``python tools/misc/toy_demo.py``.

Trains a small model on a few frames, and compares it with the published ones, which were trained longer on many frames.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.zoo.catalogue import REPOSITORY, published_weights, read_catalogue

CONFIG = 'configs/toy/cvt_io_v2_2_demo.py'
PUBLISHED = ('cvt_io_v2_2_toy', 'cvt_toy')
TRAIN_FRAMES = 'test_dataloader.dataset.ann_file=cvt_io_infos_train.json'
TRAINING, CONTROL, UNSEEN = 'training frames', 'control: images of other frames', 'unseen scene'

Metrics = dict[str, float]


class Demo:
    """Runs the tools and records their durations."""

    def __init__(self, data_root: Path, work_dir: Path, cfg_options: list[str]) -> None:
        self.data_root = data_root
        self.work_dir = work_dir
        self.cfg_options = cfg_options
        self.seconds: dict[str, float] = {}

    def run(self, title: str, *words: object) -> None:
        """Runs a tool and prints its command."""
        print(f'\n── {title}\n$ python {" ".join(map(str, words))}', flush=True)
        start = time.monotonic()
        subprocess.run([sys.executable, *map(str, words)], cwd=REPOSITORY, check=True)
        self.seconds[title] = time.monotonic() - start

    def make_world(self) -> None:
        """Generates five scenes, one of them for validation."""
        self.run(
            'toy world',
            *('tools/create_data.py', 'toy', '--out-dir', self.data_root, '--scenes', 5, '--frames', 10),
            *('--image-size', 225, 400, '--bev-size', 48, 48, '--bev-metres', 48, 48),
        )

    def train(self) -> Path:
        """Trains the model and returns its checkpoint."""
        options = [f'data_root={self.data_root}', *self.cfg_options]
        self.run('training', 'tools/train.py', CONFIG, '--work-dir', self.work_dir, '--cfg-options', *options)
        return Path((self.work_dir / 'last_checkpoint').read_text().strip())

    def download(self, name: str) -> tuple[str, Path]:
        """Downloads a published model and returns config and checkpoint."""
        catalogue = read_catalogue()
        weights = published_weights(catalogue, name)
        self.run(f'download of {name}', 'tools/model_zoo.py', 'download', name, '--dest', self.work_dir)
        return catalogue[name].config, self.work_dir / weights.name

    def test(self, title: str, name: str, config: str, checkpoint: Path, *options: str, control: str = '') -> Metrics:
        """Tests a model and draws every fifth frame. Args: name, of the output folder; options, of the config."""
        out = self.work_dir / f'{name}.json'
        self.run(
            f'test: {title}',
            *('tools/test.py', config, checkpoint, '--work-dir', self.work_dir / name, '--out', out),
            *(['--control', control] if control else []),
            *('--show-dir', 'panels', '--show-interval', 5, '--cfg-options', f'data_root={self.data_root}', *options),
        )
        return json.loads(out.read_text())


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Generate a toy world, train a small CVT-IO on it, and test and draw it and the published models.'
    )
    for flag, folder, what in (
        ('--data-root', 'data/toy-demo', 'folder of the toy world'),
        ('--work-dir', 'work_dirs/toy_demo', 'folder of the results'),
    ):
        parser.add_argument(flag, type=lambda path: Path(path).resolve(), default=REPOSITORY / folder, help=what)
    parser.add_argument('--cfg-options', nargs='+', default=[], help='options for training and testing the small model')
    return parser.parse_args()


def main() -> None:
    """Entry point; fails if a model does not use the images."""
    args = parse_args()
    demo = Demo(args.data_root, args.work_dir, args.cfg_options)
    demo.make_world()
    published = {name: demo.download(name) for name in PUBLISHED}
    trained = (CONFIG, demo.train())
    results = {
        TRAINING: demo.test(TRAINING, 'train', *trained, *args.cfg_options, TRAIN_FRAMES),
        CONTROL: demo.test(CONTROL, 'control', *trained, *args.cfg_options, TRAIN_FRAMES, control='other-frame'),
        UNSEEN: demo.test(UNSEEN, 'unseen', *trained, *args.cfg_options),
    }
    for name, model in published.items():
        title = f'{UNSEEN}, published {name}'
        results[title] = demo.test(title, name, *model)
    report(results, demo.seconds)
    print('Panels:', *sorted({panel.parent for panel in args.work_dir.rglob('panels/*.png')}), sep='\n  ')
    if not args.cfg_options:
        require_sight(results)


def report(results: dict[str, Metrics], seconds: dict[str, float]) -> None:
    """Prints IoU and durations."""
    columns = ['IoU@0.50', 'IoU@0.40', 'IoU@0.50_all_pixels', 'IoU@0.40_all_pixels']
    table = Table('frames', *columns, title='Vehicles, 48 m × 48 m at 1 m')
    for frames, metrics in results.items():
        table.add_row(frames, *(f'{metrics[f"vehicle/{column}"]:.3f}' for column in columns))
    console = Console(width=130)
    console.print(table)
    console.print('Seconds: ' + ', '.join(f'{step} {value:.0f}' for step, value in seconds.items()))


def require_sight(results: dict[str, Metrics]) -> None:
    """Fails unless the trained model uses the images, and the published ones generalise to an unseen scene."""
    ious = {title: metrics['vehicle/IoU@0.50'] for title, metrics in results.items()}
    seen, control = ious.pop(TRAINING), ious.pop(CONTROL)
    if seen < 0.5 or control > seen / 2:
        sys.exit(f'error: expected IoU@0.50 of at least 0.5 and a control far below, got {seen:.3f} and {control:.3f}')
    longer = {title: iou for title, iou in ious.items() if title != UNSEEN}
    for title, iou in longer.items():
        if iou < 2 * ious[UNSEEN]:
            sys.exit(f'error: {title}: expected IoU@0.50 far above {ious[UNSEEN]:.3f}, got {iou:.3f}')


if __name__ == '__main__':
    cli.run(main)
