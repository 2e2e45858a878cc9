#!/usr/bin/env python
"""Measures how the cost of a model scales: ``python tools/analysis_tools/scaling.py --out scaling.md``."""

import argparse
import sys
from pathlib import Path

from mmengine.device import get_device

from projects.CVT_IO.cvt_io.analysis.figures import save_figure
from projects.CVT_IO.cvt_io.analysis.scaling import AXES, as_data, markdown, measure_growth
from projects.CVT_IO.cvt_io.analysis.scaling_figure import plot_growth
from projects.CVT_IO.cvt_io.fileio.atomic import write_json, write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import load_configs
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine, require_device

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Measure how time, peak memory and multiply-accumulates of a forward pass grow with the number of '
        'latents, passes and cameras, the image size and the batch size. One quantity is varied at a time.'
    )
    parser.add_argument(
        'config', nargs='?', default=str(CONFIGS / 'cvt_io_v2_2.py'), help='config file (default: cvt_io_v2_2)'
    )
    parser.add_argument(
        '--vs',
        nargs='*',
        default=[str(CONFIGS / 'cvt.py')],
        metavar='CONFIG',
        help='also measure these where cameras or image size vary (default: cvt; none if empty)',
    )
    parser.add_argument('--axes', nargs='+', choices=[*AXES], default=[*AXES], help='what to vary (default: all)')
    parser.add_argument('--samples', type=cli.positive_int, default=5, help='timed calls per point (default: 5)')
    parser.add_argument('--device', default=get_device(), help='cpu, cuda, cuda:1 … (default: %(default)s)')
    parser.add_argument('--fuse-conv-bn', action='store_true', help='fold BatchNorms into convolutions')
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='write the tables to this file and to FILE.json')
    parser.add_argument('--plot', type=Path, metavar='FILE.png', help='write the figure to this file')
    cli.add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    for flag, path, suffix in (('--out', args.out, '.md'), ('--plot', args.plot, '.png')):
        if path and path.suffix != suffix:
            sys.exit(f'error: {flag} {path}: expected a name that ends in {suffix}')
    device = require_device(args.device)
    cfgs = load_configs([args.config, *args.vs], '--vs', args.cfg_options)
    growths = []
    for axis in dict.fromkeys(args.axes):
        print(f'measuring: {AXES[axis].title}', file=sys.stderr)
        growths += measure_growth(axis, cfgs, args.samples, device, args.fuse_conv_bn)
    if not growths:
        sys.exit(f'error: --axes {" ".join(args.axes)}: expected a model with latents, found {args.config}')
    machine = describe_machine(device)
    mode = 'one forward pass' + (', BatchNorms folded' if args.fuse_conv_bn else '')
    tables = markdown(growths, machine, mode)
    print(tables, end='')
    if args.out:
        write_result(args.out, tables.encode())
        write_json(args.out.with_suffix('.json'), as_data(growths, machine, mode))
    if args.plot:
        save_figure(plot_growth(growths, f'{mode}; {machine}'), args.plot)


if __name__ == '__main__':
    cli.run(main)
