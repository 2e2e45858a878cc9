#!/usr/bin/env python
"""Times runtimes: ``python tools/deployment/benchmark_runtime.py configs/cvt_io_v2_2.py``."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from projects.CVT_IO.cvt_io.analysis.latency import WARM_UP, print_table, time_in_turn
from projects.CVT_IO.cvt_io.analysis.memory import peak_memory
from projects.CVT_IO.cvt_io.analysis.steps import inference_step, prepare_model
from projects.CVT_IO.cvt_io.deploy.extras import DeployError
from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.deploy.onnx_export import export_onnx
from projects.CVT_IO.cvt_io.deploy.runtimes import RUNTIMES, describe_runtime, open_runtime, why_not
from projects.CVT_IO.cvt_io.deploy.verify import graph_inputs
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.batches import CAMERAS, random_batch
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine

CPU = torch.device('cpu')
PYTORCH = 'pytorch'


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(
        'Time a forward pass, from images to logits, in PyTorch (BatchNorms folded), ONNX Runtime and '
        'OpenVINO in turn on the CPU, and measure the peak memory of loading the model and calling it once.',
        checkpoint='optional',
    )
    parser.add_argument('--onnx', type=Path, metavar='MODEL.onnx', help='time this file (default: export the config)')
    parser.add_argument('--whole-batch', action='store_true', help='export with --whole-batch')
    parser.add_argument(
        '--runtimes',
        nargs='+',
        choices=RUNTIMES,
        default=RUNTIMES,
        metavar='NAME',
        help=f'runtimes besides PyTorch (default: {" ".join(RUNTIMES)})',
    )
    parser.add_argument('--samples', type=cli.positive_int, default=50, help='timed calls of each (default: 50)')
    parser.add_argument(
        '--warm-up', type=cli.positive_int, default=WARM_UP, help='untimed calls of each (default: %(default)s)'
    )
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the figures to this file')
    args = parser.parse_args()
    if args.onnx and args.whole_batch:
        parser.error('--whole-batch cannot be combined with --onnx')
    return args


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    info = None
    if args.onnx:
        info = GraphInfo.read(args.onnx)
        info.check_config(cfg, args.onnx)
        if info.config != Path(args.config).stem:
            raise DeployError(f'{args.onnx}: expected a graph of {Path(args.config).stem}, found one of {info.config}')
        graph = args.onnx.read_bytes()
    else:
        graph = export_onnx(cfg, args.checkpoint, GraphOptions(whole_batch=args.whole_batch))
    model = prepare_model(cfg, args.checkpoint, CPU)
    batch = random_batch(cfg, 1, (info and info.cameras) or CAMERAS)
    inputs = graph_inputs(model, batch, info is not None and info.imgs == 'uint8')

    def load(name: str) -> Callable[[], object]:
        if name == PYTORCH:
            return inference_step(prepare_model(cfg, args.checkpoint, CPU), [batch], CPU, fuse=True)
        run = open_runtime(name, graph)
        return lambda: run(inputs)

    skipped = {name: reason for name in args.runtimes if (reason := why_not(name)) is not None}
    steps, peaks = {}, {}
    for name in (PYTORCH, *(name for name in args.runtimes if name not in skipped)):
        steps[name], peaks[name] = load_measured(partial(load, name))
    timings = time_in_turn(steps, args.samples, CPU, args.warm_up)
    timings = {name: replace(timing, peak_bytes=peaks[name]) for name, timing in timings.items()}
    summaries = {name: timing.summary(timings[PYTORCH]) for name, timing in timings.items()}
    releases = sorted({describe_runtime(name) for name in args.runtimes})
    machine = ', '.join([describe_machine(CPU), *releases])
    print_table(summaries, PYTORCH, f'forward, batch 1; {machine}')
    for name, reason in skipped.items():
        print(f'{name}: not timed: {reason}')
    if args.out:
        seconds = {name: timing.seconds for name, timing in timings.items()}
        write_json(args.out, dict(machine=machine, base=PYTORCH, models=summaries, seconds=seconds, skipped=skipped))


def load_measured(load: Callable[[], Callable[[], object]]) -> tuple[Callable[[], object], int | None]:
    """A step and the peak memory of loading and calling it. Runtimes allocate memory once and keep it."""
    loaded = []

    def load_and_call() -> None:
        loaded.append(load())
        loaded[0]()

    peak = peak_memory(load_and_call, CPU)
    return loaded[0], peak


if __name__ == '__main__':
    cli.run(main)
