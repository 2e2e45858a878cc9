"""Pre-trained weights from a file or a URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

from torch import Tensor, hub  # noqa: TID251 - names of torch's hub only

from ..errors import DataError
from ..fileio.checkpoint import read_checkpoint
from ..fileio.download import download_file


class PretrainedError(DataError):
    """Pre-trained weights cannot be read, or are of another architecture."""


def load_pretrained(checkpoint: str, prefix: str = '') -> dict[str, Tensor]:
    """Reads a state dict.

    Args:
        checkpoint: path, or http(s) URL. A download is checked against the SHA-256 digits at the end of the file's
            name, and kept in torch's hub folder.
        prefix: only keys with this prefix are returned, without it; all if there are none.

    Raises:
        PretrainedError: the file cannot be downloaded or read; the message names the alternatives.
    """
    url = urlparse(checkpoint)
    name = Path(url.path).name
    try:
        path = Path(hub.get_dir(), 'checkpoints', name) if url.scheme in ('http', 'https') else Path(checkpoint)
        if url.scheme in ('http', 'https') and not path.is_file():
            digits = hub.HASH_REGEX.search(name)
            download_file(checkpoint, path, digits[1] if digits else '', progress=True)
        state = read_checkpoint(path)['state_dict']
    except DataError as error:
        raise PretrainedError(
            f'pre-trained weights {checkpoint} could not be loaded ({error}); download {name} by other means and add '
            f'--cfg-options model.backbone.init_cfg.checkpoint=PATH/{name}, or train from random weights with '
            '--cfg-options model.backbone.init_cfg=None'
        ) from error
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)} or state
