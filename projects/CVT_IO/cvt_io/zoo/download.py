"""Published weight files: fetched, checked, and only then given their names. Nothing is unpickled."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from tqdm import tqdm

from .catalogue import REPOSITORY, WeightFile
from .part_file import PartFile
from .transport import DownloadError, Stream, open_stream
from .verify import is_intact, sha256_of

#: Environment variable: http, https or file URL of a folder with the weight files under their names.
MIRROR = 'CVT_IO_ZOO_MIRROR'


def download(weights: WeightFile, dest: Path, quiet: bool = False, stall_seconds: float = 30) -> Path:
    """Puts a weight file into a folder, unless it is there already; goes on where a broken download ended.

    Args:
        weights: what to fetch; from where, :func:`source_url` says.
        dest: the folder; made if need be.
        quiet: no progress bar; there is none either where stderr is no terminal.
        stall_seconds: how long to wait for a server that sends nothing.

    Returns:
        Path of the file. Its length and SHA-256 are those of the catalogue.

    Raises:
        DownloadError: the file cannot be had or written, or is not the published one. What came of it until then stays
            in ``<name>.part``, unless it is proven wrong.
    """
    url = source_url(weights)
    target = dest / weights.name
    try:
        if is_intact(target, weights):
            return target
        dest.mkdir(parents=True, exist_ok=True)
        with PartFile(target) as part:
            if is_intact(target, weights):  # by a download that this one waited for
                part.discard()
            else:
                _complete(part, url, weights, quiet, stall_seconds)
    except OSError as error:  # those of the network are DownloadErrors by now
        path, reason = error.filename or target, error.strerror or error
        raise DownloadError(f'{path}: cannot be read or written: {reason}') from error
    return target


def source_url(weights: WeightFile) -> str:
    """Where a file is fetched: in the mirror's folder, at its own URL, or in this checkout.

    Raises:
        DownloadError: the mirror is no URL of a folder.
    """
    mirror = os.environ.get(MIRROR)
    if mirror:
        return _in_folder(mirror, weights.name)
    if urlsplit(weights.location).scheme:
        return weights.location
    return (REPOSITORY / weights.location).as_uri()


def _in_folder(mirror: str, name: str) -> str:
    try:
        parts = urlsplit(mirror)
        if parts.scheme not in ('http', 'https', 'file'):
            raise ValueError(f'found {mirror}')
        if parts.username is not None:
            raise ValueError('found one with a user in it')  # and perhaps a password, which is not for the screen
    except ValueError as error:
        raise DownloadError(f'{MIRROR}: expected an http, https or file URL of a folder: {error}') from error
    return parts._replace(path=f'{parts.path.rstrip("/")}/{quote(name)}').geturl()


def _complete(part: PartFile, url: str, weights: WeightFile, quiet: bool, stall_seconds: float) -> None:
    """Fetches what is missing, checks the whole and gives it its name."""
    resumed = _fetch(part, url, weights, quiet, stall_seconds)
    if resumed and sha256_of(part.path) != weights.sha256:
        # The bytes from before were another file's, of a server that does not tell its files apart by ETag.
        part.restart(etag=None)
        _fetch(part, url, weights, quiet, stall_seconds)
    found = sha256_of(part.path)
    if found != weights.sha256:
        part.discard()
        raise DownloadError(f'{url}: expected SHA-256 {weights.sha256}, found {found}; the file was removed')
    part.finish()


def _fetch(part: PartFile, url: str, weights: WeightFile, quiet: bool, stall_seconds: float) -> bool:
    """Brings the part to its full length; returns whether bytes from before are in it."""
    start = part.size
    if start == weights.size:
        return True
    stream = open_stream(url, start if start < weights.size else 0, part.etag, stall_seconds)
    try:
        if stream.size not in (None, weights.size):
            raise DownloadError(f'{url}: expected {weights.size} bytes, the file there has {stream.size}')
        if not stream.start:
            part.restart(stream.etag)
        _copy(stream, part, weights, quiet)
    finally:
        stream.body.close()
    if part.size < weights.size:
        raise DownloadError(
            f'{url}: ended after {part.size} of {weights.size} bytes; the same command again goes on from there'
        )
    return stream.start > 0


def _copy(stream: Stream, part: PartFile, weights: WeightFile, quiet: bool) -> None:
    with tqdm(
        desc=weights.name,
        initial=stream.start,
        total=weights.size,
        unit='B',
        unit_scale=True,
        file=sys.stderr,
        disable=True if quiet else None,  # None: unless stderr is a terminal
    ) as bar:
        for data in stream.chunks(weights.size - stream.start):
            part.append(data)
            bar.update(len(data))
