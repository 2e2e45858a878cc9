#!/usr/bin/env python
"""Times runtimes: ``python tools/deployment/benchmark_runtime.py configs/cvt_io_v2_2.py``."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config

from projects.CVT_IO.benchmarks.literal import build_literal
from projects.CVT_IO.cvt_io.analysis.latency import WARM_UP, print_table, time_in_turn
from projects.CVT_IO.cvt_io.analysis.memory import peak_memory
from projects.CVT_IO.cvt_io.analysis.steps import inference_step, prepare_model
from projects.CVT_IO.cvt_io.deploy.exported import RUNTIME_OF
from projects.CVT_IO.cvt_io.deploy.extras import DeployError
from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions
from projects.CVT_IO.cvt_io.deploy.info import UINT8, GraphInfo
from projects.CVT_IO.cvt_io.deploy.onnx_export import export_onnx
from projects.CVT_IO.cvt_io.deploy.runtimes import (
    ONNXRUNTIME,
    OPENVINO,
    OPENVINO_BF16,
    RUNTIMES,
    describe_runtime,
    open_runtime,
    slow_int8,
    why_not,
)
from projects.CVT_IO.cvt_io.deploy.verify import graph_inputs
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.batches import CAMERAS, random_batch
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine

CPU = torch.device('cpu')
LITERAL, PYTORCH = 'literal', 'pytorch'


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
    parser.add_argument(
        '--files',
        nargs='+',
        type=Path,
        default=[],
        metavar='FILE',
        help='also time these files of quantize.py or export_onnx.py of the same config: .onnx in ONNX Runtime, .xml '
        'in OpenVINO, with bf16 if the processor supports it',
    )
    parser.add_argument(
        '--literal',
        metavar='CONFIG',
        help='also time this config (configs/cvt.py) computed as defined, without optimisations, as the base of ratios',
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
    files = [*([args.onnx] if args.onnx else []), *args.files]
    infos = {path: read_info(path, cfg, Path(args.config).stem) for path in files}
    info = infos.get(args.onnx)
    graph = args.onnx.read_bytes() if args.onnx else None
    if graph is None:
        graph = export_onnx(cfg, args.checkpoint, GraphOptions(whole_batch=args.whole_batch))
    model = prepare_model(cfg, args.checkpoint, CPU)
    batch = random_batch(cfg, 1, (info and info.cameras) or CAMERAS)

    def runner(name: str, source: bytes | Path, of: GraphInfo | None) -> Callable[[], object]:
        inputs = graph_inputs(model, batch, of is not None and of.imgs == UINT8)
        return partial(open_runtime(name, source), inputs)

    skipped = {name: reason for name in args.runtimes if (reason := why_not(name)) is not None}
    loads: dict[str, Callable[[], Callable[[], object]]] = {}
    sizes: dict[str, int] = {}
    if args.literal:
        reference = load_config(args.literal)
        loads[LITERAL] = lambda: inference_step(build_literal(reference), [random_batch(reference, 1)], CPU)
    loads[PYTORCH] = lambda: inference_step(prepare_model(cfg, args.checkpoint, CPU), [batch], CPU, fuse=True)
    for name in args.runtimes:
        if name not in skipped:
            loads[name], sizes[name] = partial(runner, name, graph, info), len(graph)
    for path in args.files:
        name = runtime_of(path)
        row = f'{path.name}, {name}'
        loads[row], sizes[row] = partial(runner, name, path, infos[path]), file_size(path)
    steps, peaks = {}, {}
    for name, load in loads.items():
        steps[name], peaks[name] = load_measured(load)
    base = LITERAL if args.literal else PYTORCH
    timings = time_in_turn(steps, args.samples, CPU, args.warm_up)
    timings = {name: replace(timing, peak_bytes=peaks[name]) for name, timing in timings.items()}
    summaries = {
        name: timing.summary(timings[base]) | ({'file_mib': sizes[name] / 2**20} if name in sizes else {})
        for name, timing in timings.items()
    }
    releases = sorted({describe_runtime(name) for name in [*args.runtimes, *map(runtime_of, args.files)]})
    machine = ', '.join([describe_machine(CPU), *releases])
    print_table(summaries, base, f'forward, batch 1; {machine}')
    for name, size in sizes.items():
        print(f'{name}: file of {size / 2**20:.2f} MiB')
    for name, reason in skipped.items():
        print(f'{name}: not timed: {reason}')
    if any(of.precision == 'int8' for of in infos.values()) and (reason := slow_int8()):
        print(f'note: {reason}')
    if args.out:
        seconds = {name: timing.seconds for name, timing in timings.items()}
        write_json(args.out, dict(machine=machine, base=base, models=summaries, seconds=seconds, skipped=skipped))


def read_info(path: Path, cfg: Config, name: str) -> GraphInfo:
    """Metadata of a file, which has to be one of this config."""
    info = GraphInfo.read(path)
    info.check_config(cfg, path)
    if info.config != name:
        raise DeployError(f'{path}: expected a graph of {name}, found one of {info.config}')
    return info


def runtime_of(path: Path) -> str:
    """Runtime of a file by its ending."""
    name = RUNTIME_OF.get(path.suffix, ONNXRUNTIME)
    return OPENVINO_BF16 if name == OPENVINO and why_not(OPENVINO_BF16) is None else name


def file_size(path: Path) -> int:
    """Bytes of a file, together with the weights of an ``.xml``."""
    return path.stat().st_size + (path.with_suffix('.bin').stat().st_size if path.suffix == '.xml' else 0)


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
