"""What every kind of input becomes: frames in the form of our own infos, each checked only when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..labels.errors import DataError


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
    """Only the frames whose token begins with one of ``frames``, and only those of a scene.

    Args:
        source: all frames.
        frames: starts of tokens; none for all.
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
    for start in frames:
        if not any(keys(item)[0].startswith(start) for item in items):
            raise DataError(f'{where}: no frame {start}' + (f' in scene {scene}' if scene is not None else ''))
    if frames:
        items = [item for item in items if keys(item)[0].startswith(tuple(frames))]
    return Source(items, source.parse, source.any_rig)
