#!/usr/bin/env python
"""Prepares a data set: info files and BEV labels of nuScenes, or of a toy world in nuScenes' own format."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.layout import EXTRA_TAG

if TYPE_CHECKING:
    from projects.CVT_IO.cvt_io.labels.nuscenes.shards import Shard

NUSCENES_HELP = """\
Reads nuScenes' key frames and its map expansion (v1.3) below --root-path:

  <version>/*.json         the tables
  samples/CAM_*/           the images (sweeps are not needed)
  maps/expansion/*.json    the map expansion

and writes below --out-dir:

  <tag>_infos_{train,val}.json                  frames, calibration, paths ({test} for v1.0-test)
  <tag>_labels/<grid>/<scene>/<token>.png       BEV labels (none for v1.0-test)
  <tag>_labels/<grid>/grid.json                 their grid; there once all labels are

It is safe to interrupt and rerun. Labels of several grids lie side by side: run it once for each.

Any other data set in nuScenes' table format (own rigs, Lyft Level 5, T4) is described in a file for --dataset:
cameras, splits, categories and what it lacks. docs/own_data.md explains it.

Many machines: run it on each with --shard 1/n … n/n, at the same time or not, in one shared folder or with --out-dir
folders whose contents are then copied together. Each makes its share of the labels, for which it needs the tables and
the maps only. Finally run it once with --merge n, where the images are."""

TOY_HELP = """\
Writes a procedural world as a nuScenes data set (tables, images, map expansion) to --out-dir, and then its info files
and BEV labels, exactly as `create_data.py nuscenes --root-path OUT_DIR` does on the real data.

Only the labels can be shared out (--shard): the first shard writes the world, which the others need."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    datasets = parser.add_subparsers(dest='command', required=True, metavar='{nuscenes,toy}')
    form = argparse.RawDescriptionHelpFormatter

    nuscenes = datasets.add_parser(
        'nuscenes', help='nuScenes on disk → infos and labels', description=NUSCENES_HELP, formatter_class=form
    )
    nuscenes.add_argument('--root-path', type=Path, default=Path('data/nuscenes'), help='default: %(default)s')
    nuscenes.add_argument(
        '--version',
        help='folder of the tables: v1.0-trainval (default), v1.0-mini, v1.0-test (infos only) or another name',
    )
    nuscenes.add_argument(
        '--dataset', type=Path, metavar='FILE', help='description of another data set, .yaml or .py: docs/own_data.md'
    )
    nuscenes.add_argument(
        '--skip-missing-images',
        action='store_true',
        help='leave out the frames that lack an image, however many they are (without: up to 5 %% of the images)',
    )
    nuscenes.add_argument('--out-dir', type=Path, help='folder of the results (default: --root-path)')

    toy = datasets.add_parser(
        'toy', help='a toy world, written and converted', description=TOY_HELP, formatter_class=form
    )
    toy.add_argument('--out-dir', type=Path, default=Path('data/nuscenes-toy'), help='default: %(default)s')
    toy.add_argument('--version', default='v1.0-mini', help='v1.0-mini (default) or v1.0-trainval')
    toy.add_argument('--scenes', type=int, default=10, help='number of scenes (default: %(default)s)')
    toy.add_argument('--frames', type=int, default=20, help='key frames of each scene (default: %(default)s)')
    toy.add_argument(
        '--image-size', type=int, nargs=2, default=(900, 1600), metavar=('H', 'W'), help='pixels (default: 900 1600)'
    )
    toy.add_argument('--seed', type=int, default=0, help='another seed, another world (default: %(default)s)')

    for parser_ in (nuscenes, toy):
        parser_.add_argument(
            '--extra-tag', default=EXTRA_TAG, help="prefix of the results' names (default: %(default)s)"
        )
        parser_.add_argument(
            '--workers', type=int, default=os.cpu_count() or 1, help='processes (default: one for each core)'
        )
        grid = parser_.add_argument_group('BEV grid of the labels')
        grid.add_argument(
            '--bev-size', type=int, nargs=2, default=(200, 200), metavar=('H', 'W'), help='cells (default: 200 200)'
        )
        grid.add_argument(
            '--bev-metres', type=float, nargs=2, default=(100, 100), metavar=('H', 'W'), help='default: 100 100'
        )
        grid.add_argument(
            '--bev-offset', type=float, default=0.0, help='backward shift of the ego, as a fraction of H (default: 0)'
        )
        shards = parser_.add_argument_group('many machines').add_mutually_exclusive_group()
        shards.add_argument('--shard', metavar='I/N', help='make only shard I of N of the labels (1/N … N/N)')
        shards.add_argument(
            '--merge', type=int, metavar='N', help='check the labels of N shards and write the remaining files'
        )
    return parser.parse_args(argv)


def generate_toy(args: argparse.Namespace, shard: Shard | None) -> None:
    """Generates the toy world; with shards, only the first one does, as they share a folder."""
    if args.merge or (shard and shard.index > 1):
        tables = args.out_dir / args.version
        if not tables.is_dir():
            raise DataError(f'{tables}: no toy world here; --shard 1/N writes it, or the command without --shard')
        return
    from projects.CVT_IO.toy_world import generate_toy_world

    generate_toy_world(
        args.out_dir,
        version=args.version,
        scenes=args.scenes,
        frames=args.frames,
        image_size=tuple(args.image_size),
        seed=args.seed,
        workers=args.workers,
        progress=True,
    )


def create_data(args: argparse.Namespace) -> None:
    """Entry point."""
    # Imported late: the devkit takes seconds, which --help and wrong arguments need not wait for.
    from projects.CVT_IO.cvt_io.labels.description import DatasetDescription, read_description
    from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
    from projects.CVT_IO.cvt_io.labels.nuscenes.shards import Shard

    if args.workers < 0:
        raise DataError(f'--workers: expected a non-negative number, got {args.workers}')
    if args.merge is not None and args.merge < 1:
        raise DataError(f'--merge: expected a positive number of shards, got {args.merge}')
    shard = Shard.parse(args.shard) if args.shard is not None else None
    try:
        grid = BEVGrid(tuple(args.bev_size), tuple(args.bev_metres), args.bev_offset)
        if args.command == 'toy':
            generate_toy(args, shard)
    except ValueError as error:
        raise DataError(str(error)) from error
    if args.command == 'toy':
        root, description, skip = args.out_dir, DatasetDescription(version=args.version), False
    else:
        root, skip = args.root_path, args.skip_missing_images
        description = read_description(args.dataset) if args.dataset else DatasetDescription()
        description = replace(description, version=args.version or description.version)
    options = dict(shard=shard, merge=args.merge, skip_missing_images=skip)
    summary = convert(root, description, args.out_dir, args.extra_tag, grid, args.workers, **options)
    print(f'shard {shard}: {summary}' if shard else summary)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 for success, 1 for an error in the data, 130 for Ctrl-C."""
    try:
        create_data(parse_args(argv))
    except (DataError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except BrokenProcessPool:
        print('error: a worker process was killed (out of memory?); try fewer --workers', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('stopped; run the same command again to continue', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
