"""Peak memory of a call."""

from __future__ import annotations

import ctypes  # noqa: TID251 - malloc_trim, without arguments
import gc
import re
from collections.abc import Callable
from pathlib import Path

import torch

_PROC = Path('/proc/self')


def peak_memory(step: Callable[[], object], device: torch.device) -> int | None:
    """Peak memory of a call in bytes, relative to the memory in use before it.

    On a GPU this is the memory counted by PyTorch's allocator. On a CPU it is the resident memory of the process, on
    Linux only; None on other systems.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    gc.collect()  # otherwise garbage of earlier calls may be freed in the middle of this one
    try:
        ctypes.CDLL('libc.so.6').malloc_trim(0)  # return memory freed by earlier calls
        (_PROC / 'clear_refs').write_text('5')  # resets the peak
        before = _resident('VmRSS')
    except OSError:
        return None
    step()
    return _resident('VmHWM') - before


def _resident(field: str) -> int:
    match = re.search(rf'^{field}:\s+(\d+) kB$', (_PROC / 'status').read_text(), re.MULTILINE)
    if match is None:
        raise OSError(f'{_PROC}/status has no {field}')
    return 1024 * int(match.group(1))
