"""What the command-line tools share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import torch
from mmengine.config import Config, DictAction

from ..labels.errors import DataError
from ..models.pretrained import PretrainedError

EXPECTED_ERRORS = (DataError, PretrainedError, FileNotFoundError, PermissionError)


def run(main: Callable[[], None]) -> None:
    """Runs a tool; an expected error ends it with its message alone and exit code 1."""
    try:
        main()
    except EXPECTED_ERRORS as error:
        sys.exit(f'error: {error}')


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that mmdet3d's train and test tools have in common."""
    parser.add_argument('--work-dir', help='folder of logs and checkpoints; default work_dirs/<config name>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value; a list as key="[a,b]" or key=a,b; '
        'data_root=FOLDER moves every data set',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torch.distributed.launch passes either spelling.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def set_launcher(cfg: Config, args: argparse.Namespace) -> None:
    """Passes the launcher on to the Runner; without a GPU, torchrun's processes talk by gloo and stay on the CPU."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg.launcher = args.launcher
    if not torch.cuda.is_available():
        cfg.model_wrapper_cfg.device_ids = None
        if args.launcher == 'pytorch':
            # mmengine joins a group that is there; its own way to make one wants a GPU.
            torch.distributed.init_process_group('gloo')
