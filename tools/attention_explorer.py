#!/usr/bin/env python
"""Shows what a model looks at: ``python tools/attention_explorer.py CONFIG CHECKPOINT --num 3 --out page.html``."""

import argparse
import sys
from pathlib import Path

# The configs import `projects`, which lies one folder up; first on the path, so that no other one shadows it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from tqdm import tqdm

from projects.CVT_IO.cvt_io.analysis.attention_maps import attention_maps
from projects.CVT_IO.cvt_io.analysis.machine import require_device
from projects.CVT_IO.cvt_io.analysis.steps import prepare_model
from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset
from projects.CVT_IO.cvt_io.engine import cli
from projects.CVT_IO.cvt_io.engine.config import build_dataset, load_config
from projects.CVT_IO.cvt_io.labels.errors import DataError
from projects.CVT_IO.cvt_io.labels.io import write_result
from projects.CVT_IO.cvt_io.visualization.explorer import explorer_frame, explorer_page

DESCRIPTION = """\
Write one HTML file, which needs neither a server nor the network, that shows which image patches each latent reads and
which BEV cells read it, what lies behind a BEV cell, and who reads an image patch. docs/attention.md explains the maps.
"""


def parse_args() -> argparse.Namespace:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='its checkpoint')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--frames', nargs='+', metavar='TOKEN', help='these samples; the start of a token will do')
    which.add_argument(
        '--num', type=cli.positive_int, default=1, metavar='N', help='N frames, spread over the split (default: 1)'
    )
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.html', help='write the page to this file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='val', help='default: %(default)s')
    parser.add_argument('--device', default=get_device(), help='cpu, cuda, cuda:1 … (default: %(default)s)')
    cli.add_cfg_options(parser)
    return parser.parse_args()


def choose(dataset: CVTIONuScenesDataset, num: int, frames: list[str] | None) -> list[int]:
    """Indices of the frames that the command line asks for."""
    if frames is None:
        # The middles of equal parts: the first and last frames of a split have the least around them.
        count = min(num, len(dataset))
        return ((np.arange(count) + 0.5) * len(dataset) / count).astype(int).tolist()
    tokens = [dataset.get_data_info(index)['sample_token'] for index in range(len(dataset))]
    chosen = []
    for start in frames:
        found = [index for index, token in enumerate(tokens) if token.startswith(start)]
        if len(found) != 1:
            raise DataError(f'--frames {start}: expected one sample in {dataset.ann_file}, found {len(found)}')
        chosen += found
    return chosen


def main() -> None:
    """Does what the command line asks for."""
    args = parse_args()
    device = require_device(args.device)
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_dataset(cfg, f'{args.split}_dataloader')
    if not isinstance(dataset, CVTIONuScenesDataset):
        raise DataError(f'{args.config}: expected a CVTIONuScenesDataset, found {type(dataset).__name__}')
    dataset.full_init()
    indices = choose(dataset, args.num, args.frames)
    model = prepare_model(cfg, args.checkpoint, device).eval()
    frames = []
    for index in tqdm(indices, unit='frame'):
        item = dataset[index]
        maps = attention_maps(model, **model.data_preprocessor(pseudo_collate([item]))['inputs'])
        frames.append(explorer_frame(item, dataset.get_data_info(index), maps, model.head.groups[0], dataset.bev_grid))
    page = explorer_page(frames, Path(args.config).stem, Path(args.checkpoint).name).encode()
    write_result(args.out, page)
    print(f'{args.out}: {len(frames)} frames, {len(page) / 1e6:.1f} MB')


if __name__ == '__main__':
    cli.run(main)
