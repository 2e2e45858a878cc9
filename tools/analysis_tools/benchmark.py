#!/usr/bin/env python
"""Times models: ``python tools/analysis_tools/benchmark.py configs/cvt_io_v2_2.py --vs configs/cvt.py``."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config

from projects.CVT_IO.cvt_io.analysis.latency import WARM_UP, print_table, time_in_turn
from projects.CVT_IO.cvt_io.analysis.loader import time_loader
from projects.CVT_IO.cvt_io.analysis.steps import inference_step, prepare_model, training_step
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.batches import random_batch, test_batches
from projects.CVT_IO.cvt_io.runtime.config import load_configs, require_data
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine, require_device


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(
        'Latency of one forward pass, from normalised images to logits: median, 10th and 90th percentile, '
        'peak memory. Or of a training step (--train), or the throughput of the data loader (--loader).',
        checkpoint='optional',
        device=True,
    )
    parser.add_argument(
        '--vs',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help='also time these, interleaved (A B A B …); ratios are relative to the first of these, call by call',
    )
    parser.add_argument('--samples', type=cli.positive_int, default=50, help='timed calls of each (default: 50)')
    parser.add_argument(
        '--warm-up', type=cli.positive_int, default=WARM_UP, help='untimed calls of each (default: %(default)s)'
    )
    parser.add_argument('--log-interval', type=cli.positive_int, metavar='N', help='print medians after every N calls')
    parser.add_argument('--batch-size', type=cli.positive_int, default=1, help='frames per call (default: 1)')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--fuse-conv-bn', action='store_true', help='fold BatchNorms into convolutions')
    parser.add_argument('--data', action='store_true', help='use frames of the test set instead of noise')
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the figures to this file')
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument('--train', action='store_true', help='time a training step')
    mode.add_argument('--loader', action='store_true', help='time only the training data loader')
    args = parser.parse_args()
    if args.train and (args.fuse_conv_bn or args.data):
        parser.error('--fuse-conv-bn and --data cannot be combined with --train')
    of_models = (args.checkpoint, args.vs, args.amp, args.fuse_conv_bn, args.data, args.log_interval)
    if args.loader and (any(of_models) or args.batch_size != 1):
        parser.error('--loader cannot be combined with a checkpoint, --vs, --amp, --fuse-conv-bn, --data or '
                     '--batch-size; use --cfg-options to change the data loader')  # fmt: skip
    if args.train and args.amp and not args.device.startswith('cuda'):
        parser.error('--train --amp requires a GPU')
    return args


def main() -> None:
    """Entry point."""
    args = parse_args()
    device = require_device(args.device)
    cfgs = load_configs([args.config, *args.vs], '--vs', args.cfg_options)
    result: dict = dict(machine=describe_machine(device))
    if args.loader:
        cfg = cfgs[Path(args.config).stem]
        require_data(cfg, 'train_dataloader')
        result |= dict(mode='data loader') | time_loader(cfg, args.samples, args.warm_up)
        print(f'{result["machine"]}: {result["images_per_second"]:.1f} images per second', end=' ')
        print(f'({result["num_workers"]} workers, {result["median_ms"]:.1f} ms per batch of {result["batch_size"]})')
    else:
        checkpoints = [args.checkpoint, *[None] * len(args.vs)]
        steps = {
            name: make_step(cfg, checkpoint, device, args)
            for (name, cfg), checkpoint in zip(cfgs.items(), checkpoints, strict=True)
        }
        timings = time_in_turn(steps, args.samples, device, args.warm_up, args.log_interval)
        base = Path(args.vs[0]).stem if args.vs else Path(args.config).stem
        summaries = {name: timing.summary(timings[base]) for name, timing in timings.items()}
        seconds = {name: timing.seconds for name, timing in timings.items()}
        result |= dict(mode=mode_of(args), base=base, models=summaries, seconds=seconds)
        print_table(summaries, base, f'{result["mode"]}; {result["machine"]}')
    if args.out:
        write_json(args.out, result)


def make_step(
    cfg: Config, checkpoint: str | None, device: torch.device, args: argparse.Namespace
) -> Callable[[], object]:
    """Builds the step to time."""
    if args.data:
        require_data(cfg, 'test_dataloader')
    model = prepare_model(cfg, checkpoint, device)
    if args.train:
        return training_step(model, cfg, random_batch(cfg, args.batch_size), args.amp)
    batches = test_batches(cfg, args.batch_size) if args.data else [random_batch(cfg, args.batch_size)]
    return inference_step(model, batches, device, args.amp, args.fuse_conv_bn)


def mode_of(args: argparse.Namespace) -> str:
    """Description of the timed step."""
    words = ['training step' if args.train else 'forward', f'batch {args.batch_size}']
    words += [word for word, on in (('amp', args.amp), ('BatchNorms folded', args.fuse_conv_bn)) if on]
    return ', '.join(words)


if __name__ == '__main__':
    cli.run(main)
