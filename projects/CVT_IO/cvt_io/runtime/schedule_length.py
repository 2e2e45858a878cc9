"""Learning rate schedules as long as the run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .shared_settings import KeyPath, assign, dotted, look_up, overridden

_LENGTHS = ('total_steps', 'end', 'T_max', 'total_iters')
_RUN = ('train_cfg', 'max_iters')


def fit_schedulers(config: dict, raw: Mapping, resolved: Mapping, options: Collection[str] = ()) -> list[str]:
    """Moves every length of a scheduler that was tied to the length of the run, where only the run's is given.

    Args:
        config: changed in place, after its ``max_iters`` has reached ``train_cfg``.
        raw: the base of this config, as it was before its own settings were spread.
        resolved: the base, after that.
        options: keys that a user overrides by name.

    Returns:
        The places that were changed without ``max_iters`` being among the options.
    """
    steps, before = look_up(config, _RUN), look_up(resolved, _RUN)
    if not (isinstance(steps, int) and isinstance(before, int)):
        return []
    moved = []
    for path, scheduler in schedulers(config):
        for name in _LENGTHS:
            place = (*path, name)
            value, inherited = scheduler.get(name), look_up(resolved, place)
            if not isinstance(value, int) or value != look_up(raw, place) or overridden(options, place):
                continue  # given by this config
            # The last step, the one after it, or as many as are left after the beginning.
            if inherited - before in (0, 1, -scheduler.get('begin', 0)):
                inherited += steps - before
            if inherited != value:
                assign(config, place, inherited)
                moved += [dotted(place)] * (steps != before)  # the base has told of the others
    return [] if overridden(options, ('max_iters',)) else moved


def is_fitted(config: Mapping) -> bool:
    """Whether every schedule is known to end with the run."""
    steps = look_up(config, _RUN)
    lengths = [scheduler.get('total_steps') for _, scheduler in schedulers(config)]
    return not lengths or (isinstance(steps, int) and all(length == steps + 1 for length in lengths))


def length_of(scheduler: Any) -> dict[str, Any]:
    """The lengths of a scheduler that has been built."""
    return {name: getattr(scheduler, name) for name in _LENGTHS if hasattr(scheduler, name)}


def schedulers(config: Mapping) -> Iterator[tuple[KeyPath, Mapping]]:
    """The schedulers of a config, which may be one, a list, or either of them for each optimizer by name."""

    def search(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Mapping]]:
        if isinstance(node, Mapping) and 'type' in node:
            yield path, node
        elif isinstance(node, (Mapping, list, tuple)):
            for key, child in node.items() if isinstance(node, Mapping) else enumerate(node):
                yield from search(child, (*path, key))

    return search(config.get('param_scheduler'), ('param_scheduler',))
