"""Published checkpoints, reduced to weights and metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..fileio.atomic import write_result

#: Keys of a checkpoint's ``meta`` that are kept, besides the plug-in's version.
META_KEYS = ('cfg', 'dataset_meta', 'mmengine_version', 'iter', 'converted_from')
HASH_DIGITS = 8


def publish(path: Path, state: Mapping[str, Tensor], meta: Mapping[str, Any], hash_in_name: bool = True) -> Path:
    """Writes a published checkpoint: ``dict(meta, state_dict)``, which loads with ``weights_only=True``.

    Equal weights and meta give equal bytes.

    Args:
        path: file to write; its folder is created if needed.
        state: the weights.
        meta: only :data:`META_KEYS` and ``version`` are kept.
        hash_in_name: whether the name becomes ``<name>-<first 8 digits of the file's SHA-256>.pth``.

    Returns:
        the file.
    """
    content = dict(
        meta={key: meta[key] for key in ('version', *META_KEYS) if key in meta},
        state_dict={key: value.detach().cpu().contiguous().clone() for key, value in state.items()},
    )
    stream = BytesIO()
    torch.save(content, stream)
    data = stream.getvalue()
    if hash_in_name:
        digits = hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
        path = path.with_name(f'{path.name.removesuffix(".pth")}-{digits}.pth')  # with_suffix cuts `cvt_v1.5` short
    write_result(path, data)
    return path


def non_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Keys of the tensors that hold NaN or infinity."""
    return [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
