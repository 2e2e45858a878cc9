#!/usr/bin/env python
"""All models in one table, next to the notes' figures: ``python tools/analysis_tools/model_table.py``."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from mmengine.device import get_device

from projects.CVT_IO.cvt_io.analysis.complexity import count_complexity
from projects.CVT_IO.cvt_io.analysis.latency import time_in_turn
from projects.CVT_IO.cvt_io.analysis.notes import notes_table
from projects.CVT_IO.cvt_io.analysis.steps import inference_step
from projects.CVT_IO.cvt_io.analysis.table import Row, as_data, base_of, markdown, read_result, read_toy
from projects.CVT_IO.cvt_io.fileio.atomic import write_json, write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.batches import image_size, random_batch
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_configs
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine, require_device

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Print all models in one table (Params, MACs, time, IoU), and the notes' table (Params, FLOPs, "
        'Cost-Time) next to our own figures.'
    )
    parser.add_argument(
        '--configs',
        nargs='+',
        default=[str(CONFIGS / f'{name}.py') for name in (*notes_table(), 'cvt_io_v3')],
        metavar='CONFIG',
        help="rows (default: the notes' eleven and cvt_io_v3); times are relative to cvt if present, else to the first",
    )
    parser.add_argument(
        '--results', type=Path, metavar='DIR', help='folder with files <config name>.json of tools/test.py --out'
    )
    parser.add_argument('--toy', type=Path, metavar='FILE', help='table.json of tools/analysis_tools/toy_benchmark.py')
    parser.add_argument('--samples', type=cli.positive_int, default=15, help='timed calls (default: %(default)s)')
    parser.add_argument('--no-timing', action='store_true', help='do not time our models')
    parser.add_argument('--fuse-conv-bn', action='store_true', help='fold BatchNorms into convolutions while timing')
    parser.add_argument('--device', default=get_device(), help='cpu, cuda, cuda:1 … (default: %(default)s)')
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='write the table to this file and to FILE.json')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    if args.out and args.out.suffix != '.md':
        sys.exit(f'error: --out {args.out}: expected a name that ends in .md')
    if args.results and not args.results.is_dir():
        sys.exit(f'error: --results {args.results}: no such folder')
    device = require_device(args.device)
    toy = read_toy(args.toy) if args.toy else {}
    rows, steps = {}, {}
    for name, cfg in load_configs(args.configs, '--configs').items():
        model = build_model(cfg)
        count, iou = count_complexity(model, image_size(cfg)), read_result(args.results, name)
        rows[name] = Row(name, count, iou, toy=toy.get(name, ()))
        steps[name] = inference_step(model.to(device), [random_batch(cfg, 1)], device, fuse=args.fuse_conv_bn)
    machine = mode = None
    if not args.no_timing:
        machine = describe_machine(device)
        mode = 'one forward pass, batch 1' + (', BatchNorms folded' if args.fuse_conv_bn else '')
        timings = time_in_turn(steps, args.samples, device)
        base = timings[base_of([*rows.values()])]
        rows = {name: replace(row, cost=timings[name].summary(base)) for name, row in rows.items()}
    table = markdown([*rows.values()], machine, mode)
    print(table, end='')
    if args.out:
        write_result(args.out, table.encode())
        write_json(args.out.with_suffix('.json'), as_data([*rows.values()], machine, mode))


if __name__ == '__main__':
    cli.run(main)
