#!/usr/bin/env python
"""Strips a checkpoint for publication: ``python tools/model_converters/publish_model.py IN.pth OUT.pth``."""

import argparse
from pathlib import Path

from projects.CVT_IO.cvt_io import __version__
from projects.CVT_IO.cvt_io.fileio.checkpoint import CheckpointError, read_checkpoint
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.zoo.publish import non_finite, publish


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description='Strip a checkpoint to its weights and metadata (config, class names, version), and append the '
        "first eight digits of the file's SHA-256 to its name.",
        epilog='Example: cvt.pth becomes cvt-1a2b3c4d.pth, which tools/model_zoo.py verify can check.',
    )
    parser.add_argument('in_file', type=Path, help='checkpoint of a training run')
    parser.add_argument('out_file', type=Path, help='file to write; the digits are added to the name')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    checkpoint = read_checkpoint(args.in_file)
    broken = non_finite(checkpoint['state_dict'])
    if broken:
        raise CheckpointError(
            f'{args.in_file}: {len(broken)} tensors contain NaN or infinity, the first is {broken[0]}'
        )
    print(publish(args.out_file, checkpoint['state_dict'], dict(version=__version__) | checkpoint['meta']))


if __name__ == '__main__':
    cli.run(main)
