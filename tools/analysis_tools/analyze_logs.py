"""Plots and compares logs: ``python tools/analysis_tools/analyze_logs.py plot_curve work_dirs/cvt_io_v2_2``."""

import argparse
import json
import sys
from datetime import timedelta
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt

from projects.CVT_IO.cvt_io.analysis import curve_report, figures
from projects.CVT_IO.cvt_io.analysis.curves import LOGGED_RUNS, compare
from projects.CVT_IO.cvt_io.analysis.logs import read_run
from projects.CVT_IO.cvt_io.analysis.train_time import Stretch, train_time
from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli

LOG_HELP = 'work folder (all starts of a run), or a single log file <timestamp>/vis_data/<timestamp>.json'


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description='Analyze the logs of iteration-based runs.')
    tasks = parser.add_subparsers(dest='task', required=True)
    add_plot_parser(tasks)
    add_time_parser(tasks)
    add_compare_parser(tasks)
    return parser.parse_args()


def add_plot_parser(tasks: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Arguments of `plot_curve`."""
    parser = tasks.add_parser('plot_curve', help='plot keys of logs over the steps')
    parser.add_argument('json_logs', nargs='+', help=LOG_HELP)
    parser.add_argument(
        '--keys',
        nargs='+',
        default=['loss'],
        help='one panel per key: loss, lr, grad_norm, vehicle/IoU@0.50, …; an unknown key lists those in the log',
    )
    parser.add_argument('--title', help='title of the figure')
    parser.add_argument('--legend', nargs='+', help='labels for each log and key, starting with all keys of the first')
    parser.add_argument('--backend', help='matplotlib backend; without a display only --out works')
    parser.add_argument(
        '--style', default='ticks', help='seaborn style (ticks, whitegrid, dark, …) or matplotlib style'
    )
    parser.add_argument(
        '--smooth', type=int, default=1, metavar='WINDOW', help='running mean over this many logged points'
    )
    parser.add_argument('--out', metavar='FILE.png', help='write the figure (PNG, PDF, SVG) instead of showing it')
    parser.set_defaults(run=plot_curve)


def add_time_parser(tasks: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Arguments of `cal_train_time`."""
    parser = tasks.add_parser('cal_train_time', help='time per training step: mean, median, extremes, total')
    parser.add_argument('json_logs', nargs='+', help=LOG_HELP)
    parser.add_argument(
        '--include-outliers',
        action='store_true',
        help='include the first row of each start, which contains the warm-up',
    )
    parser.set_defaults(run=cal_train_time)


def add_compare_parser(tasks: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Arguments of `compare`."""
    parser = tasks.add_parser(
        'compare',
        help='compare a run on nuScenes with a run of the original notes',
        description='Compare a run on nuScenes vehicles with a logged run of the original notes at the same steps. The '
        'verdict is ahead, behind, level, collapsed, not learning or undecided; see cvt_io/analysis/curves.py.',
    )
    parser.add_argument('log', help=LOG_HELP)
    parser.add_argument(
        '--to', required=True, choices=LOGGED_RUNS, help="the notes' run; there is no log of cvt and cvt_io_v2_9"
    )
    parser.add_argument(
        '--samples-per-step',
        type=int,
        help='samples per optimizer step of the run (default: train_cfg.base_batch_size of the config next to the log, '
        'or 20); runs are compared by samples seen',
    )
    parser.add_argument('--out', metavar='FILE.png', help='write a figure (PNG, PDF, SVG)')
    parser.add_argument('--out-json', metavar='FILE.json', help='write verdict and numbers')
    parser.set_defaults(run=run_compare)


def plot_curve(args: argparse.Namespace) -> None:
    """Plots keys of one or several logs."""
    if args.smooth < 1:
        sys.exit(f'error: --smooth {args.smooth}: expected 1 or more')
    runs = [read_run(path) for path in args.json_logs]
    legend = args.legend or [name for name in args.json_logs for _ in args.keys]
    use_backend('agg' if args.out else args.backend)
    with plt.style.context(style_name(args.style)):
        figure = figures.plot_curves(runs, args.keys, legend, args.title, args.smooth)
        if args.out:
            figures.save_figure(figure, Path(args.out))
        elif matplotlib.get_backend().lower() == 'agg':
            sys.exit('error: no display available; use --out to write the figure to a file')
        else:
            plt.show()


def use_backend(name: str | None) -> None:
    """Sets matplotlib's backend, if one is named."""
    try:
        if name is not None:
            plt.switch_backend(name)
    except (ImportError, ValueError) as error:
        sys.exit(f'error: --backend {name}: {error}')


def style_name(name: str) -> str:
    """Resolves a style name. Seaborn's styles have short names, as in mmdet3d's tool."""
    for known in (f'seaborn-v0_8-{name}', name):
        if known in plt.style.available:
            return known
    short = sorted(style.removeprefix('seaborn-v0_8-') for style in plt.style.available)
    sys.exit(f'error: --style {name}: expected one of {", ".join(short)}')


def cal_train_time(args: argparse.Namespace) -> None:
    """Prints the time per step."""
    for path in args.json_logs:
        time = train_time(read_run(path), args.include_outliers)
        print(f'----- {path} -----')
        print(f'time per step: mean {time.mean:.4f} s, median {time.median:.4f} s, std {time.std:.4f} s')
        print(f'slowest stretch: {stretch(time.slowest)}')
        print(f'fastest stretch: {stretch(time.fastest)}')
        total = timedelta(seconds=round(time.total))
        print(f'training time of steps {time.first:,} to {time.last:,}: {total}, excluding validations\n')


def stretch(stretch: Stretch) -> str:
    """A stretch of steps as text."""
    return f'steps {stretch.first:,} to {stretch.last:,}, {stretch.seconds:.4f} s per step'


def run_compare(args: argparse.Namespace) -> None:
    """Prints and plots a comparison."""
    if args.samples_per_step is not None and args.samples_per_step < 1:
        sys.exit(f'error: --samples-per-step {args.samples_per_step}: expected 1 or more')
    if args.out_json and not args.out_json.endswith('.json'):
        sys.exit(f'error: --out-json {args.out_json}: expected a name that ends in .json')
    if args.out_json and Path(args.out_json).resolve().is_relative_to(Path(args.log).resolve()):
        sys.exit(f'error: --out-json {args.out_json}: expected a path outside the log')
    comparison = compare(read_run(args.log), args.to, args.samples_per_step)
    if table := curve_report.table(comparison):
        print(f'{table}\n')
    print(f'{args.log}: {curve_report.headline(comparison)}')
    for remark in curve_report.remarks(comparison):
        print(f'  {remark}')
    if args.out:
        use_backend('agg')
        figures.save_figure(figures.plot_comparison(comparison), Path(args.out))
    if args.out_json:
        content = json.dumps(curve_report.as_data(comparison), indent=2, allow_nan=False)
        write_result(Path(args.out_json), (content + '\n').encode())


def main() -> None:
    """Entry point."""
    args = parse_args()
    args.run(args)


if __name__ == '__main__':
    cli.run(main)
