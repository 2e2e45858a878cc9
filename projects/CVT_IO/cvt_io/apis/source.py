"""Common representation of all inputs: frames in the format of our infos, checked lazily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..datasets.tokens import matching
from ..errors import DataError


@dataclass(frozen=True)
class Source:
    """Frames of one input.

    Attributes:
        items: frames in the format of the input.
        parse: item → ``dict(sample_token, scene_name, images)``, with ``images`` as required by ``CVTIOLoadImages``
            plus ``camera``; optionally ``gt_bev``, a ``BEVLabel``, and ``notes``, texts on assumptions made. Raises a
            ``DataError`` on a broken frame.
        any_rig: whether images may have any size and colour mode, rather than those of nuScenes.
    """

    items: Sequence[Any]
    parse: Callable[[Any], dict]
    any_rig: bool = False


def choose_frames(
    source: Source, frames: Sequence[str], scene: str | None, keys: Callable[[Any], tuple[str, str]], where: str
) -> Source:
    """Selects frames by token and scene.

    Args:
        source: all frames.
        frames: tokens or token prefixes; all if empty.
        scene: scene name; None for all.
        keys: item → (token, scene name).
        where: name of the input for error messages.

    Raises:
        DataError: a token or the scene does not exist.
    """
    if not source.items:
        raise DataError(f'{where}: expected at least one frame, found none')
    items = [item for item in source.items if scene is None or keys(item)[1] == scene]
    if not items:
        found = sorted({keys(item)[1] for item in source.items})
        raise DataError(f'{where}: no frames of scene {scene}, found {", ".join(found[:3])}')
    if frames:
        tokens = [keys(item)[0] for item in items]
        chosen = {start: matching(tokens, start) for start in frames}
        for start, indices in chosen.items():
            if not indices:
                raise DataError(f'{where}: no frame {start}' + (f' in scene {scene}' if scene is not None else ''))
        items = [items[index] for index in sorted(set().union(*chosen.values()))]
    return Source(items, source.parse, source.any_rig)
