"""Reading of JSON tables, with errors that name the file, the record and the key."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError

Record = dict[str, Any]


def read_json(path: Path, hook: Callable[[Record], Record | None] | None = None) -> Any:
    """Content of a JSON file, with or without a byte-order mark.

    Args:
        path: the file.
        hook: what becomes of each object while the file is parsed.

    Raises:
        DataError: the file is missing, unreadable or not JSON.
    """
    try:
        text = path.read_bytes().decode().removeprefix('\ufeff')
        with no_garbage_collection():
            return json.loads(text, object_hook=hook)
    except OSError as error:
        raise DataError(f'{path}: cannot read file: {error.strerror}') from error
    except ValueError as error:
        raise DataError(f'{path}: unreadable JSON: {error}') from error
    except RecursionError as error:
        raise DataError(f'{path}: unreadable JSON: lists or objects nested too deeply') from error


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Avoids repeated garbage collection over millions of records, which have no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Table:
    """The records of one JSON table, in the file's order.

    Args:
        path: the table's file.
        keys: keys that every record must have.
        optional: further keys to keep if present; all others are dropped while the file is read.
        drop: records for which it is true are dropped, too; they may lack keys.

    Raises:
        DataError: the file is unreadable, is not a list of records, or a record lacks a key.
    """

    def __init__(
        self,
        path: Path,
        keys: Iterable[str],
        optional: Iterable[str] = (),
        drop: Callable[[Record], bool] | None = None,
    ) -> None:
        kept = ('token', *keys, *optional)

        def slim(record: Record) -> Record | None:
            if drop is not None and drop(record):
                return None
            return {key: record[key] for key in kept if key in record}

        self.path = path
        self.records: list[Record] = as_records(read_json(path, slim), ('token', *keys), path)
        self._by_token = {record['token']: record for record in self.records}

    def get(self, token: str, referrer: str = 'another table') -> Record:
        """Record of a token.

        Raises:
            DataError: there is none; names the referrer.
        """
        try:
            return self._by_token[token]
        except (KeyError, TypeError):
            raise DataError(
                f'{self.path}: no record with token {token!r:.60}, which {referrer} refers to; '
                'the tables are incomplete or not of one set: copy or export them again'
            ) from None

    def follow(self, record: Record, key: str, target: Table) -> Record:
        """Record of another table that a record of this one refers to.

        Raises:
            DataError: there is none; names both tables and the record.
        """
        return target.get(record[key], f'{key} of record {record["token"]!r} of {self.path.name}')

    def numbers(self, record: Record, key: str, *shape: int) -> np.ndarray:
        """A value of a record as a float64 array of the given shape.

        Raises:
            DataError: it is not such an array of finite numbers.
        """
        try:
            array = np.asarray(record[key], dtype=np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != shape or not np.isfinite(array).all():
            as_matrix = ', a quaternion (w, x, y, z) and not a matrix' if array.shape == (3, 3) != shape else ''
            raise self.error(record, key, f'{"×".join(map(str, shape))} finite numbers{as_matrix}')
        return array

    def error(self, record: Record, key: str, expected: str) -> DataError:
        """Error about one value of one record."""
        value = f'{record[key]!r:.200}'
        return DataError(f'{self.path}: record {record["token"]!r}: expected {key} of {expected}, got {value}')


def as_records(content: Any, keys: Iterable[str], path: Path, what: str = 'table') -> list[Record]:
    """The records of a list without the dropped ones (``None``), each with all keys.

    Raises:
        DataError: it is not a list of records, or a record lacks a key.
    """
    if not isinstance(content, list):
        raise DataError(f'{path}: expected {what} to be a list of records, found {type(content).__name__}')
    keys = tuple(keys)
    records = [record for record in content if record is not None]
    for record in records:
        if not isinstance(record, dict):
            raise DataError(f'{path}: expected {what} to be a list of records, found the entry {record!r:.60}')
        for key in keys:
            if key not in record:
                raise DataError(f'{path}: {what}: record {record.get("token")!r} has no key {key!r}')
    return records
