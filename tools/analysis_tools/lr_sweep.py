#!/usr/bin/env python
"""Trains models at several learning rates and depths: ``python tools/analysis_tools/lr_sweep.py``."""

import argparse
from pathlib import Path

from projects.CVT_IO.benchmarks.lr_sweep import DEPTHS, MODELS, RATES, markdown, plan, plot, summary
from projects.CVT_IO.benchmarks.toy_runs import REPO, ToyRun, make_cache, make_worlds, run_all, train
from projects.CVT_IO.cvt_io.analysis.figures import save_figure
from projects.CVT_IO.cvt_io.fileio.atomic import write_json, write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Train cvt_io_v3, cvt_io_v2_2 and cvt on the toy world at several peak learning rates, numbers of '
        'passes, and with shared and own weights, and write a table and a figure of the final losses and of the LR '
        'sensitivity. Safe to interrupt and rerun; a rerun continues, and what has finished is in the table.'
    )
    parser.add_argument('--models', nargs='+', choices=MODELS, default=[*MODELS], help='default: all three')
    parser.add_argument('--rates', nargs='+', type=float, default=RATES, help='peak rates (default: %(default)s)')
    parser.add_argument('--depths', nargs='+', type=cli.positive_int, default=DEPTHS, help='L (default: %(default)s)')
    parser.add_argument('--steps', type=cli.positive_int, default=600, help='of 4 frames (default: %(default)s)')
    parser.add_argument('--jobs', type=cli.positive_int, default=1, help='runs at a time, one core each (default: 1)')
    for flag, folder, what in (('--data', 'data', 'worlds'), ('--out', 'work_dirs/lr_sweep', 'runs, table and figure')):
        parser.add_argument(
            flag, type=lambda path: Path(path).resolve(), default=REPO / folder, help=f'folder of the {what}'
        )
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    runs = plan(args.models, args.rates, args.depths)
    make_worlds(args.data)
    make_cache(runs[0].config, args.data / 'toy-1')

    def execute(run: ToyRun) -> dict:
        log = train(run, args.out, args.data / 'toy-1', args.steps)
        return summary(run, log, args.out / run.name)

    def write(results: dict) -> None:
        write_json(args.out / 'sweep.json', dict(steps=args.steps, runs=results))
        write_result(args.out / 'sweep.md', markdown(results).encode())
        save_figure(plot(results), args.out / 'sweep.png')

    run_all(runs, args.out, args.jobs, execute, write)
    print((args.out / 'sweep.md').read_text())


if __name__ == '__main__':
    cli.run(main)
