"""Curves of a run: ``python tools/analysis_tools/analyze_logs.py compare work_dirs/cvt_io_v2_2 --to cvt_io_v2_2``."""

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

LOG_HELP = 'work folder, with the logs of all starts of a run, or one log file <timestamp>/vis_data/<timestamp>.json'


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description='Look into the logs of iteration-based runs.')
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
        help='a panel for each: loss, lr, grad_norm, vehicle/IoU@0.50, …; a wrong one lists what the log has',
    )
    parser.add_argument('--title', help='title of the figure')
    parser.add_argument('--legend', nargs='+', help='a label for each log and key, the keys of the first log first')
    parser.add_argument('--backend', help='backend of matplotlib; without a display only --out works')
    parser.add_argument(
        '--style', default='ticks', help="style of seaborn's (ticks, whitegrid, dark, …) or matplotlib's"
    )
    parser.add_argument(
        '--smooth', type=int, default=1, metavar='WINDOW', help='running mean over so many logged points'
    )
    parser.add_argument('--out', metavar='FILE.png', help='write the figure (PNG, PDF, SVG) instead of showing it')
    parser.set_defaults(run=plot_curve)


def add_time_parser(tasks: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Arguments of `cal_train_time`."""
    parser = tasks.add_parser('cal_train_time', help='time of a training step: mean, median, extremes, total')
    parser.add_argument('json_logs', nargs='+', help=LOG_HELP)
    parser.add_argument(
        '--include-outliers',
        action='store_true',
        help='count the first row of each start, which holds its warm-up, too',
    )
    parser.set_defaults(run=cal_train_time)


def add_compare_parser(tasks: 'argparse._SubParsersAction[argparse.ArgumentParser]') -> None:
    """Arguments of `compare`."""
    parser = tasks.add_parser(
        'compare',
        help='put a run on nuScenes beside a run of the original notes at the same steps',
        description='Puts a run on nuScenes vehicles beside a logged run of the original notes and says where it '
        'stands: ahead, behind, level, collapsed, not learning, or undecided; cvt_io/analysis/curves.py has the rule.',
    )
    parser.add_argument('log', help=LOG_HELP)
    parser.add_argument(
        '--to', required=True, choices=LOGGED_RUNS, help="the notes' run; of cvt and cvt_io_v2_9 there is no log"
    )
    parser.add_argument(
        '--samples-per-step',
        type=int,
        help='samples of an optimizer step of the run; default train_cfg.base_batch_size of the config beside the '
        'log, or 20. Runs are compared by samples seen',
    )
    parser.add_argument('--out', metavar='FILE.png', help='write a figure (PNG, PDF, SVG)')
    parser.add_argument('--out-json', metavar='FILE.json', help='write verdict and numbers')
    parser.set_defaults(run=run_compare)


def plot_curve(args: argparse.Namespace) -> None:
    """Draws the keys of one or several logs."""
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
            sys.exit('error: no display to show the figure; --out writes it to a file')
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
    """Seaborn's styles go by their short names, as in mmdet3d's tool."""
    for known in (f'seaborn-v0_8-{name}', name):
        if known in plt.style.available:
            return known
    short = sorted(style.removeprefix('seaborn-v0_8-') for style in plt.style.available)
    sys.exit(f'error: --style {name}: expected one of {", ".join(short)}')


def cal_train_time(args: argparse.Namespace) -> None:
    """Prints the times of a step."""
    for path in args.json_logs:
        time = train_time(read_run(path), args.include_outliers)
        print(f'----- {path} -----')
        print(f'time of a step: mean {time.mean:.4f} s, median {time.median:.4f} s, std {time.std:.4f} s')
        print(f'slowest stretch: {stretch(time.slowest)}')
        print(f'fastest stretch: {stretch(time.fastest)}')
        total = timedelta(seconds=round(time.total))
        print(f'training time of steps {time.first:,} to {time.last:,}: {total}, validations not counted\n')


def stretch(stretch: Stretch) -> str:
    """A stretch of steps in words."""
    return f'steps {stretch.first:,} to {stretch.last:,}, {stretch.seconds:.4f} s a step'


def run_compare(args: argparse.Namespace) -> None:
    """Prints and draws where a run stands."""
    if args.samples_per_step is not None and args.samples_per_step < 1:
        sys.exit(f'error: --samples-per-step {args.samples_per_step}: expected 1 or more')
    if args.out_json and not args.out_json.endswith('.json'):
        sys.exit(f'error: --out-json {args.out_json}: expected a name that ends in .json')
    if args.out_json and Path(args.out_json).resolve().is_relative_to(Path(args.log).resolve()):
        sys.exit(f'error: --out-json {args.out_json}: expected another place than the log')
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
    """Does what the command line asks for."""
    args = parse_args()
    args.run(args)


if __name__ == '__main__':
    cli.run(main)
