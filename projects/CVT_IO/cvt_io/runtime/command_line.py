"""What the command-line tools share."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device

from ..errors import DataError
from .process_errors import await_cause, data_worker_error, lost_process_error, tell_launcher

EXPECTED_ERRORS = (
    DataError,
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def run(main: Callable[[], None]) -> None:
    """Runs a tool; an expected error ends it with its message alone and exit code 1.

    Whatever ends it, the launcher of several processes learns of it too.
    """
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            tell_launcher(end.code)
        raise
    except Exception as error:
        message = _in_one_line(error)
        tell_launcher(message or traceback.format_exc())
        if message is None:
            raise
        sys.exit(message)


def _in_one_line(error: Exception) -> str | None:
    """Message for an expected error, ``None`` for others."""
    if isinstance(error, EXPECTED_ERRORS):
        return f'error: {_own_words(error)}'
    if isinstance(error, ImportError) and 'pip install' in str(error):  # mmengine names what a logger needs
        return f'error: {error}'
    message = data_worker_error(error)
    if message is None:
        message = lost_process_error(error)
        if message is not None:
            await_cause()
    return message and f'error: {message}'


def _own_words(error: Exception) -> str:
    """Message of an error, without the traceback that PyTorch puts around errors of data workers."""
    text = str(error)
    if text.startswith(f'Caught {type(error).__name__} in DataLoader worker'):
        return text.rpartition(f'{type(error).__name__}: ')[2].rstrip()
    return text


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


def config_parser(
    description: str, checkpoint: str | None = None, device: bool = False, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Creates the parser of a tool with the arguments ``config`` and ``--cfg-options``.

    Args:
        description: of the tool; ``epilog`` follows the arguments.
        checkpoint: ``required`` or ``optional`` adds this argument.
        device: whether to add ``--device``.
    """
    parser = argparse.ArgumentParser(description=description, epilog=epilog)
    parser.add_argument('config', help='config file')
    if checkpoint == 'required':
        parser.add_argument('checkpoint', help='checkpoint file')
    elif checkpoint == 'optional':
        parser.add_argument('checkpoint', nargs='?', help='checkpoint file (default: random weights, equally fast)')
    if device:
        parser.add_argument('--device', default=get_device(), help='cpu, cuda, cuda:1 … (default: %(default)s)')
    add_cfg_options(parser)
    return parser


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
        if args.launcher == 'pytorch' and not torch.distributed.is_initialized():
            # mmengine joins an existing group; the one that it makes itself needs a GPU.
            seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
            torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=seconds) if seconds else None)


def has_display() -> bool:
    """Whether windows can be opened."""
    return bool(os.environ.get('DISPLAY'))
