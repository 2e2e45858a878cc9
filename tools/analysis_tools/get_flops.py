#!/usr/bin/env python
"""Counts parameters and multiply-accumulates: ``python tools/analysis_tools/get_flops.py configs/cvt_io_v2_2.py``."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from projects.CVT_IO.cvt_io.analysis.complexity import Complexity, count_complexity
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.batches import CAMERAS, image_size
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config

EXPLANATIONS = {
    'params': 'all parameters of the model',
    'macs': 'all multiply-accumulates of a forward pass: convolutions and matrix products, including attention',
    'params_notes': "the original notes' convention (thop): no convolutions of the backbone, no bare parameters",
    'macs_notes': 'the same convention: no attention products; normalisations 4 per element, upsampling 11',
}


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(
        "Count a model's parameters and the multiply-accumulates of one forward pass at batch 1.",
        epilog='The counts follow from tensor shapes alone; neither a GPU nor a data set is needed.',
    )
    parser.add_argument(
        '--shape', type=int, nargs=2, metavar=('H', 'W'), help='image size (default: that of the test pipeline)'
    )
    parser.add_argument('--cameras', type=int, default=CAMERAS, help='number of images (default: %(default)s)')
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the counts to this file')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    size = tuple(args.shape) if args.shape else image_size(cfg)
    if min(*size, args.cameras) < 1:
        sys.exit(f'error: expected positive numbers, got --shape {size[0]} {size[1]} --cameras {args.cameras}')
    try:
        complexity = count_complexity(build_model(cfg), size, args.cameras)
    except RuntimeError as error:  # padding or strides of the backbone reduce it to nothing
        sys.exit(f'error: --shape {size[0]} {size[1]}: image too small ({str(error).splitlines()[0]})')
    report(complexity, f'{args.config}: {args.cameras} images of {size[0]}×{size[1]}')
    if args.out:
        write_json(args.out, asdict(complexity))


def report(complexity: Complexity, title: str) -> None:
    """Prints the counts and their meaning."""
    counts = Table(title=title, title_justify='left')
    counts.add_column('figure')
    counts.add_column('count', justify='right')
    counts.add_column('meaning')
    for name, meaning in EXPLANATIONS.items():
        counts.add_row(name, f'{getattr(complexity, name):,}', meaning)
    parts = Table(title='macs by part', title_justify='left')
    parts.add_column('part')
    parts.add_column('count', justify='right')
    parts.add_column('share', justify='right')
    for name, macs in complexity.parts.items():
        parts.add_row(name, f'{macs:,}', f'{macs / complexity.macs:.1%}')
    console = Console(width=140)
    console.print(counts, parts)


if __name__ == '__main__':
    cli.run(main)
