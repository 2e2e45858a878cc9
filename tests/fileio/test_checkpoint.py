"""Checkpoints that fit, and one clear line about every one that does not."""

from __future__ import annotations

import pathlib

import pytest
import torch
from torch import nn

from projects.CVT_IO.cvt_io.fileio.checkpoint import CheckpointError, check_resumable, load_weights, read_checkpoint


def model(channels: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, channels, 1), nn.BatchNorm2d(channels))


def save(content: object, path: pathlib.Path, **options) -> pathlib.Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('wrap', [lambda state: state, lambda state: dict(state_dict=state, meta=dict(iter=7))])
def test_loads_both_kinds(tmp_path, wrap, zipped):
    source, target = model(), model()
    content = wrap(source.state_dict())
    meta = load_weights(target, save(content, tmp_path / 'x.pth', _use_new_zipfile_serialization=zipped))
    assert meta == content.get('meta', {})
    for key, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[key], value)


def test_counters_of_batches_do_not_matter(tmp_path):
    state = model().state_dict()
    counter = state.pop('1.num_batches_tracked')
    load_weights(model(), save(state, tmp_path / 'without.pth'))
    conv = {key: value for key, value in state.items() if key.startswith('0')}
    path = save(conv | {'9.num_batches_tracked': counter}, tmp_path / 'with.pth')
    load_weights(nn.Sequential(nn.Conv2d(3, 4, 1)), path)


def test_another_models_checkpoint_names_what_differs(tmp_path):
    """All six of its keys have five channels for four; two layers are missing, and one key is too many."""
    other = nn.Sequential(*model(5), *(nn.Linear(2, 2) for _ in range(2)))
    path = save(model().state_dict() | {'more': torch.zeros(1)}, tmp_path / 'x.pth')
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_weights(other, path)
    assert str(error.value) == (
        f"{path}: keys differ from the model's: 4 missing (2.weight, 2.bias, 3.weight, …); 1 unexpected (more); "
        '6 of another shape (0.weight: (4, 3, 1, 1) for (5, 3, 1, 1), 0.bias: (4,) for (5,), 1.weight: (4,) for (5,), '
        '…); is it a checkpoint of this config?'
    )
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'cannot read checkpoint: truncated, damaged or not'),
        (b'hello, this is a text file\n', 'cannot read checkpoint: truncated, damaged or not'),
        (b'\x89PNG\r\n\x1a\n' + bytes(64), 'cannot read checkpoint: truncated, damaged or not'),
        ([1, 2], 'expected a state dict of tensors, found list'),
        (torch.ones(2), 'expected a state dict of tensors, found Tensor'),
        ({'state_dict': torch.ones(0)}, 'expected a state dict of tensors, found Tensor'),
        ({}, 'expected a state dict of tensors, found an empty one'),
        ({'state_dict': None}, 'expected a state dict of tensors, found NoneType'),
        ({'a': torch.zeros(1), 'b': 1, 3: 2}, "expected a state dict of tensors, found other values: 'b', 3"),
        ({'state_dict': {}, 'x': pathlib.PurePosixPath('x')}, r'found a Python object \(pathlib.* not loaded'),
    ],
)
def test_no_checkpoint(tmp_path, content, message):
    path = tmp_path / 'x.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save(content, path)
    with pytest.raises(CheckpointError, match=rf'^{path}: .*{message}') as error:
        read_checkpoint(path)
    assert '\n' not in str(error.value)


def test_truncated_legacy_file(tmp_path):
    path = save(model().state_dict(), tmp_path / 'x.pth', _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(CheckpointError, match=r'truncated|unreadable pickle'):
            read_checkpoint(path)


@pytest.mark.parametrize(('name', 'message'), [('none.pth', 'No such file'), ('.', 'Is a directory')])
def test_missing_file_and_folder(tmp_path, name, message):
    with pytest.raises(CheckpointError, match=f'{tmp_path / name}: cannot read checkpoint: {message}'):
        read_checkpoint(tmp_path / name)


def test_weights_alone_cannot_be_resumed(tmp_path):
    weights = dict(state_dict=model().state_dict(), meta={})
    check_resumable(model(), save(weights | dict(optimizer={}), tmp_path / 'iter_1.pth'))
    path = save(weights, tmp_path / 'best.pth')
    with pytest.raises(CheckpointError, match=rf'^{path}: no optimizer state, so .* load_from={path}$'):
        check_resumable(model(), path)
