#!/usr/bin/env python
"""Quantises a graph: ``python tools/deployment/quantize.py MODEL.onnx OUT.xml --data configs/cvt_io_v2_2.py``."""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from projects.CVT_IO.cvt_io.deploy.exported import RUNTIME_OF
from projects.CVT_IO.cvt_io.deploy.extras import DeployError, require
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.deploy.quantize import (
    MAX_ERROR,
    as_int8,
    keep_float,
    layer_groups,
    outputs,
    relative_error,
    run_quantised,
    sensitivity,
    training_frames,
)
from projects.CVT_IO.cvt_io.deploy.quantizers import Writer, compact, onnxruntime_writer, openvino_writer
from projects.CVT_IO.cvt_io.deploy.runtimes import open_runtime, slow_int8
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import load_config

WRITERS = {'.onnx': onnxruntime_writer, '.xml': openvino_writer}


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Quantise convolutions and linear layers of an exported graph to eight bits. Parts of the model '
        'whose error is too large stay in floating point: each part is quantised alone, and the errors are printed.'
    )
    parser.add_argument('model', type=Path, metavar='MODEL.onnx', help='fp32 graph written by export_onnx.py')
    parser.add_argument(
        'out', type=Path, metavar='OUT', help='file to write: OUT.onnx (ONNX Runtime) or OUT.xml and OUT.bin (OpenVINO)'
    )
    parser.add_argument('--data', required=True, metavar='CONFIG', help='config whose training set calibrates')
    parser.add_argument(
        '--calibration-frames', type=cli.positive_int, default=64, metavar='N', help='frames (default: %(default)s)'
    )
    parser.add_argument(
        '--test-frames',
        type=cli.positive_int,
        default=16,
        metavar='N',
        help='other frames of the training set, on which errors are measured (default: %(default)s)',
    )
    parser.add_argument(
        '--max-error',
        type=float,
        default=MAX_ERROR,
        metavar='E',
        help='keep parts in floating point until the root of the sum of the squared errors of the others is at most E '
        'standard deviations of the logits (default: %(default)s)',
    )
    parser.add_argument(
        '--keep-float', nargs='*', metavar='PART', help='keep these parts in floating point, and measure none alone'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the choice of frames (default: %(default)s)')
    cli.add_cfg_options(parser)
    args = parser.parse_args()
    if args.out.suffix not in WRITERS:
        parser.error(f'{args.out}: expected a name that ends in .onnx or .xml')
    return args


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.data, args.cfg_options)
    info = GraphInfo.read(args.model)
    info.check_config(cfg, args.model)
    if info.precision != 'fp32':
        raise DeployError(f'{args.model}: precision: expected fp32, found {info.precision}')
    proto = require('onnx').load(args.model)
    compact(proto)
    groups = layer_groups(proto)
    unknown = sorted({*(args.keep_float or ())} - groups.keys())
    if unknown:
        raise DeployError(f'--keep-float {unknown[0]}: expected parts among {", ".join(groups)}')
    calibration, frames = training_frames(cfg, info, (args.calibration_frames, args.test_frames), args.seed)
    suffix = args.out.suffix
    expected = outputs(open_runtime(RUNTIME_OF[suffix], args.model.read_bytes()), frames)
    layers = [name for names in groups.values() for name in names]
    write = WRITERS[suffix](proto, calibration, as_int8(info), layers)
    kept = args.keep_float
    if kept is None:
        kept = measured(write, suffix, groups, frames, expected, args.max_error)
    nodes = [name for group, names in groups.items() if group not in kept for name in names]
    if not nodes:
        raise DeployError(f'{args.out}: not written: every part would stay in floating point')
    error = relative_error(outputs(run_quantised(write, suffix, nodes), frames), expected)
    print(f'{len(nodes)} layers quantised; error of the logits: {error:.4f} standard deviations')
    write_files(write, nodes, args.out)
    if (reason := slow_int8()) is not None:
        print(f'note: {reason}')


def measured(
    write: Writer,
    suffix: str,
    groups: dict[str, list[str]],
    frames: list[dict[str, np.ndarray]],
    expected: list[np.ndarray],
    limit: float,
) -> list[str]:
    """Measures every part alone, prints the table, and returns the parts to keep in floating point."""
    errors = {}
    for group, error in sensitivity(write, suffix, groups, frames, expected):
        errors[group] = error
        print(f'{len(errors)}/{len(groups)}: {group}: {error:.4f}', flush=True)
    kept = keep_float(errors, limit)
    table = Table('part', title='error of the logits if only this part is quantised', title_justify='left')
    for column in ('layers', 'error', 'decision'):
        table.add_column(column, justify='right')
    for group in sorted(errors, key=lambda group: -errors[group]):
        decision = 'floating point' if group in kept else 'int8'
        table.add_row(group, str(len(groups[group])), f'{errors[group]:.4f}', decision)
    Console(width=100).print(table)
    return kept


def write_files(write: Writer, nodes: list[str], out: Path) -> None:
    """Writes the quantised graph. A ``.bin`` is in place before the ``.xml`` that refers to it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}.') as folder:
        write(nodes, Path(folder) / out.name)
        files = sorted(Path(folder).iterdir())  # .bin before .xml
        size = sum(file.stat().st_size for file in files)
        for file in files:
            file.replace(out.with_name(file.name))
    print(f'{out}: {size / 2**20:.1f} MiB')


if __name__ == '__main__':
    cli.run(main)
