"""Parallel map with processes that end with their parent."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection, parent_process
from typing import Any, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

_function: Callable[[Any], Any]


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, chunk: int = 8
) -> Iterator[Result]:
    """Yields the results of a function in the order of the items.

    Args:
        function: sent to each process only once, so it may be large.
        items: arguments of the function.
        workers: number of processes; 0 or 1 uses only this one.
        chunk: number of items that a process takes at a time.

    Raises:
        concurrent.futures.process.BrokenProcessPool: a process was killed.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(function,)) as pool:
        yield from pool.map(_call, items, chunksize=chunk)


def _start_worker(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent answers Ctrl-C.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker with its parent; otherwise it would wait for work forever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)
