"""Downloads that appear under their name only if they are complete and have the expected SHA-256."""

from __future__ import annotations

import socket  # noqa: TID251 - the one place that downloads
from http.client import HTTPException  # noqa: TID251 - the one place that downloads
from pathlib import Path

from torch.hub import download_url_to_file  # noqa: TID251 - the one place that downloads

from ..errors import DataError

_STALL_SECONDS = 30.0


class DownloadError(DataError):
    """A file cannot be downloaded, or is not the expected one."""


def download_file(url: str, path: Path, sha256: str, progress: bool = False) -> None:
    """Downloads a file.

    Args:
        url: http, https or file URL.
        path: file to write, atomically; its folder is created if needed.
        sha256: hexadecimal digits with which the SHA-256 of the content must begin.
        progress: whether to show a progress bar on stderr.

    Raises:
        DownloadError: the server cannot be reached or refuses, the content has another hash, or the file cannot be
            written. Whatever was at ``path`` before is unchanged.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALL_SECONDS)  # torch sets none, so a silent server would block forever
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(path.absolute()), hash_prefix=sha256, progress=progress)
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise DownloadError(f'{url}: cannot download to {path}: {reason}') from error
    finally:
        socket.setdefaulttimeout(timeout)
