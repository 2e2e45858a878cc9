#!/usr/bin/env python
"""Explores attention maps: ``python tools/attention_explorer.py CONFIG CHECKPOINT --num 3 --out page.html``."""

import argparse
from pathlib import Path

from mmengine.dataset import pseudo_collate
from tqdm import tqdm

from projects.CVT_IO.cvt_io.analysis.steps import prepare_model
from projects.CVT_IO.cvt_io.fileio.atomic import write_result
from projects.CVT_IO.cvt_io.models.attention_maps import attention_maps
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_nuscenes_dataset, load_config
from projects.CVT_IO.cvt_io.runtime.machine import require_device
from projects.CVT_IO.cvt_io.visualization.explorer import explorer_frame, explorer_page
from projects.CVT_IO.cvt_io.visualization.scene import channel_of, choose_frames

DESCRIPTION = """\
Write a self-contained HTML page that shows the attention between image patches, latents and BEV cells. See
docs/attention.md for how to read the maps."""


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(DESCRIPTION, checkpoint='required', device=True)
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--frames', nargs='+', metavar='TOKEN', help='show the samples with these tokens or prefixes')
    which.add_argument(
        '--num', type=cli.positive_int, default=1, metavar='N', help='show N evenly spaced frames (default: 1)'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.html', help='write the page to this file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='val', help='default: %(default)s')
    parser.add_argument('--group', metavar='NAME', help='label group to show (default: the first)')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    device = require_device(args.device)
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_nuscenes_dataset(cfg, f'{args.split}_dataloader')
    dataset.full_init()
    indices = choose_frames(dataset, args.frames, args.num)
    model = prepare_model(cfg, args.checkpoint, device).eval()
    channel = channel_of(model.head.groups, args.group)
    frames = []
    for index in tqdm(indices, unit='frame'):
        item = dataset[index]
        maps = attention_maps(model, **model.data_preprocessor(pseudo_collate([item]))['inputs'])
        info = dataset.get_data_info(index)
        frames.append(explorer_frame(item, info, maps, model.head.groups[channel], channel, dataset.bev_grid))
    page = explorer_page(frames, Path(args.config).stem, Path(args.checkpoint).name).encode()
    write_result(args.out, page)
    print(f'{args.out}: {len(frames)} frames, {len(page) / 1e6:.1f} MB')


if __name__ == '__main__':
    cli.run(main)
