"""Reading one nuScenes table, with errors that name the file, the record and the key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError

Record = dict[str, Any]


def read_json(path: Path, drop: Callable[[Record], bool] | None = None) -> Any:
    """Content of a JSON file; objects for which ``drop`` is true become None while the file is parsed.

    Raises:
        DataError: the file is missing, unreadable or no JSON.
    """
    hook = None if drop is None else lambda record: None if drop(record) else record
    try:
        with path.open(encoding='utf-8') as file:
            return json.load(file, object_hook=hook)
    except OSError as error:
        raise DataError(f'{path}: cannot read file: {error.strerror}') from error
    except ValueError as error:
        raise DataError(f'{path}: unreadable JSON: {error}') from error
    except RecursionError as error:
        raise DataError(f'{path}: unreadable JSON: lists or objects within each other without end') from error


class Table:
    """The records of one JSON table, in the file's order.

    Args:
        path: the table's file.
        keys: keys that every record must have.
        drop: records for which it is true are forgotten while the file is read; they may lack keys.

    Raises:
        DataError: the file is unreadable, is not a list of records, or a record lacks a key.
    """

    def __init__(self, path: Path, keys: Iterable[str], drop: Callable[[Record], bool] | None = None) -> None:
        content = read_json(path, drop)
        self.path = path
        self.records: list[Record] = as_records(content, ('token', *keys), path)
        self._by_token = {record['token']: record for record in self.records}

    def get(self, token: str) -> Record:
        """Record of a token.

        Raises:
            DataError: there is none.
        """
        try:
            return self._by_token[token]
        except (KeyError, TypeError):
            raise DataError(f'{self.path}: no record with token {token!r}, which another table refers to') from None

    def numbers(self, record: Record, key: str, *shape: int) -> np.ndarray:
        """A record's value as float64 array of a shape.

        Raises:
            DataError: it is not such an array of finite numbers.
        """
        try:
            array = np.asarray(record[key], dtype=np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != shape or not np.isfinite(array).all():
            raise self.error(record, key, f'{"×".join(map(str, shape))} finite numbers')
        return array

    def error(self, record: Record, key: str, expected: str) -> DataError:
        """Error about one value of one record."""
        return DataError(f'{self.path}: record {record["token"]!r}: expected {key} of {expected}, got {record[key]!r}')


def as_records(content: Any, keys: Iterable[str], path: Path, what: str = 'table') -> list[Record]:
    """The records that are left of a list (None stands for a dropped one), each with all keys.

    Raises:
        DataError: it is no list of records, or a record lacks a key.
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
