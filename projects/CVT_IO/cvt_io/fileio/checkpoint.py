"""Checkpoints: read without running anything that is in them, and held against the model that they are for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, is_zipfile

import torch
from torch import Tensor, nn

from ..errors import DataError
from . import check_pickles

#: BatchNorm counts its batches for a mode that is not used here; files of other origins do without the counters.
_IGNORED = 'num_batches_tracked'
_NAMED = 3
_DAMAGED = 'truncated, damaged or no checkpoint at all'


class CheckpointError(DataError):
    """A checkpoint is missing, unreadable or another model's."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Content of a checkpoint file: mmengine's keys, of which ``state_dict`` and ``meta`` are there in any case.

    Args:
        path: a checkpoint of mmengine's, or a plain state dict.

    Raises:
        CheckpointError: the file is missing, a URL or no checkpoint, or holds Python objects, which are not loaded.
    """
    if '://' in str(path):  # mmengine fetches such a thing, and unpickles it with all that is in it
        raise CheckpointError(f'{path}: expected a file, found a URL; fetch it first')
    try:
        mapped = is_zipfile(path)
        source: str | Path | BytesIO
        if mapped:
            _check_archive(path)
            source = path
        else:
            # Before PyTorch 1.6: four pickles and one of the storages' names. Read from memory, which gives what there
            # is, where a file gives room for what it claims.
            data = Path(path).read_bytes()
            check_pickles(data, str(path), count=5)
            source = BytesIO(data)
        # A mapped file is read when a tensor is: shapes alone cost nothing.
        content = torch.load(source, map_location='cpu', weights_only=True, mmap=mapped)
    except DataError as error:
        detail = str(error).removeprefix(f'{path}: ')
        raise CheckpointError(f'{path}: cannot read checkpoint: {_DAMAGED} ({detail})') from error
    except FileNotFoundError as error:
        raise CheckpointError(f'{path}: no such checkpoint') from error
    except Exception as error:  # disk, format and unpickling errors have no common base class
        raise CheckpointError(f'{path}: cannot read checkpoint: {_cause(error)}') from error
    if not isinstance(content, dict) or 'state_dict' not in content:
        content = {'state_dict': content}
    state = content['state_dict']
    if not isinstance(state, Mapping) or not state:
        found = 'an empty one' if isinstance(state, Mapping) else type(state).__name__
        raise CheckpointError(f'{path}: expected a state dict of tensors, found {found}')
    others = [str(key) for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if others:
        raise CheckpointError(f'{path}: expected a state dict of tensors, found other values: {_first(others)}')
    content = {'meta': {}} | content
    if not isinstance(content['meta'], Mapping):
        raise CheckpointError(f'{path}: meta: expected a dictionary, found {type(content["meta"]).__name__}')
    return content


def _check_archive(path: str | Path) -> None:
    """Sees that nothing in an archive is packed (PyTorch reserves what it claims to become), and tries its pickle."""
    size = Path(path).stat().st_size
    with ZipFile(path) as archive:
        entries = archive.infolist()
        packed = [entry.filename for entry in entries if entry.compress_type != ZIP_STORED or entry.file_size > size]
        if packed:
            raise DataError(f'{path}: expected entries that are stored as they are, found packed {_first(packed)}')
        for entry in entries:
            if entry.filename.endswith('data.pkl'):
                check_pickles(archive.read(entry), str(path))


def check_weights(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint that must be the model's: every key, no other key, the same shapes.

    BatchNorm's counters of batches may be missing.

    Returns:
        As :func:`read_checkpoint`.

    Raises:
        CheckpointError: as there, or it is another model's; says how many keys differ and names the first few.
    """
    checkpoint = read_checkpoint(path)
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items() if not key.endswith(_IGNORED)}
    found = {key: tuple(value.shape) for key, value in checkpoint['state_dict'].items() if not key.endswith(_IGNORED)}
    differences = {
        'missing': [key for key in expected if key not in found],
        'unexpected': [key for key in found if key not in expected],
        'of another shape': [
            f'{key}: {found[key]} for {shape}' for key, shape in expected.items() if found.get(key, shape) != shape
        ],
    }
    if any(differences.values()):
        text = '; '.join(f'{len(keys)} {what} ({_first(keys)})' for what, keys in differences.items() if keys)
        raise CheckpointError(f"{path}: keys differ from the model's: {text}; is it a checkpoint of this config?")
    return checkpoint


def load_weights(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Loads a checkpoint into a model.

    Returns:
        The checkpoint's ``meta``; empty for a plain state dict.

    Raises:
        CheckpointError: as :func:`check_weights`; the model is as it was.
    """
    checkpoint = check_weights(model, path)
    model.load_state_dict(checkpoint['state_dict'], strict=False)
    return checkpoint['meta']


def check_resumable(model: nn.Module, path: str | Path) -> None:
    """Sees that training can go on from a checkpoint, as mmengine would tacitly start with a new optimizer.

    Raises:
        CheckpointError: as :func:`check_weights`, or it holds weights alone.
    """
    if 'optimizer' not in check_weights(model, path):  # as best_*.pth and published files
        raise CheckpointError(
            f'{path}: no optimizer state, so training cannot go on from it; resume from an iter_*.pth, or start a new '
            f'run with these weights: --cfg-options load_from={path}'
        )


def _first(names: list[str]) -> str:
    return ', '.join(names[:_NAMED]) + (', …' if len(names) > _NAMED else '')


def _cause(error: Exception) -> str:
    """Why PyTorch does not load a file."""
    refused = re.search(r'GLOBAL (\S+)', str(error))
    if refused:
        return f'expected tensors and plain containers, found Python objects ({refused[1]:.100}), which are not loaded'
    return getattr(error, 'strerror', None) or _DAMAGED
