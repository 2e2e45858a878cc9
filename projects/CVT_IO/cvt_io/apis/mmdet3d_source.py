"""mmdet3d's info files (``.pkl``), as in its ``demo/data/nuscenes``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..labels.mmdet3d import MMDet3DInfos, item_keys
from .source import Source, choose_frames


def mmdet3d_source(
    path: Path,
    root: Path | None = None,
    cameras: Sequence[str] | None = None,
    frames: Sequence[str] = (),
    scene: str | None = None,
) -> Source:
    """Opens an info pickle; see :func:`nuscenes_source` for the arguments.

    Raises:
        DataError: the file is not an info pickle or contains forbidden objects, or a selected frame is not in it.
    """
    infos = MMDet3DInfos.read(path)

    def parse(item: dict) -> dict:
        return infos.frame(item, root or path.parent, cameras)

    return choose_frames(Source(infos.items, parse), frames, scene, item_keys, str(path))
