"""Toy world → training → test → pictures, on two CPU cores: ``python tools/misc/toy_demo.py``."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPO = Path(__file__).resolve().parents[2]
CONFIG = 'configs/toy/cvt_io_v2_2_toy.py'
CONTROL = 'control: images of other frames'
TRAIN_FRAMES = 'test_dataloader.dataset.ann_file=cvt_io_infos_train.json'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Make a toy world, train a small CVT-IO on it, test it, draw it.')
    for flag, folder, what in (
        ('--data-root', 'data/toy-demo', 'folder of the toy world'),
        ('--work-dir', 'work_dirs/toy_demo', 'folder of the results'),
    ):
        parser.add_argument(flag, type=lambda path: Path(path).resolve(), default=REPO / folder, help=what)
    parser.add_argument('--cfg-options', nargs='+', default=[], help='passed on to training and tests')
    return parser.parse_args()


def run(title: str, *words: object) -> float:
    """Runs a tool, shows its command, and returns the seconds it took."""
    print(f'\n── {title}\n$ python {" ".join(map(str, words))}', flush=True)
    start = time.monotonic()
    subprocess.run([sys.executable, *map(str, words)], cwd=REPO, check=True)
    return time.monotonic() - start


def main() -> None:
    args = parse_args()
    options = [f'data_root={args.data_root}', *args.cfg_options]
    seconds = {}
    seconds['toy world'] = run(
        'A toy world of 5 scenes, with labels',
        *('tools/create_data.py', 'toy', '--out-dir', args.data_root, '--scenes', 5, '--frames', 10),
        *('--image-size', 225, 400, '--bev-size', 48, 48, '--bev-metres', 48, 48),
    )
    seconds['training'] = run(
        'Training', 'tools/train.py', CONFIG, '--work-dir', args.work_dir, '--cfg-options', *options
    )
    checkpoint = Path((args.work_dir / 'last_checkpoint').read_text().strip())

    def test(name: str, title: str, *words: str) -> dict[str, float]:
        out = args.work_dir / f'{name}.json'
        seconds[title] = run(
            f'Test: {title}',
            *('tools/test.py', CONFIG, checkpoint, '--work-dir', args.work_dir / name, '--out', out),
            *('--show-dir', 'panels', '--show-interval', 5, *words),
        )
        return json.loads(out.read_text())

    results = {
        'training frames': test('train', 'training frames', '--cfg-options', *options, TRAIN_FRAMES),
        CONTROL: test('control', 'control', '--control', 'other-frame', '--cfg-options', *options, TRAIN_FRAMES),
        'unseen scenes': test('unseen', 'unseen scenes', '--cfg-options', *options),
    }
    report(results, seconds)
    seen, control = (results[name]['vehicle/IoU@0.50'] for name in ('training frames', CONTROL))
    if not args.cfg_options and (seen < 0.5 or control > seen / 2):
        sys.exit(f'error: expected IoU@0.50 of at least 0.5 and a control far below, got {seen:.3f} and {control:.3f}')
    print('Panels:', *sorted({panel.parent for panel in args.work_dir.rglob('panels/*.png')}), sep='\n  ')


def report(results: dict[str, dict[str, float]], seconds: dict[str, float]) -> None:
    """Prints the IoUs and times."""
    columns = ['IoU@0.50', 'IoU@0.40', 'IoU@0.50_all_pixels', 'IoU@0.40_all_pixels']
    table = Table('frames', *columns, title='Vehicles, 48 m × 48 m at 1 m')
    for frames, metrics in results.items():
        table.add_row(frames, *(f'{metrics[f"vehicle/{column}"]:.3f}' for column in columns))
    console = Console(width=110)
    console.print(table)
    console.print('Seconds: ' + ', '.join(f'{step} {value:.0f}' for step, value in seconds.items()))


if __name__ == '__main__':
    main()
