"""Checkpoints for other people: weights and what they are, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..labels.io import write_atomic

#: What of a checkpoint's ``meta`` is kept, beside the plug-in's version.
META_KEYS = ('cfg', 'dataset_meta', 'mmengine_version', 'iter', 'converted_from')
HASH_DIGITS = 8


def publish(path: Path, state: Mapping[str, Tensor], meta: Mapping[str, Any], hash_in_name: bool = True) -> Path:
    """Writes a published checkpoint: ``dict(meta, state_dict)``, which loads with ``weights_only=True``.

    Equal weights and meta give equal bytes.

    Args:
        path: file to write; its suffix becomes ``.pth``.
        state: the weights.
        meta: of which :data:`META_KEYS` and ``version`` are kept.
        hash_in_name: whether ``-<first 8 digits of the file's SHA-256>`` is added to the name.

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
    digest = f'-{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}' if hash_in_name else ''
    # Not with_suffix, which would cut `cvt_v1.5` short.
    target = path.with_name(path.name.removesuffix('.pth') + digest + '.pth')
    write_atomic(target, data)
    return target
