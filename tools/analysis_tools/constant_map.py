#!/usr/bin/env python
"""IoU of the best input-independent map: ``python tools/analysis_tools/constant_map.py configs/cvt_io_v2_2.py``."""

import argparse
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from tqdm import tqdm

from projects.CVT_IO.cvt_io.evaluation.constant import best_constant_iou
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from projects.CVT_IO.cvt_io.labels.codec import expand
from projects.CVT_IO.cvt_io.labels.groups import LabelGroup, build_label_groups
from projects.CVT_IO.cvt_io.labels.nuscenes.label_maker import stored_label
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import ConfigError, build_dataset, load_config, require_data


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(
        'Compute the IoU of the best input-independent map on the test set: the same prediction for every '
        "frame, chosen with the test set's own labels. A model that uses its input must be well above it."
    )
    parser.add_argument('--out', type=Path, metavar='FILE.json', help='write the figures to this file')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    require_data(cfg, 'test_dataloader')
    result = {f'{name}/IoU': best_constant_iou(*counts)[0] for name, counts in count(cfg).items()}
    for name, iou in result.items():
        print(f'{name} of the best constant map: {iou:.4f}')
    if args.out:
        write_json(args.out, result)


def metric_label_groups(cfg: Config) -> tuple[LabelGroup, ...]:
    """Label groups of the test set's metric, which may be one of several."""
    metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    groups = next((metric.label_groups for metric in metrics if 'label_groups' in metric), None)
    if groups is None:
        raise ConfigError(f'{cfg.filename}: test_evaluator: expected a metric with label_groups, found none')
    return build_label_groups(groups)


def count(cfg: Config) -> dict[str, np.ndarray]:
    """Number of frames in which each cell is positive, and in which it counts: (2, h, w) by label group."""
    dataset = build_dataset(cfg, 'test_dataloader')
    dataset.full_init()
    groups = metric_label_groups(cfg)
    counts = {group.name: np.zeros((2, *dataset.bev_grid.size), int) for group in groups}
    for i in tqdm(range(len(dataset)), desc='labels', unit='frame'):
        label = expand(stored_label(dataset.get_data_info(i), dataset.bev_grid))
        classes, visibility = torch.from_numpy(label.classes), torch.from_numpy(label.visibility)
        for group in groups:
            keep = group.keep(visibility).numpy()
            counts[group.name] += (group.target(classes).numpy() & keep, keep)
    return counts


if __name__ == '__main__':
    cli.run(main)
