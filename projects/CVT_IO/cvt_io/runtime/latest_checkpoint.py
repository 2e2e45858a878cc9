"""The checkpoint with which a run goes on."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from ..fileio.checkpoint import CheckpointError, read_checkpoint


def latest_checkpoint(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """The checkpoint of a run that was saved last and can be read in full, and what is wrong with unreadable ones.

    When it was saved stands in the file, so that copied folders and runs that went on from an earlier step are in
    order. ``None`` if the run has saved none.

    Raises:
        CheckpointError: there are checkpoints, and none can be read.
    """
    folder = Path(work_dir)
    pointer = folder / 'last_checkpoint'
    paths = sorted(folder.glob('iter_*.pth'))
    if not paths and pointer.is_file():  # the run saves elsewhere
        paths = sorted(Path(pointer.read_text().strip()).parent.glob('iter_*.pth'))
    saved: list[tuple[str, int, Path]] = []
    problems: list[str] = []
    for path in paths:
        try:
            meta = read_checkpoint(path)['meta']
            saved.append((str(meta.get('time', '')), int(meta.get('iter', 0)), path))
        except CheckpointError as error:
            problems.append(str(error))
    for _, _, path in sorted(saved, reverse=True):
        try:
            _read_in_full(path)
            return path, problems
        except CheckpointError as error:
            problems.append(str(error))
    if problems:
        raise CheckpointError(f'{folder}: no checkpoint can be read: {"; ".join(problems)}')
    return None, problems


def _read_in_full(path: Path) -> None:
    """Compares all of a file with its checksums; PyTorch maps the tensors without looking at them."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        damaged = str(error)
    if damaged is not None:
        raise CheckpointError(f'{path}: cannot read checkpoint: damaged ({damaged})')
