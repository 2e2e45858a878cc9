"""Loading pre-trained weights from a file or URL with ``weights_only=True``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor


class PretrainedError(RuntimeError):
    """Pre-trained weights cannot be loaded or do not fit the architecture."""


def load_pretrained(checkpoint: str, prefix: str = '') -> dict[str, Tensor]:
    """Reads a state dict.

    Args:
        checkpoint: path or http(s) URL. A download is verified against the SHA-256 prefix at the end of the file name,
            and cached in torch's hub folder.
        prefix: only keys with this prefix are returned, without it.

    Raises:
        PretrainedError: the file cannot be fetched or read; the message explains how to continue without it.
    """
    try:
        if urlparse(checkpoint).scheme in ('http', 'https'):
            state = torch.hub.load_state_dict_from_url(
                checkpoint, map_location='cpu', check_hash=True, weights_only=True
            )
        else:
            state = torch.load(checkpoint, map_location='cpu', weights_only=True)
    except Exception as error:  # download, disk and format errors share no base class
        name = Path(urlparse(checkpoint).path).name
        raise PretrainedError(
            f'pre-trained weights {checkpoint} could not be loaded ({type(error).__name__}: {error}).\n'
            f'Download {name} elsewhere and add --cfg-options model.backbone.init_cfg.checkpoint=PATH/{name}, '
            'or train from random weights with --cfg-options model.backbone.init_cfg=None.'
        ) from error
    state = state.get('state_dict', state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise PretrainedError(f'{checkpoint}: expected a state dict of tensors, found {type(state).__name__}')
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
