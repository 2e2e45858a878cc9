"""The catalogue of the model zoo: ``projects/CVT_IO/metafile.yml``, in OpenMMLab's model-index schema."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from ..errors import DataError

REPOSITORY = Path(__file__).resolve().parents[4]
METAFILE = REPOSITORY / 'projects/CVT_IO/metafile.yml'
HOW_TO_CONVERT = 'docs/model_zoo.md'

OUR_IOU = 'Vehicle IoU@0.50'
NOTES_IOU = f'{OUR_IOU} of the original notes'

_NAME = re.compile(r'[a-zA-Z0-9][\w.-]*', re.ASCII)
_SHA256 = re.compile(r'[0-9a-f]{64}')


@dataclass(frozen=True)
class WeightFile:
    """A published file.

    Attributes:
        location: path relative to the repository's root, or http, https or file URL.
        sha256: of the whole file, 64 lower-case hexadecimal digits; the file's name ends in the first eight.
        size: bytes.
    """

    location: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name, without a folder."""
        return PurePosixPath(unquote(urlsplit(self.location).path)).name


@dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Attributes:
        config: path of its config, relative to the repository's root.
        weights: None if none are published.
        metrics: results by their names in the catalogue, which state their origin.
    """

    name: str
    config: str
    weights: WeightFile | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def read_catalogue(path: Path = METAFILE) -> dict[str, Entry]:
    """Entries by name, in the order of the file.

    Raises:
        DataError: the file is missing or not a catalogue; names model and key, what was expected and what was found.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise DataError(f'{path}: cannot be read: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: expected YAML, found: {" ".join(str(error).split())}') from error
    models = content.get('Models') if isinstance(content, dict) else None
    if not isinstance(models, list):
        raise DataError(f'{path}: expected a list of models under the key Models, found {type(models).__name__}')
    entries: dict[str, Entry] = {}
    for number, model in enumerate(models, start=1):
        try:
            entry = _entry(model)
            if entry.name in entries:
                raise ValueError('expected a unique name, found a duplicate')
        except ValueError as error:
            name = model.get('Name') if isinstance(model, dict) else None
            raise DataError(f'{path}: model {name or number}: {error}') from error
        entries[entry.name] = entry
    return entries


def find(catalogue: Mapping[str, Entry], name: str) -> Entry:
    """The entry of a name.

    Raises:
        DataError: there is none; suggests similar names, or all.
    """
    if name not in catalogue:
        near = difflib.get_close_matches(name, catalogue)
        hint = f'did you mean {" or ".join(near)}?' if near else f'expected one of {", ".join(catalogue)}'
        raise DataError(f'{name}: no such model in the zoo; {hint}')
    return catalogue[name]


def published_weights(catalogue: Mapping[str, Entry], name: str) -> WeightFile:
    """The weight file of a model.

    Raises:
        DataError: there is no such model, or it has no published weights.
    """
    weights = find(catalogue, name).weights
    if weights is None:
        raise DataError(
            f'{name}: no weights are published; see {HOW_TO_CONVERT} for how to convert an original checkpoint'
        )
    return weights


def _entry(model: Any) -> Entry:
    if not isinstance(model, dict):
        raise ValueError(f'expected keys and values, found {type(model).__name__}')
    name = _value(model, 'Name', str, 'a name')
    if not _NAME.fullmatch(name):
        raise ValueError(f'Name: expected letters, digits, ".", "_" and "-", found {name!r}')
    config = _value(model, 'Config', str, 'a path')
    _check_inside_repository('Config', config)
    metrics: dict[str, float] = {}
    for result in _value(model, 'Results', list, 'a list', default=[]):
        figures = _value(result, 'Metrics', dict, 'names and numbers')
        metrics |= {name: _value(figures, name, (int, float), 'a number') for name in figures}
    return Entry(name, config, _weights(model) if 'Weights' in model else None, metrics)


def _weights(model: dict) -> WeightFile:
    metadata = _value(model, 'Metadata', dict, 'keys and values')
    weights = WeightFile(
        location=_value(model, 'Weights', str, 'a path or URL'),
        # Without quotes YAML may take the digits for a number.
        sha256=_value(metadata, 'SHA-256', str, '64 hexadecimal digits in quotes'),
        size=_value(metadata, 'Size (bytes)', int, 'a number of bytes'),
    )
    scheme = urlsplit(weights.location).scheme
    if not scheme:
        _check_inside_repository('Weights', weights.location)
    elif scheme not in ('http', 'https', 'file'):
        raise ValueError(f'Weights: expected a path or an http, https or file URL, found {weights.location!r}')
    if not _SHA256.fullmatch(weights.sha256):
        raise ValueError(f'SHA-256: expected 64 lower-case hexadecimal digits, found {weights.sha256!r}')
    if weights.size <= 0:
        raise ValueError(f'Size (bytes): expected a positive number, found {weights.size}')
    ending = f'-{weights.sha256[:8]}.pth'
    if not _NAME.fullmatch(weights.name) or not weights.name.endswith(ending):
        raise ValueError(
            f'Weights: expected a file name of letters and digits that ends in {ending} '
            f'(the SHA-256), found {weights.name!r}'
        )
    return weights


def _value(record: Any, key: str, kind: type | tuple[type, ...], expected: str, default: Any = None) -> Any:
    """A value of a record, which must be of the kind; booleans do not count as numbers."""
    value = record.get(key, default) if isinstance(record, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f'{key}: expected {expected}, found {value!r}')
    return value


def _check_inside_repository(key: str, location: str) -> None:
    path = PurePosixPath(location)
    if path.is_absolute() or '..' in path.parts or '\\' in location:
        raise ValueError(f"{key}: expected a path relative to the repository's root, found {location!r}")
