#!/usr/bin/env python
"""Exports a model: ``python tools/deployment/export_onnx.py configs/cvt_io_v2_2.py CHECKPOINT OUT.onnx --verify``."""

import argparse
from pathlib import Path

from mmengine.config import Config

from projects.CVT_IO.cvt_io.deploy.extras import DeployError
from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions
from projects.CVT_IO.cvt_io.deploy.onnx_export import DEFAULT_OPSET, OPSETS, export_onnx
from projects.CVT_IO.cvt_io.deploy.runtimes import ONNXRUNTIME, open_runtime
from projects.CVT_IO.cvt_io.deploy.verify import TOLERANCES, largest_error
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.batches import CAMERAS, random_batch, test_batches
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config, require_data

FRAMES = 4


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(
        'Export to ONNX: imgs (b, n, 3, H, W), intrinsics (b, n, 3, 3) and cam_from_ego (b, n, 4, 4) → '
        'logits (b, outputs, h, w).',
        checkpoint='required',
    )
    parser.add_argument('out', type=Path, metavar='OUT.onnx', help='file to write')
    parser.add_argument('--dynamic-batch', action='store_true', help='support any batch size (default: 1)')
    parser.add_argument('--uint8', action='store_true', help='take RGB images in 0…255 and normalise in the graph')
    parser.add_argument(
        '--fp16', action='store_true', help='use half precision for weights and activations, fp32 for geometry'
    )
    parser.add_argument(
        '--whole-batch',
        action='store_true',
        help='run the backbone on all images at once instead of camera by camera; for GPUs',
    )
    parser.add_argument(
        '--cameras', type=cli.positive_int, default=CAMERAS, help='number of cameras (default: %(default)s)'
    )
    parser.add_argument(
        '--dynamic-cameras', action='store_true', help='support any number of cameras (cvt_io_v3), with --whole-batch'
    )
    parser.add_argument(
        '--opset',
        type=int,
        default=DEFAULT_OPSET,
        help=f'ONNX opset, {OPSETS[0]} to {OPSETS[-1]} (default: %(default)s)',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='compare ONNX Runtime with PyTorch, on noise and on frames of the test set if available, and do not write '
        'the file if a logit differs by more than '
        + ' or '.join(f'{limit:g} ({precision})' for precision, limit in TOLERANCES.items()),
    )
    args = parser.parse_args()
    if args.out.suffix != '.onnx':
        parser.error(f'{args.out}: expected a name that ends in .onnx')
    return args


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    flags = (args.dynamic_batch, args.uint8, args.fp16, args.whole_batch, args.dynamic_cameras)
    options = GraphOptions(args.cameras, *flags)
    graph = export_onnx(cfg, args.checkpoint, options, args.opset)
    if args.verify:
        verify(cfg, args.checkpoint, graph, options)
    write_result(args.out, graph)
    print(f'{args.out}: {len(graph) / 2**20:.1f} MiB')


def verify(cfg: Config, checkpoint: str, graph: bytes, options: GraphOptions) -> None:
    """Prints the largest errors. Raises a ``DeployError`` if one exceeds the tolerance."""
    model = build_model(cfg, checkpoint)
    sizes = (1, 3) if options.dynamic_batch else (1,)  # traced with 2
    batches = {f'noise, batch {size}': [random_batch(cfg, size, options.cameras)] for size in sizes}
    if options.dynamic_cameras:
        batches |= {f'noise, cameras {n}': [random_batch(cfg, 1, n)] for n in (1, options.cameras + 1)}
    try:
        require_data(cfg, 'test_dataloader')
        batches['frames of the test set'] = frames(cfg, options.cameras)
    except DataError as error:
        print(f'no frames available for verification: {str(error).splitlines()[0]}')
    run = open_runtime(ONNXRUNTIME, graph)
    tolerance = TOLERANCES['fp16' if options.fp16 else 'fp32']
    errors = {name: largest_error(run, model, found, options.uint8) for name, found in batches.items()}
    for name, found_error in errors.items():
        print(f'largest error of a logit, {name}: {found_error:.1e} (at most {tolerance:g})')
    if not all(found_error <= tolerance for found_error in errors.values()):  # also false for NaN
        raise DeployError(f'not written: a logit is off by {max(errors.values()):.1e}, expected at most {tolerance:g}')


def frames(cfg: Config, cameras: int) -> list[dict]:
    """The first frames of the test set. Raises a ``DataError`` if the number of cameras differs."""
    found = test_batches(cfg, 1, FRAMES)
    if len(found[0]['inputs']['imgs'][0]) != cameras:
        raise DataError(f'the test set has {len(found[0]["inputs"]["imgs"][0])} cameras, expected {cameras}')
    return found


if __name__ == '__main__':
    cli.run(main)
