"""What every kind of input becomes: frames in the form of our own infos, each checked only when its turn comes."""

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
        items: one a frame, as the input has it.
        parse: item → ``dict(sample_token, scene_name, images)``, with ``images`` as ``CVTIOLoadImages`` wants them,
            each with the name of its ``camera``; and ``gt_bev``, a ``BEVLabel``, if there is one, and ``notes``, texts
            on what was assumed. Raises a ``DataError`` on a broken frame.
        any_rig: whether the images may be of any size and colours, or are nuScenes' own.
    """

    items: Sequence[Any]
    parse: Callable[[Any], dict]
    any_rig: bool = False


def choose_frames(
    source: Source, frames: Sequence[str], scene: str | None, keys: Callable[[Any], tuple[str, str]], where: str
) -> Source:
    """Only the frames whose token is one of ``frames`` or begins so, and only those of a scene.

    Args:
        source: all frames.
        frames: tokens or starts of tokens; none for all.
        scene: name; None for all.
        keys: item → (token, scene name).
        where: the input's name for error messages.

    Raises:
        DataError: a token or the scene is not there.
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
