"""Atomic writes: a file is either complete or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TEMPORARY = '.{name}.{pid}.tmp'


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path, and renames it to ``path`` if the block succeeds; otherwise the file is deleted."""
    temporary = path.with_name(_TEMPORARY.format(name=path.name, pid=os.getpid()))
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, content: bytes, durable: bool = False) -> None:
    """Writes a file atomically: it is complete or absent, even if the process is killed.

    ``durable`` waits for the disk, so that this holds for a power cut too.
    """
    with replacing(path) as temporary, temporary.open('wb') as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the name of a new file durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_result(path: Path, content: bytes) -> None:
    """Writes a file that a user asked for, and creates its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def write_json(path: Path, data: Any) -> None:
    """Writes indented JSON, see :func:`write_result`."""
    write_result(path, (json.dumps(data, indent=2) + '\n').encode())


def remove_temporaries(folder: Path, name: str = '*') -> None:
    """Deletes temporary files of killed writers in a folder, of target names that match the pattern ``name``."""
    for path in folder.glob(_TEMPORARY.format(name=name, pid='*')):
        path.unlink(missing_ok=True)
