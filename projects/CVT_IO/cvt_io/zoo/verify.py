"""Identification of weight files by their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import DataError
from .catalogue import Entry, WeightFile

# The naming scheme of OpenMMLab's tools: <model>-<first eight digits of the file's SHA-256>.pth
_DIGITS_IN_NAME = re.compile(r'.*-([0-9a-f]{8})\.pth')


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_intact(path: Path, weights: WeightFile) -> bool:
    """Whether a file exists and is the published one, byte for byte."""
    return path.is_file() and path.stat().st_size == weights.size and sha256_of(path) == weights.sha256


def identify(path: Path, catalogue: Mapping[str, Entry]) -> str:
    """Describes a file in one sentence, by the catalogue or else by the digits in its name.

    Raises:
        DataError: the content does not match the name, or there is nothing to compare with.
    """
    if not path.is_file():
        raise DataError(f'{path}: {"expected a file, found a folder" if path.is_dir() else "no such file"}')
    found = sha256_of(path)
    published = {entry.name: entry.weights for entry in catalogue.values() if entry.weights is not None}
    for name, weights in published.items():
        if weights.sha256 == found:
            return f"{path}: the zoo's {name} (SHA-256 {found})"
    for name, weights in published.items():
        if weights.name == path.name:
            raise DataError(
                f"{path}: not the zoo's {name}: expected SHA-256 {weights.sha256} and {weights.size} bytes, "
                f'found {found} and {path.stat().st_size} bytes'
            )
    digits = _DIGITS_IN_NAME.fullmatch(path.name)
    if digits is None:
        raise DataError(f'{path}: not in the zoo, and no digits in the name to compare with; its SHA-256 is {found}')
    if not found.startswith(digits[1]):
        raise DataError(f'{path}: expected a SHA-256 that begins with {digits[1]}, as its name says, found {found}')
    return f'{path}: not in the zoo; the content matches the digits in the name (SHA-256 {found})'
