"""The checkpoint from which a run resumes."""

from __future__ import annotations

from pathlib import Path

from ..fileio.checkpoint import CheckpointError, read_checkpoint


def latest_checkpoint(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """The most recent readable checkpoint of a run, or ``None``, and what is wrong with the unreadable ones.

    The time of saving is read from the files, so that copied folders and runs resumed from an earlier step are
    ordered correctly.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    folder = Path(work_dir)
    pointer = folder / 'last_checkpoint'
    paths = sorted(folder.glob('iter_*.pth'))
    if not paths and pointer.is_file():  # the run saves to another folder
        paths = sorted(Path(pointer.read_text().strip()).parent.glob('iter_*.pth'))
    saved: list[tuple[str, int, Path]] = []
    problems: list[str] = []
    for path in paths:
        try:
            meta = read_checkpoint(path)['meta']
            saved.append((str(meta.get('time', '')), int(meta.get('iter', 0)), path))
        except CheckpointError as error:
            problems.append(str(error))
    if saved:
        return max(saved)[2], problems
    if problems:
        raise CheckpointError(f'{folder}: no checkpoint can be read: {"; ".join(problems)}')
    return None, problems
