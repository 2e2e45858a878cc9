#!/usr/bin/env python
"""Benchmarks speed and memory against reference implementations."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from projects.CVT_IO.benchmarks import targets
from projects.CVT_IO.benchmarks.targets import Result, markdown
from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.runtime.machine import describe_machine
from projects.CVT_IO.cvt_io.zoo.catalogue import published_weights, read_catalogue
from projects.CVT_IO.toy_world import generate_toy_world

REPO = Path(__file__).resolve().parents[2]
GROUPS = ('inference', 'runtimes', 'iou', 'training', 'data')
TOY_CONFIG = REPO / 'configs/toy/cvt_io_v2_2_toy.py'
TOY_WEIGHTS = REPO / published_weights(read_catalogue(), 'cvt_io_v2_2_toy').location


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__ + ' Both sides are timed in turn, on the CPU. '
        'Toy worlds are generated in --work-dir if necessary. Takes about seven minutes on two cores.'
    )
    parser.add_argument('--samples', type=cli.positive_int, default=9, help='rounds of each (default: %(default)s)')
    parser.add_argument('--only', nargs='+', choices=GROUPS, default=GROUPS, help='run only these groups')
    parser.add_argument(
        '--frames', type=cli.positive_int, default=20, help='frames in the data group (default: %(default)s)'
    )
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/bench'), help='folder of the toy worlds (default: %(default)s)'
    )
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='also write the table to this file')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    results = []
    for group in args.only:
        results += measure(group, args)
    table = markdown(results, describe_machine(targets.CPU), args.samples)
    print(table)
    if args.out:
        write_result(args.out, table.encode())


def measure(group: str, args: argparse.Namespace) -> list[Result]:
    """Measures one group."""
    names = ('cvt', 'cvt_io_v2_2', 'cvt_io_v2_6')
    # Pre-trained weights would have to be downloaded and do not affect the time.
    options = {'model.backbone.init_cfg': None}
    cfgs = {name: load_config(str(REPO / f'configs/{name}.py'), options) for name in names}
    if group == 'inference':
        return targets.measure_inference(cfgs, args.samples)
    if group == 'runtimes':
        return targets.measure_runtimes(cfgs, args.samples)
    if group == 'training':
        return targets.measure_training(cfgs, args.samples)
    if group == 'data':
        root = toy_world(args.work_dir / 'full_size', 'v1.0-mini', 10, 4, (900, 1600), BEVGrid())
        return targets.measure_data(cfgs['cvt_io_v2_2'], root, 'v1.0-mini', args.frames, args.samples)
    grid = BEVGrid.from_dict(load_config(str(TOY_CONFIG)).bev_grid)
    root = toy_world(args.work_dir / 'toy_size', 'v1.0-trainval', 200, 8, (225, 400), grid)
    cfg = load_config(str(TOY_CONFIG), {'data_root': f'{root}/'})
    return [targets.measure_bf16_iou(cfg, str(TOY_WEIGHTS))]


def toy_world(root: Path, version: str, scenes: int, frames: int, image_size: tuple[int, int], grid: BEVGrid) -> Path:
    """Generates and converts a toy world if necessary, and returns its folder."""
    generate_toy_world(root, version, scenes, frames, image_size, workers=torch.get_num_threads())
    convert(root, version, grid=grid, workers=torch.get_num_threads())
    return root


if __name__ == '__main__':
    cli.run(main)
