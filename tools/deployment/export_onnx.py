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
from projects.CVT_IO.cvt_io.fileio.checkpoint import load_weights
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.batches import CAMERAS, random_batch, test_batches
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config, require_data

FRAMES = 4


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description='Export to ONNX: imgs (b, n, 3, H, W), intrinsics (b, n, 3, 3) and cam_from_ego (b, n, 4, 4) → '
        'logits (b, outputs, h, w).'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('out', type=Path, metavar='OUT.onnx', help='file to write')
    parser.add_argument('--dynamic-batch', action='store_true', help='any batch size (default: 1)')
    parser.add_argument('--uint8', action='store_true', help='images are RGB in 0…255 and are normalised inside')
    parser.add_argument(
        '--fp16', action='store_true', help='weights and activations in half precision, geometry in fp32'
    )
    parser.add_argument(
        '--whole-batch',
        action='store_true',
        help='for GPUs: the backbone sees all images at once, not camera by camera',
    )
    parser.add_argument('--cameras', type=cli.positive_int, default=CAMERAS, help='cameras (default: %(default)s)')
    parser.add_argument(
        '--opset',
        type=int,
        default=DEFAULT_OPSET,
        help=f'version of ONNX operators, {OPSETS[0]} to {OPSETS[-1]} (default: %(default)s)',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='run it in ONNX Runtime against PyTorch, on noise and on frames of the test set if there is one, and '
        'write nothing if a logit is further off than '
        + ' or '.join(f'{limit:g} ({precision})' for precision, limit in TOLERANCES.items()),
    )
    cli.add_cfg_options(parser)
    args = parser.parse_args()
    if args.out.suffix != '.onnx':
        parser.error(f'{args.out}: expected a name that ends in .onnx')
    return args


def main() -> None:
    """Does what the command line asks for."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    options = GraphOptions(args.cameras, args.dynamic_batch, args.uint8, args.fp16, args.whole_batch)
    graph = export_onnx(cfg, args.checkpoint, options, args.opset)
    if args.verify:
        verify(cfg, args.checkpoint, graph, options)
    write_result(args.out, graph)
    print(f'{args.out}: {len(graph) / 2**20:.1f} MiB')


def verify(cfg: Config, checkpoint: str, graph: bytes, options: GraphOptions) -> None:
    """Prints the largest errors; a ``DeployError`` if one is too large."""
    model = build_model(cfg)
    load_weights(model, checkpoint)
    sizes = (1, 3) if options.dynamic_batch else (1,)  # 2 is what was traced
    batches = {f'noise, batch {size}': [random_batch(cfg, size, options.cameras)] for size in sizes}
    try:
        require_data(cfg, 'test_dataloader')
        batches['frames of the test set'] = frames(cfg, options.cameras)
    except DataError as error:
        print(f'no frames to verify with: {str(error).splitlines()[0]}')
    run = open_runtime(ONNXRUNTIME, graph)
    tolerance = TOLERANCES['fp16' if options.fp16 else 'fp32']
    errors = {name: largest_error(run, model, found, options.uint8) for name, found in batches.items()}
    for name, found_error in errors.items():
        print(f'largest error of a logit, {name}: {found_error:.1e} (at most {tolerance:g})')
    if not all(found_error <= tolerance for found_error in errors.values()):  # a NaN is not
        raise DeployError(f'not written: a logit is off by {max(errors.values()):.1e}, expected at most {tolerance:g}')


def frames(cfg: Config, cameras: int) -> list[dict]:
    """The first frames of the test set; a ``DataError`` if they have another number of cameras."""
    found = test_batches(cfg, 1, FRAMES)
    if len(found[0]['inputs']['imgs'][0]) != cameras:
        raise DataError(f'those of the test set have {len(found[0]["inputs"]["imgs"][0])} cameras')
    return found


if __name__ == '__main__':
    cli.run(main)
