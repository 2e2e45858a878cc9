"""Settings that a config states once and that several of its parts need."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from ..geometry import BEVGrid
from ..labels.groups import build_label_groups

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
EVALUATORS = ('val_evaluator', 'test_evaluator')

KeyPath = tuple[str | int, ...]
MISSING = object()


def _grid(value: Any) -> Any:
    return BEVGrid.from_dict(value)


def _groups(value: Any) -> Any:
    return [(group.name, sorted(group.classes), group.min_visibility) for group in build_label_groups(value)]


def _names_and_classes(value: Any) -> Any:
    return [group[:2] for group in _groups(value)]  # the loss may mask other pixels than the metric


@dataclass(frozen=True)
class SharedSetting:
    """A top-level key of a config and the places that need its value.

    Attributes:
        key: the top-level key.
        sections: top-level keys below which the places are looked for.
        name: key of a place; by default that of the setting.
        holder: ``type`` of the dict that holds a place; any by default.
        normal: value → what is compared.
        agreement: value → what has to be the same at all places; by default they may differ.
        local: whether a config may assign the top-level key only to use it at one place.
    """

    key: str
    sections: tuple[str, ...]
    name: str | None = None
    holder: str | None = None
    normal: Callable[[Any], Any] = lambda value: value
    agreement: Callable[[Any], Any] | None = None
    local: bool = False

    def places(self, config: Mapping) -> dict[KeyPath, Any]:
        """The places that a config has, and their values."""
        return {
            path: value
            for section in self.sections
            if section in config
            for path, value in _search(config[section], self.name or self.key, self.holder, (section,))
        }

    def same(self, one: Any, other: Any) -> bool:
        """Whether two values mean the same."""
        return _compared(self.normal, one) == _compared(self.normal, other)


LABEL_GROUPS = SharedSetting('label_groups', ('model', *EVALUATORS), normal=_groups, agreement=_names_and_classes)
SETTINGS = (
    SharedSetting('data_root', LOADERS),
    SharedSetting('image_root', LOADERS),
    SharedSetting('pipeline', LOADERS, local=True),
    SharedSetting('image_size', ('pipeline', *LOADERS), name='size', holder='CVTIOResizeCrop'),
    SharedSetting('bev_grid', ('model', *LOADERS), normal=_grid, agreement=_grid),
    LABEL_GROUPS,
    SharedSetting('max_iters', ('train_cfg',)),
)


def spread(config: dict, raw: Mapping, resolved: Mapping, options: Collection[str] = ()) -> list[str]:
    """Lets each setting reach its places.

    A place keeps its value if this config gives it one, takes the top-level value if this config gives that, and
    otherwise takes what the config's base resolves to. Where all places agree on another value, the top-level key
    follows.

    Args:
        config: changed in place.
        raw: the base of this config, as it was before its own settings were spread.
        resolved: the base, after that.
        options: keys that a user overrides by name. Top-level ones among them reach every place that is not.

    Returns:
        One line for each setting that replaced values without being among the options.
    """
    notes = []
    for setting in SETTINGS:
        replaced = _spread_one(setting, config, raw, resolved, options)
        if replaced and not overridden(options, (setting.key,)):
            notes.append(f'{setting.key} = {plain(config[setting.key])!r:.100} also for {", ".join(replaced)}')
    return notes


def without_base(config: Mapping) -> dict:
    """What stands in for the base of a config that has none: as if its top-level keys had been set last."""
    base = copy.deepcopy(dict(config))
    for setting in SETTINGS:
        values = [*setting.places(base).values()]
        if values and all(setting.same(value, values[0]) for value in values):
            base[setting.key] = values[0]
    return base


def is_spread(config: Mapping) -> bool:
    """Whether every place has the top-level value already."""
    return all(
        setting.same(value, config.get(setting.key, value))
        for setting in SETTINGS
        for value in setting.places(config).values()
    )


def check_agreement(config: Mapping) -> None:
    """Raises a ``ConfigError`` if places that have to agree do not."""
    for setting in SETTINGS:
        if setting.agreement is not None:
            _check_places(setting, setting.agreement, config)


def _spread_one(
    setting: SharedSetting, config: dict, raw: Mapping, resolved: Mapping, options: Collection[str]
) -> list[str]:
    """Returns the replaced places."""
    places, replaced = setting.places(config), []
    if setting.key not in config:
        return []
    top = config[setting.key]
    explicit = overridden(options, (setting.key,))
    given = {
        path
        for path, value in places.items()
        if overridden(options, path) or not (explicit or setting.same(value, look_up(raw, path)))
    }
    top_is_given = explicit or not setting.same(top, raw.get(setting.key, MISSING))
    if setting.local and not explicit and any(setting.same(places[path], top) for path in given):
        top_is_given = False
    for path in places.keys() - given:
        value = top if top_is_given else look_up(resolved, path)
        if not setting.same(value, places[path]):
            assign(config, path, value)
            replaced += [dotted(path)] * top_is_given  # the base has told of the others
    values = [*setting.places(config).values()]
    if values and all(setting.same(value, values[0]) for value in values) and not setting.same(values[0], top):
        config[setting.key] = values[0]
    return sorted(replaced)


def _check_places(setting: SharedSetting, agreement: Callable[[Any], Any], config: Mapping) -> None:
    known: dict[KeyPath, Any] = {}
    for path, value in setting.places(config).items():
        compared = _compared(agreement, value)
        if isinstance(compared, str):  # invalid, which the part that reads it says
            continue
        for other, its_value in known.items():
            if _compared(agreement, its_value) != compared:
                raise ConfigError(
                    f'{dotted(other)} and {dotted(path)} contradict each other ({plain(its_value)} and '
                    f'{plain(value)}): set {setting.key} once, at the top level of the config or by --cfg-options'
                )
        known[path] = value


def overridden(options: Collection[str], path: KeyPath) -> bool:
    """Whether an option sets a place, a part of it or what it is a part of."""
    place = dotted(path)
    return any(f'{place}.'.startswith(f'{key}.') or key.startswith(f'{place}.') for key in options)


def look_up(config: Any, path: KeyPath) -> Any:
    """The value at a path, or ``MISSING``."""
    for key in path:
        try:
            config = config[key]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return config


def assign(config: Any, path: KeyPath, value: Any) -> None:
    """Sets the value at a path whose last step is into a dict."""
    for key in path[:-1]:
        config = config[key]
    config[path[-1]] = value


def dotted(path: KeyPath) -> str:
    """A path as ``--cfg-options`` spells it."""
    return '.'.join(map(str, path))


def plain(value: Any) -> Any:
    """A value of a config in Python's own types, lists for tuples."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _search(node: Any, name: str, holder: str | None, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(node, Mapping):
        if name in node and holder in (None, node.get('type')):
            yield (*path, name), node[name]
        children: Any = ((key, child) for key, child in node.items() if key != name)
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        yield from _search(child, name, holder, (*path, key))


def _compared(normal: Callable[[Any], Any], value: Any) -> Any:
    """A value for comparison; as a text if it is invalid, which whoever it is for will say."""
    if value is MISSING:
        return MISSING
    try:
        return plain(normal(value))
    except (ValueError, TypeError, AttributeError, KeyError):
        return repr(plain(value))
