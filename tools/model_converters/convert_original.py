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
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description='Turn a PyTorch Lightning checkpoint of the Cross-View Transformer or of the original CVT-IO runs '
        'into one of this plug-in. Only tensors and plain containers are built of what the file holds; a key or shape '
        'that is left over on either side is an error.'
    )
    parser.add_argument('in_file', type=Path, help='the original checkpoint')
    parser.add_argument('out_file', type=Path, help='file to write')
    parser.add_argument('--config', required=True, help='config of the model, for example configs/cvt.py')
    cli.add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Does what the command line asks for."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    state = convert_original(args.in_file, build_model(cfg))
    broken = non_finite(state)
    if broken:
        print(f'warning: {len(broken)} tensors hold NaN or infinity, the first of them {broken[0]}', file=sys.stderr)
    if 'neck.latent_array.features' in state:
        print(
            'note: nothing in the file tells how many passes of shared self-attention it was trained with, nor whether '
            f'each camera had a grid of its own; both are now those of {args.config}',
            file=sys.stderr,
        )
    meta = dict(
        version=__version__, cfg=cfg.pretty_text, dataset_meta=dict(classes=CLASSES), converted_from=args.in_file.name
    )
    print(publish(args.out_file, state, meta, hash_in_name=False))


if __name__ == '__main__':
    cli.run(main)
