"""Reading of checkpoints, none of which can execute code, and checks that they fit a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import DataError
from .restricted_pickle import short
from .torch_file import read_torch_file

#: BatchNorm counts batches for a mode that is not used here; files of other origin may lack the counters.
_IGNORED = 'num_batches_tracked'
_NAMED = 3


class CheckpointError(DataError):
    """A checkpoint is missing, unreadable or of another model."""


def read_checkpoint(path: str | Path, strict: bool = True) -> dict[str, Any]:
    """Content of a checkpoint file: mmengine's keys, of which ``state_dict`` and ``meta`` are always present.

    Args:
        path: a checkpoint with a ``state_dict``, or a plain state dict.
        strict: whether Python objects beside the weights are an error. They are never built.

    Raises:
        CheckpointError: the file is missing, a URL, damaged or not a checkpoint, or holds Python objects.
    """
    if '://' in str(path):  # mmengine would download and unpickle it
        raise CheckpointError(f'{path}: expected a file, found a URL; download it first')
    try:
        content = read_torch_file(path, strict)
    except DataError as error:
        reason = str(error).removeprefix(f'{path}: ')
        raise CheckpointError(f'{path}: cannot read checkpoint: {reason}') from error
    if not isinstance(content, dict) or 'state_dict' not in content:
        content = {'state_dict': content}
    state = content['state_dict']
    if not isinstance(state, Mapping) or not state:
        found = 'an empty one' if isinstance(state, Mapping) else type(state).__name__
        raise CheckpointError(f'{path}: expected a state dict of tensors, found {found}')
    others = [short(key) for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if others:
        raise CheckpointError(f'{path}: expected a state dict of tensors, found other values: {_first(others)}')
    content = {'meta': {}} | content
    if not isinstance(content['meta'], Mapping):
        raise CheckpointError(f'{path}: meta: expected a dictionary, found {type(content["meta"]).__name__}')
    return content


def check_weights(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint that must have exactly the keys and shapes of the model.

    BatchNorm's batch counters may be missing.

    Returns:
        As :func:`read_checkpoint`.

    Raises:
        CheckpointError: as there, or keys or shapes differ; says how many and names the first few.
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
        CheckpointError: as :func:`check_weights`; the model is unchanged.
    """
    checkpoint = check_weights(model, path)
    model.load_state_dict(checkpoint['state_dict'], strict=False)
    return checkpoint['meta']


def check_resumable(model: nn.Module, path: str | Path) -> None:
    """Checks that training can resume from a checkpoint; without one, mmengine silently creates a new optimizer.

    Raises:
        CheckpointError: as :func:`check_weights`, or the file holds only weights.
    """
    if 'optimizer' not in check_weights(model, path):  # as best_*.pth and published files
        raise CheckpointError(
            f'{path}: no optimizer state, so training cannot resume from it; resume from an iter_*.pth, or start a '
            f'new run with these weights: --cfg-options load_from={path}'
        )


def _first(names: list[str]) -> str:
    return ', '.join(names[:_NAMED]) + (', …' if len(names) > _NAMED else '')
