"""What figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from ..errors import DataError


def describe_machine(device: torch.device) -> str:
    """Processor or GPU, threads, and PyTorch's release, in one line."""
    release = f'PyTorch {torch.__version__.split("+")[0]}'
    if device.type == 'cuda':
        return f'{torch.cuda.get_device_name(device)}, {release}'
    return f'{_processor()}, {torch.get_num_threads()} threads of {os.cpu_count()} cores, {release}'


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def require_device(name: str) -> torch.device:
    """A processor or GPU of this machine.

    Raises:
        DataError: this machine has no device of that name.
    """
    try:
        if torch.device(name).type not in ('cpu', 'cuda'):  # others compute nothing, or are not waited for
            raise RuntimeError('expected cpu or cuda')
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DataError(f'device {name}: not on this machine ({str(error).splitlines()[0]})') from error
    return torch.device(name)
