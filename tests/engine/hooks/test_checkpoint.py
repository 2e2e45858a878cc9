"""What a checkpoint replaces goes last, and a validation is saved before and after."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from projects.CVT_IO.cvt_io.fileio.durable import SaveError
from tests.fileio.test_durable import largest_file
from tests.tiny import NO_VALIDATION, hook, tiny_config, tiny_runner, train_tiny


class _Files:
    """Notes, at each change of a file in a folder, what it is and which checkpoints are there."""

    def __init__(self, folder: Path) -> None:
        self.changes: list[str] = []
        self.alive = True
        self.least = 9

        def note(event: str, arguments: tuple) -> None:
            if self.alive and event in ('os.rename', 'os.remove'):
                path = Path(arguments[1] if event == 'os.rename' else arguments[0])
                if path.parent == folder and path.name.startswith(('iter_', 'best_', 'last_checkpoint')):
                    self.changes.append(f'{event[3:]} {path.name}')
                    there = len([*folder.glob('iter_*.pth')])
                    if len(self.changes) > 1:  # the audit comes before the change
                        self.least = min(self.least, there)

        sys.addaudithook(note)


def test_order_of_files(toy_root, tmp_path):
    """One checkpoint kept, saved at steps 2 and 4, validated at 3 and, being the last, at 4."""
    config = tiny_config(
        toy_root,
        tmp_path,
        train_cfg__val_interval=3,
        default_hooks__checkpoint__max_keep_ckpts=1,
        val_evaluator__thresholds=(0.5,),
    )
    files = _Files(tmp_path)
    train_tiny(config)
    files.alive = False
    pointer, best = 'rename last_checkpoint', 'rename best_vehicle_IoU@0.50_iter_3.pth'
    expected = ['rename iter_2.pth', pointer]
    expected += ['rename iter_3.pth', pointer, 'remove iter_2.pth']  # before the validation
    expected += [best, 'rename iter_3.pth', pointer]  # after it: the first score is the best so far
    expected += ['rename iter_4.pth', pointer, 'remove iter_3.pth']  # the last step's, which is the validation's
    expected += ['rename iter_4.pth', pointer]  # the score has not changed
    assert files.changes == expected
    assert files.least == 1  # from the first on there is one at any time
    info = torch.load(tmp_path / 'iter_4.pth', weights_only=True)['message_hub']['runtime_info']
    assert info['last_validated_iter'] == 4 and info['replaced_ckpts'] == []


def test_start_clears_what_a_kill_has_left(toy_root, tmp_path):
    """A kill after a file was written and before what it replaces was removed, and one in the middle of a write."""
    train_tiny(tiny_config(toy_root, tmp_path, train_cfg__max_iters=2))
    path = tmp_path / 'iter_2.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['message_hub']['runtime_info']['replaced_ckpts'] = ['iter_1.pth', '../outside.pth']
    checkpoint['message_hub']['runtime_info']['best_ckpt'] = str(tmp_path.parent / 'others.pth')
    torch.save(checkpoint, path)
    outside = [tmp_path.parent / name for name in ('outside.pth', 'others.pth')]
    for file in (tmp_path / 'iter_1.pth', tmp_path / '.iter_4.pth.123.tmp', *outside):
        file.touch()
    train_tiny(tiny_config(toy_root, tmp_path, resume=True))
    assert sorted(file.name for file in tmp_path.glob('iter_*')) == ['iter_2.pth', 'iter_4.pth']
    assert not [*tmp_path.rglob('.*.tmp')] and all(file.exists() for file in outside)


def test_disk_that_is_full_when_saving(toy_root, tmp_path):
    """The second checkpoint does not fit: a clear error, and the first is as it was."""
    saved = {}

    def fill(runner, batch_idx, **_):
        if batch_idx == 2:
            saved['content'] = (tmp_path / 'iter_2.pth').read_bytes()
            saved['limit'] = largest_file(100_000)
            saved['limit'].__enter__()

    try:
        with pytest.raises(SaveError, match=r'iter_4\.pth: cannot save \d\.\d MiB: File too large \([\d,.]+ MiB free'):
            train_tiny(tiny_config(toy_root, tmp_path, **NO_VALIDATION), hook(after_train_iter=fill))
    finally:
        saved['limit'].__exit__(None, None, None)
    assert (tmp_path / 'iter_2.pth').read_bytes() == saved['content']
    assert Path((tmp_path / 'last_checkpoint').read_text()) == tmp_path / 'iter_2.pth'
    assert not [*tmp_path.rglob('.*.tmp')]


def test_epochs_are_refused(toy_root, tmp_path):
    with pytest.raises(ValueError, match='by_epoch: expected False'):
        tiny_runner(tiny_config(toy_root, tmp_path, default_hooks__checkpoint__by_epoch=True))
