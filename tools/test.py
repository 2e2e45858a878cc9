"""Tests a checkpoint: ``python tools/test.py configs/cvt_io_v2_2.py CHECKPOINT --out result.json``."""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from projects.CVT_IO.cvt_io.datasets.control import CONTROLS
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from projects.CVT_IO.cvt_io.fileio.checkpoint import check_weights
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config, require_data
from projects.CVT_IO.cvt_io.runtime.runner import build_runner
from projects.CVT_IO.cvt_io.runtime.tta import use_tta


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description='Test a BEV segmentation model.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out',
        nargs='+',
        default=[],
        metavar='FILE',
        help='write the metrics to a .json file, the predicted maps to a .npz file (see CVTIOPredictions), or both',
    )
    parser.add_argument(
        '--control',
        choices=CONTROLS,
        help='test with images that have nothing to do with the labels: a model that sees must fail',
    )
    parser.add_argument('--tta', action='store_true', help='average the predictions of each frame and its mirror image')
    parser.add_argument('--show', action='store_true', help='show a panel of each sample in a window')
    parser.add_argument('--show-dir', help='write a panel of each sample below <work-dir>/<timestamp>/ here')
    parser.add_argument('--show-interval', type=int, default=1, help='show or write each n-th sample only')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that a window stays')
    cli.add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    for name in args.out:
        if not name.endswith(('.json', '.npz')):
            sys.exit(f'error: --out {name}: expected a name that ends in .json (metrics) or .npz (predictions)')
    if args.show and not cli.has_display():
        sys.exit('error: --show needs a display; --show-dir writes the panels to files')
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    require_data(cfg, 'test_dataloader')
    check_weights(build_model(cfg), args.checkpoint)  # mmengine loads what fits and only warns about the rest
    if args.control is not None:
        cfg.test_dataloader.dataset = dict(
            type='CVTIOControlDataset', dataset=cfg.test_dataloader.dataset, images=args.control
        )
    cli.set_launcher(cfg, args)
    cfg.load_from = args.checkpoint
    set_visualization(cfg, args)
    add_predictions(cfg, [name for name in args.out if name.endswith('.npz')])
    if args.tta:
        use_tta(cfg)
    metrics = build_runner(cfg).test()
    for name in args.out:
        if name.endswith('.json') and is_main_process():
            write_json(Path(name), metrics)


def set_visualization(cfg: Config, args: argparse.Namespace) -> None:
    """Passes the flags on to the visualization hook."""
    draw = args.show or args.show_dir is not None
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None and draw:
        sys.exit('error: --show and --show-dir need default_hooks.visualization, which the config has switched off')
    if hook is not None:
        hook.update(
            draw=draw, show=args.show, wait_time=args.wait_time, interval=args.show_interval, test_out_dir=args.show_dir
        )


def add_predictions(cfg: Config, files: list[str]) -> None:
    """Adds what writes the predictions to the evaluator."""
    metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    groups = cfg.model.head.label_groups
    cfg.test_evaluator = [*metrics, *(dict(type='CVTIOPredictions', out_file=f, label_groups=groups) for f in files)]


if __name__ == '__main__':
    cli.run(main)
