#!/usr/bin/env python
"""Converts a checkpoint of the original PyTorch Lightning code: ``convert_original.py IN.ckpt OUT.pth --config …``."""

import argparse
import sys
from pathlib import Path

from projects.CVT_IO.cvt_io import __version__
from projects.CVT_IO.cvt_io.labels.classes import CLASSES
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from projects.CVT_IO.cvt_io.zoo.original import convert_original
from projects.CVT_IO.cvt_io.zoo.publish import non_finite, publish


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Convert a PyTorch Lightning checkpoint of the Cross-View Transformer or of the original CVT-IO '
        'runs to a checkpoint of this plug-in. Only tensors and plain containers are loaded from the file. Missing or '
        'unexpected keys and shapes are errors.'
    )
    parser.add_argument('in_file', type=Path, help='the original checkpoint')
    parser.add_argument('out_file', type=Path, help='file to write')
    parser.add_argument('--config', required=True, help='config of the model, e.g. configs/cvt.py')
    cli.add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    state = convert_original(args.in_file, build_model(cfg))
    broken = non_finite(state)
    if broken:
        print(f'warning: {len(broken)} tensors contain NaN or infinity, the first is {broken[0]}', file=sys.stderr)
    if 'neck.latent_array.features' in state:
        print(
            'note: the file does not contain the number of self-attention passes with shared weights, nor whether each '
            f'camera has its own latent grid; both are taken from {args.config}',
            file=sys.stderr,
        )
    meta = dict(
        version=__version__, cfg=cfg.pretty_text, dataset_meta=dict(classes=CLASSES), converted_from=args.in_file.name
    )
    print(publish(args.out_file, state, meta, hash_in_name=False))


if __name__ == '__main__':
    cli.run(main)
