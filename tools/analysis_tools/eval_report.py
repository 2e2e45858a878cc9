#!/usr/bin/env python
"""Breaks down IoU: ``python tools/analysis_tools/eval_report.py configs/cvt.py CHECKPOINT --out report``."""

import argparse
from pathlib import Path

from tqdm import tqdm

from projects.CVT_IO.cvt_io.analysis.eval_report import DatasetStatistics, markdown, scores_as_data, write_report
from projects.CVT_IO.cvt_io.analysis.steps import prepare_model
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.evaluation.breakdown import Breakdown
from projects.CVT_IO.cvt_io.labels.classes import VEHICLE
from projects.CVT_IO.cvt_io.labels.nuscenes.label_maker import stored_label
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_nuscenes_dataset, load_config
from projects.CVT_IO.cvt_io.runtime.machine import require_device
from projects.CVT_IO.cvt_io.visualization.scene import predict_frames


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = cli.config_parser(
        'Report statistics of the vehicles in the test set, and IoU and recall by distance and by '
        'visibility, as report.json, report.md and report.png.',
        checkpoint='required',
        device=True,
    )
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder of the report')
    parser.add_argument('--num', type=cli.positive_int, metavar='N', help='use N evenly spaced frames (default: all)')
    parser.add_argument('--score-thr', type=float, default=0.5, metavar='P', help='threshold (default: %(default)s)')
    args = parser.parse_args()
    if not 0 < args.score_thr < 1:
        parser.error(f'--score-thr: expected a number between 0 and 1, got {args.score_thr}')
    return args


def main() -> None:
    """Entry point."""
    args = parse_args()
    device = require_device(args.device)
    cfg = load_config(args.config, args.cfg_options)
    dataset = build_nuscenes_dataset(cfg, 'test_dataloader')
    if not dataset.with_labels:
        raise DataError(f'{args.config}: test_dataloader.dataset.with_labels: expected True, found False')
    dataset.full_init()
    model = prepare_model(cfg, args.checkpoint, device)
    statistics = DatasetStatistics(dataset.bev_grid)
    breakdowns = [Breakdown(dataset.bev_grid, group, args.score_thr) for group in model.head.groups]
    indices = dataset.spread(args.num)
    for info, sample in tqdm(predict_frames(model, dataset, indices), total=len(indices), unit='frame'):
        statistics.add(stored_label(info, dataset.bev_grid))
        for breakdown, score in zip(breakdowns, sample.pred_bev.scores.cpu(), strict=True):
            breakdown.add(score, sample.gt_bev.classes.cpu(), sample.gt_bev.visibility.cpu())
    report = dict(
        config=Path(args.config).stem,
        checkpoint=Path(args.checkpoint).name,
        threshold=args.score_thr,
        dataset=statistics.as_data(),
        groups={b.group.name: scores_as_data(b, set(b.group.classes) <= set(VEHICLE)) for b in breakdowns},
    )
    write_report(args.out, report, statistics)
    print(markdown(report), end='')


if __name__ == '__main__':
    cli.run(main)
