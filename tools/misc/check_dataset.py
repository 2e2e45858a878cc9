"""Checks all files of a data set: ``python tools/misc/check_dataset.py configs/cvt_io_v2_2.py``."""

import argparse
import sys

from tqdm import tqdm

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_nuscenes_dataset, load_config

DESCRIPTION = """\
Read infos, images and labels of a split as in training, on all cores, and report what is wrong with each broken frame.
The exit code is 1 if there are any."""
CHUNK = 64


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(DESCRIPTION)
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train', help='default: %(default)s')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_nuscenes_dataset(cfg, f'{args.split}_dataloader')
    dataset.skip_broken = False  # report every frame
    dataset.full_init()
    broken = 0
    with tqdm(total=len(dataset), unit='frame', file=sys.stderr) as bar:
        for start in range(0, len(dataset), CHUNK):
            chunk = range(start, min(start + CHUNK, len(dataset)))
            for error in dataset.find_broken(chunk).values():
                bar.write(str(error), file=sys.stdout)
                broken += 1
            bar.update(len(chunk))
    if broken:
        raise DataError(f'{dataset.ann_file}: {broken} of {len(dataset)} frames are broken')
    print(f'{dataset.ann_file}: all {len(dataset)} frames are intact')


if __name__ == '__main__':
    cli.run(main)
