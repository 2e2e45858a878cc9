"""Log records that a resumed run continues without gaps or doubles."""

from __future__ import annotations

import json
from pathlib import Path

from mmdet3d.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

from ...fileio.atomic import remove_temporaries, write_atomic
from ..train_loop import VALIDATED


@HOOKS.register_module()
class CVTIOLoggerHook(LoggerHook):
    """mmengine's hook, for which the JSON logs of all starts of a run together hold each step once.

    A resumed run logs again what came after its checkpoint, so it first takes those rows out of the older files. The
    text logs and TensorBoard's files stay as they are: they have a folder for each start, and tell of each what it did.
    """

    def before_train(self, runner: Runner) -> None:
        """Takes out the rows that this run is going to repeat."""
        super().before_train(runner)
        if runner._resume and is_main_process():
            validated = runner.message_hub.runtime_info.get(VALIDATED) == runner.iter
            dropped = drop_repeated(Path(runner.work_dir), runner.iter, validated)
            if dropped:
                runner.logger.info(f'{dropped} rows after step {runner.iter} taken out of older logs.')


def drop_repeated(work_dir: Path, step: int, validated: bool) -> int:
    """Deletes the rows, in the JSON logs of all starts, that a run resumed at a step writes anew.

    Args:
        work_dir: of the run.
        step: the last step that is not repeated.
        validated: whether the validation at that step is not repeated either.

    Returns:
        How many rows went.
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
    """Whether a row comes again; a row cut short by a kill does."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return True
    if not isinstance(row, dict) or type(row.get('step')) is not int:
        return False
    return row['step'] > step or (row['step'] == step and 'iter' not in row and not validated)
