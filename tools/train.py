"""Trains a model: ``python tools/train.py configs/cvt_io_v2_2.py``."""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config

from projects.CVT_IO.cvt_io.engine.hooks.logger import drop_repeated
from projects.CVT_IO.cvt_io.fileio.checkpoint import check_resumable, read_checkpoint
from projects.CVT_IO.cvt_io.fileio.durable import disk_errors
from projects.CVT_IO.cvt_io.runtime import command_line as cli
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config, require_data
from projects.CVT_IO.cvt_io.runtime.duration import duration
from projects.CVT_IO.cvt_io.runtime.latest_checkpoint import latest_checkpoint
from projects.CVT_IO.cvt_io.runtime.runner import build_runner
from projects.CVT_IO.cvt_io.runtime.training_checks import check_training


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description='Train a BEV segmentation model.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision: float16 on a GPU, bfloat16 on a CPU'
    )
    parser.add_argument(
        '--sync_bn', choices=['none', 'torch', 'mmcv'], default='none', help='synchronise BatchNorms across processes'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the batch instead of accumulating gradients up to the recipe's batch",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from this checkpoint, or from the latest of the work folder that can be read; with another '
        'max_iters, on the learning rate curve of a run of that length',
    )
    parser.add_argument(
        '--max-time',
        type=duration,
        metavar='DURATION',
        help='save and stop, with exit code 75, before so much time has passed since the start: 23:30:00, 1-12:00:00, '
        '90 (minutes), 2h; resume with --resume',
    )
    cli.add_runner_arguments(parser)
    return parser.parse_args()


def prepare_start(cfg: Config) -> None:
    """Checks that the model can be built, and that the checkpoint to start from is there and fits."""
    model = build_model(cfg)
    if cfg.resume and not cfg.load_from:
        cfg.load_from = choose_latest(cfg.work_dir)
        if cfg.load_from is None:  # a start that was killed before its first checkpoint has logged all the same
            drop_repeated(Path(cfg.work_dir), 0, validated=False)
        cfg.resume = cfg.load_from is not None  # mmengine would follow the folder's last_checkpoint, even to a URL
    checkpoint = cfg.load_from
    if checkpoint and cfg.resume:
        check_resumable(model, checkpoint)
    elif checkpoint:
        read_checkpoint(checkpoint)
    if checkpoint and cfg.resume:
        cfg.model.backbone.init_cfg = None  # the checkpoint has the backbone's weights


def choose_latest(work_dir: str) -> str | None:
    """The checkpoint to resume from; warns of later ones that cannot be read."""
    latest, problems = latest_checkpoint(work_dir)
    for problem in problems:
        print(f'warning: {problem}; resuming from {latest}', file=sys.stderr)
    return str(latest) if latest else None


def main() -> None:
    """Entry point."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    require_data(cfg, 'train_dataloader', 'val_dataloader')
    cli.set_launcher(cfg, args)
    if args.amp:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    if args.sync_bn != 'none':
        cfg.sync_bn = args.sync_bn
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.max_time is not None:
        hook = dict(type='CVTIOInterruptionHook', max_time=args.max_time)
        cfg.merge_from_dict({'default_hooks.interruption': hook})
    check_training(cfg)
    prepare_start(cfg)
    with disk_errors(cfg.work_dir):
        build_runner(cfg).train()


if __name__ == '__main__':
    cli.run(main)
