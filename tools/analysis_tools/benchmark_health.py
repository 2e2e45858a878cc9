#!/usr/bin/env python
"""Measures the overhead of the health hook: ``python tools/analysis_tools/benchmark_health.py``."""

from __future__ import annotations

import argparse
from pathlib import Path

from projects.CVT_IO.benchmarks.health_cost import measure_health
from projects.CVT_IO.benchmarks.report import markdown
from projects.CVT_IO.benchmarks.targets import CPU
from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import load_configs
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine

REPO = Path(__file__).resolve().parents[2]
CONFIGS = ('configs/cvt_io_v2_2.py', 'configs/toy/cvt_io_v2_2_toy.py')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Measure the overhead of the health hook relative to a training step on the CPU. '
        'The overhead does not depend on the batch size, so it is relatively smaller for larger batches.'
    )
    parser.add_argument('configs', nargs='*', help=f'default: {" ".join(CONFIGS)}')
    parser.add_argument(
        '--batch-size', type=cli.positive_int, default=2, help='samples per step (default: %(default)s)'
    )
    parser.add_argument('--samples', type=cli.positive_int, default=9, help='rounds (default: %(default)s)')
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='also write the table to this file')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    # Pre-trained weights would have to be downloaded and do not affect the time.
    cfgs = load_configs(
        args.configs or [str(REPO / name) for name in CONFIGS], 'configs', {'model.backbone.init_cfg': None}
    )
    results = [measure_health(name, cfg, args.batch_size, args.samples) for name, cfg in cfgs.items()]
    table = markdown(results, describe_machine(CPU), args.samples)
    print(table)
    if args.out:
        write_result(args.out, table.encode())


if __name__ == '__main__':
    cli.run(main)
