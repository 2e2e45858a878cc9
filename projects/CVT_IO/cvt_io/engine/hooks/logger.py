"""Logs that a resumed run continues without gaps or duplicates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdet3d.registry import HOOKS
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import LoggerHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from ...fileio.atomic import remove_temporaries, write_atomic
from ..train_loop import VALIDATED


@HOOKS.register_module()
class CVTIOLoggerHook(LoggerHook):
    """mmengine's hook, with each step exactly once across the JSON logs of all starts of a run.

    A resumed run logs what came after its checkpoint again, so the main process first removes those rows from the older
    files. Text logs and TensorBoard files are kept: each start has its own folder.

    mmengine's history of each scalar grows with every step, is copied with every step and saved in every checkpoint: at
    step 100,000, with 8 scalars, 0.8 ms per step and 12 MiB per checkpoint. The last ``history`` values are kept.

    Args:
        history: values of each scalar, at least; the windows of the log processor must not be longer.
        **kwargs: of ``LoggerHook``.
    """

    def __init__(self, history: int = 1000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.history = history

    def before_train(self, runner: Runner) -> None:
        """Removes the rows that this run will repeat."""
        super().before_train(runner)
        if runner._resume and is_main_process():
            validated = runner.message_hub.runtime_info.get(VALIDATED) == runner.iter
            dropped = drop_repeated(Path(runner.work_dir), runner.iter, validated)
            if dropped:
                runner.logger.info(f'{dropped} rows after step {runner.iter} removed from older logs.')
        if runner._resume:
            barrier()  # no process may log earlier

    def after_train_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Logs, and shortens the history."""
        super().after_train_iter(runner, batch_idx, *args, **kwargs)
        if (batch_idx + 1) % self.history == 0:  # depends on the step alone, as a resumed run must do the same
            scalars = runner.message_hub.log_scalars
            for key, buffer in scalars.items():
                values, counts = buffer.data
                scalars[key] = HistoryBuffer(values[-self.history :], counts[-self.history :])


def drop_repeated(work_dir: Path, step: int, validated: bool) -> int:
    """Deletes the rows, in the JSON logs of all starts, that a run resumed at a step writes again.

    Args:
        work_dir: of the run.
        step: the last step that is not repeated.
        validated: whether the validation at that step is not repeated either.

    Returns:
        Number of deleted rows.
    """
    dropped = 0
    for path in sorted(work_dir.glob('*/vis_data/*.json')):
        remove_temporaries(path.parent)
        text = path.read_text()
        lines = text.splitlines()
        kept = [line for line in lines if not _repeated(line, step, validated)]
        content = ''.join(f'{line}\n' for line in kept)
        if content != text:
            write_atomic(path, content.encode(), durable=True)
            dropped += len(lines) - len(kept)
    return dropped


def _repeated(line: str, step: int, validated: bool) -> bool:
    """Whether a row will be logged again, as will one truncated by a kill."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return True
    if not isinstance(row, dict) or type(row.get('step')) is not int:
        return False
    return row['step'] > step or (row['step'] == step and 'iter' not in row and not validated)
