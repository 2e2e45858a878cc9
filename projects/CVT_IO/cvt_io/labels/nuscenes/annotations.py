"""Annotated boxes of the tables, with the set's own categories and visibilities turned into nuScenes'."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...fileio.records import Record, Table, no_garbage_collection
from ..classes import VEHICLE, class_of, is_vehicle
from ..codec import FULLY_VISIBLE
from ..description import DatasetDescription
from ..frame import Annotation

_REMEDY = 'give categories in a file for --dataset, docs/own_data.md'
_BLOCK = 10_000
_OPTIONAL = ('instance_token', 'category_token', 'category_name', 'visibility_token')


def read_annotations(
    folder: Path, sample: Table, description: DatasetDescription, notes: list[str]
) -> dict[str, list[Annotation]]:
    """Annotations by sample token, in the order of their table.

    Args:
        folder: of the tables.
        sample: the sample table.
        description: of the data set.
        notes: gets a line for what was assumed or left out.

    Raises:
        DataError: a table is broken, or no category is one of the classes.
    """
    path = folder / 'sample_annotation.json'
    if not path.is_file():
        raise DataError(
            f'{path}: cannot read file: No such file; without boxes, labels need masks of your own, and infos alone '
            'labelled: false (in a file for --dataset, docs/own_data.md)'
        )
    instanced = (folder / 'instance.json').is_file()
    keys = ('sample_token', *_OPTIONAL[:instanced], 'translation', 'size', 'rotation')
    table = Table(path, keys, optional=_OPTIONAL)
    own_name = _category_reader(folder, table, instanced)
    visibility_of = _visibility_reader(folder, table, description)
    counts: Counter[str] = Counter()
    result = defaultdict(list)
    vectors = [_vectors(table, key, size) for key, size in (('translation', 3), ('size', 3), ('rotation', 4))]
    with no_garbage_collection():
        for record, *values in zip(table.records, *vectors, strict=True):
            table.follow(record, 'sample_token', sample)
            own = own_name(record)
            counts[own] += 1
            name = description.category(own)
            visibility = visibility_of(record) if is_vehicle(name) else 0
            result[record['sample_token']].append(Annotation(name, visibility, *values))
    _check_categories(counts, description, path)
    notes += _notes(counts, description, table)
    return result


def _category_reader(folder: Path, table: Table, instanced: bool) -> Callable[[Record], str]:
    """A function that gives the set's own name of a record's category."""
    if not instanced and all('category_name' in record for record in table.records):
        return lambda record: record['category_name']
    category = Table(folder / 'category.json', ('name',))
    if instanced:
        instance = Table(folder / 'instance.json', ('category_token',))
        names = {r['token']: instance.follow(r, 'category_token', category)['name'] for r in instance.records}
        return lambda record: names[table.follow(record, 'instance_token', instance)['token']]
    for record in table.records:
        if 'category_token' not in record:
            raise DataError(
                f'{table.path}: record {record["token"]!r}: expected category_token or category_name, as there is no '
                'instance.json, found neither'
            )
    return lambda record: table.follow(record, 'category_token', category)['name']


def _visibility_reader(folder: Path, table: Table, description: DatasetDescription) -> Callable[[Record], int]:
    """A function that gives the visibility 1–4 of a vehicle's record."""
    path = folder / 'visibility.json'
    levels = {str(r['token']): str(r.get('level')) for r in _optional_records(path)} if path.is_file() else {}

    def visibility_of(record: Record) -> int:
        token = record.get('visibility_token')
        if token in (None, ''):
            return FULLY_VISIBLE
        for name in (str(token), levels.get(str(token), '')):
            if name in description.visibility:
                return description.visibility[name]
        known = ', '.join(description.visibility)
        raise table.error(record, 'visibility_token', f'a vehicle to be one of {known} (or visibility in --dataset)')

    return visibility_of


def _optional_records(path: Path) -> Iterable[Record]:
    return Table(path, (), optional=('level',)).records


def _vectors(table: Table, key: str, size: int) -> Iterator[tuple[float, ...]]:
    """A vector of each record, taken out of it: arrays need a fraction of the memory, and one check instead of many."""
    records = table.records
    column = [record.pop(key) for record in records]
    try:
        array = np.array(column, np.float64).reshape(len(records), -1)
    except (TypeError, ValueError):
        array = np.empty(0)
    if records and (array.shape != (len(records), size) or not np.isfinite(array).all()):
        for record, value in zip(records, column, strict=True):
            record[key] = value
            table.numbers(record, key, size)
    del column
    return (tuple(row) for i in range(0, len(array), _BLOCK) for row in array[i : i + _BLOCK].tolist())


def _check_categories(counts: Counter[str], description: DatasetDescription, path: Path) -> None:
    """Refuses a set whose names the rule of nuScenes' names would misread."""
    names = {own: description.category(own) for own in counts}
    for own, name in names.items():
        if class_of(name) in VEHICLE and not is_vehicle(name):
            raise DataError(
                f'{path}: category {own!r}: expected a vehicle to have the word "vehicle" in its name, as nuScenes\' '
                f'vehicle.car has, found {counts[own]} boxes without; {_REMEDY}'
            )
    if counts and all(class_of(name) is None and not is_vehicle(name) for name in names.values()):
        found = ', '.join(map(str, names))
        raise DataError(f'{path}: expected boxes of some of the classes, found none among {found:.200}; {_REMEDY}')


def _notes(counts: Counter[str], description: DatasetDescription, table: Table) -> list[str]:
    notes = []
    unmapped = {
        own: count
        for own, count in counts.most_common()
        if own not in description.categories
        and class_of(name := description.category(own)) is None
        and not is_vehicle(name)
    }
    if unmapped:
        listed = ', '.join(f'{own} {count}' for own, count in unmapped.items())
        notes.append(f'{sum(unmapped.values())} of {counts.total()} boxes are in none of the classes: {listed}')
    missing = sum(record.get('visibility_token') in (None, '') for record in table.records)
    if missing:
        notes.append(f'{missing} of {counts.total()} boxes have no visibility: taken as fully visible')
    return notes
