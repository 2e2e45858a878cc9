"""What the command-line tools share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from mmengine.config import Config, DictAction

from ..labels.errors import DataError
from ..models.pretrained import PretrainedError

EXPECTED_ERRORS = (
    DataError,
    PretrainedError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def run(main: Callable[[], None]) -> None:
    """Runs a tool; an expected error ends it with its message alone and exit code 1."""
    try:
        main()
    except EXPECTED_ERRORS as error:
        sys.exit(f'error: {error}')


class _OptionsAction(DictAction):
    """mmengine's action, for which a word that is no option is a user's error."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError) as error:  # no equals sign; brackets that do not match
            raise argparse.ArgumentError(self, f'expected key=value …, got {" ".join(values)}') from error


def add_cfg_options(parser: argparse.ArgumentParser, *aliases: str) -> None:
    """The flag that overrides settings of a config."""
    parser.add_argument(
        '--cfg-options',
        *aliases,
        nargs='+',
        action=_OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config; a list as key="[a,b]" or key=a,b; data_root=FOLDER moves every data set',
    )


def positive_int(text: str) -> int:
    """Type of an argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a whole number from 1 on, got {text!r}')
    return int(text)


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that mmdet3d's train and test tools have in common."""
    parser.add_argument('--work-dir', help='folder of logs and checkpoints; default work_dirs/<config name>')
    add_cfg_options(parser)
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


def has_display() -> bool:
    """Whether windows can be opened."""
    return bool(os.environ.get('DISPLAY'))
