"""Messages for errors whose cause lies in another process, and reports to the launcher."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import torch

#: Seconds that a process waits after it has lost another one: the launcher reports the process that ended first.
SECONDS_TO_CAUSE = 2

# The messages of PyTorch's signal handler and of the wait for the next batch, which the former may have caused.
_DATA_WORKER = re.compile(
    r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([\w ]+)|exited unexp)'
)
_GLOO = re.compile(r'gloo/transport|Connection closed by peer|Application timeout caused pair closure')
_WHY = {
    'Killed': 'was killed by the system, most likely because memory ran out',
    'Bus error': 'got a bus error, most likely because shared memory (/dev/shm) ran out',
}


def data_worker_error(error: Exception) -> str | None:
    """One line if the error is PyTorch's report that a worker of a data loader is gone, else ``None``."""
    found = _DATA_WORKER.search(f'{error.__cause__} {error}')
    if found is None:
        return None
    pid, signal = found.groups()
    # Without a signal in the report, the system's killer remains the one that leaves no error of the worker's own.
    how = _WHY.get(signal or 'Killed', f'crashed ({signal})')
    return (
        f'data worker {pid} {how}: lower num_workers or batch_size of the data loader, '
        'for example --cfg-options train_dataloader.num_workers=1 val_dataloader.num_workers=1'
    )


def lost_process_error(error: Exception) -> str | None:
    """One line if the error says that another process of the run is gone or does not answer, else ``None``."""
    if not isinstance(error, torch.distributed.DistError) and not _GLOO.search(str(error)):
        return None
    return f'another process of this run is gone, and its own error says why, or does not answer ({error!s:.200})'


def await_cause() -> None:
    """Waits for the launcher to end this process, so that the launcher reports the process that failed first."""
    if 'TORCHELASTIC_ERROR_FILE' in os.environ:
        time.sleep(SECONDS_TO_CAUSE)


def tell_launcher(text: str) -> None:
    """Adds a text to the summary that torchrun prints at its end, which otherwise shows the exit code alone."""
    if path := os.environ.get('TORCHELASTIC_ERROR_FILE'):
        details = dict(py_callstack=text, timestamp=str(int(time.time())))
        Path(path).write_text(json.dumps(dict(message=dict(message=text, extraInfo=details))))
