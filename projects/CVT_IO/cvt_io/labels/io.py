"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_TEMPORARY = '.{name}.{pid}.tmp'


def write_atomic(path: Path, content: bytes) -> None:
    """Writes a file in one step: whoever reads it, and whenever the writer is killed, it is whole or absent."""
    temporary = path.with_name(_TEMPORARY.format(name=path.name, pid=os.getpid()))
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_result(path: Path, content: bytes) -> None:
    """:func:`write_atomic` of what a user wants to have somewhere, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def write_json(path: Path, data: Any) -> None:
    """:func:`write_result` of readable JSON."""
    write_result(path, (json.dumps(data, indent=2) + '\n').encode())


def remove_temporaries(folder: Path, name: str = '*') -> None:
    """Deletes what killed writers (:func:`write_atomic`) of files called ``name`` (a pattern) left in a folder."""
    for path in folder.glob(_TEMPORARY.format(name=name, pid='*')):
        path.unlink(missing_ok=True)
