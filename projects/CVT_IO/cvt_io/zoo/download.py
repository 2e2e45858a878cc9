"""Download of published weight files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from ..fileio.download import DownloadError, download_file
from .catalogue import REPOSITORY, WeightFile
from .verify import is_intact

#: Environment variable: http, https or file URL of a folder that holds the weight files.
MIRROR = 'CVT_IO_ZOO_MIRROR'


def download(weights: WeightFile, dest: Path, quiet: bool = False) -> Path:
    """Downloads a weight file into a folder, unless it is already there.

    Args:
        weights: the file, fetched from :func:`source_url`.
        dest: the folder; created if needed.
        quiet: no progress bar. There is none either if stderr is not a terminal.

    Returns:
        Path of the file, whose SHA-256 is the one in the catalogue.

    Raises:
        DownloadError: as :func:`.download_file`.
    """
    target = dest / weights.name
    if not is_intact(target, weights):
        download_file(source_url(weights), target, weights.sha256, progress=not quiet and sys.stderr.isatty())
    return target


def source_url(weights: WeightFile) -> str:
    """URL of a file: in the mirror's folder if one is set, else its own, or that of the file in this checkout.

    Raises:
        DownloadError: the mirror is not the URL of a folder.
    """
    mirror = os.environ.get(MIRROR)
    if mirror:
        return _in_folder(mirror, weights.name)
    if urlsplit(weights.location).scheme:
        return weights.location
    return (REPOSITORY / weights.location).as_uri()


def _in_folder(mirror: str, name: str) -> str:
    expected = f'{MIRROR}: expected an http, https or file URL of a folder'
    try:
        parts = urlsplit(mirror)
    except ValueError as error:
        raise DownloadError(f'{expected}: {error}') from error
    if parts.username is not None:  # and perhaps a password, which must not be shown
        raise DownloadError(f'{expected}, found one that contains a user name')
    if parts.scheme not in ('http', 'https', 'file'):
        raise DownloadError(f'{expected}, found {mirror}')
    return parts._replace(path=f'{parts.path.rstrip("/")}/{quote(name)}').geturl()
