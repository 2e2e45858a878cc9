#!/usr/bin/env python
"""Strips a checkpoint for publication: ``python tools/model_converters/publish_model.py IN.pth OUT.pth``."""

import argparse
from pathlib import Path

from projects.CVT_IO.cvt_io import __version__
from projects.CVT_IO.cvt_io.fileio.checkpoint import CheckpointError, read_checkpoint
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.zoo.publish import non_finite, publish


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description="Keep a checkpoint's weights and what they are (config, class names, version), drop optimizer, "
        "schedule, logs and everything else, and put the first eight digits of the file's SHA-256 into its name.",
        epilog='So cvt_io_v2_depth.pth becomes cvt_io_v2_depth-1a2b3c4d.pth. tools/model_zoo.py verify checks it.',
    )
    parser.add_argument('in_file', type=Path, help='checkpoint of a training')
    parser.add_argument('out_file', type=Path, help='file to write, without the digits')
    return parser.parse_args()


def main() -> None:
    """Does what the command line asks for."""
    args = parse_args()
    checkpoint = read_checkpoint(args.in_file)
    broken = non_finite(checkpoint['state_dict'])
    if broken:
        raise CheckpointError(f'{args.in_file}: {len(broken)} tensors hold NaN or infinity, the first is {broken[0]}')
    print(publish(args.out_file, checkpoint['state_dict'], dict(version=__version__) | checkpoint['meta']))


if __name__ == '__main__':
    cli.run(main)
