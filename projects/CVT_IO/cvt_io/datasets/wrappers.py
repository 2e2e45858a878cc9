"""Access to data sets inside mmengine's ``ConcatDataset``, ``RepeatDataset`` and ``ClassBalancedDataset``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def parts_of(dataset: Any) -> list[Any]:
    """The innermost data sets in order, or their configs if ``dataset`` is a config."""
    get = dataset.get if isinstance(dataset, Mapping) else lambda key: getattr(dataset, key, None)
    inner = get('datasets') or ([get('dataset')] if get('dataset') is not None else [])
    return [part for wrapped in inner for part in parts_of(wrapped)] or [dataset]


def first_part(dataset: Any) -> Any:
    """The first innermost data set, for what all have in common: grid, pipeline and cameras."""
    return parts_of(dataset)[0]
