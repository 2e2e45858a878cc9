"""Frames of several sources, read and prepared one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.dataset import Compose
from tqdm import tqdm

from ..errors import DataError
from ..visualization.scene import frame_name
from .source import Source


class FrameReader:
    """Iterates over what the pipelines make of the sources' frames; tells on stderr what was assumed or skipped.

    Args:
        sources: of the frames.
        pipelines: by ``Source.any_rig``.
        skip_broken: whether a broken frame is reported and left out.
        show_progress: whether there is a bar on stderr, if that is a terminal and there is more than one frame.

    Attributes:
        skipped: what was wrong with the frames left out.

    Raises:
        DataError: on iteration: a frame is broken, or has another one's name; with ``skip_broken``, all are broken.
    """

    def __init__(
        self, sources: Sequence[Source], pipelines: Mapping[bool, Compose], skip_broken: bool, show_progress: bool
    ) -> None:
        self.skipped: list[str] = []
        self._sources = sources
        self._pipelines = pipelines
        self._skip_broken = skip_broken
        self._show_progress = show_progress
        self._names: set[str] = set()
        self._notes: set[str] = set()

    def __iter__(self) -> Iterator[dict]:
        total = sum(len(source.items) for source in self._sources)
        quiet = True if not self._show_progress or total == 1 else None  # None: unless stderr is a terminal
        with tqdm(total=total, unit='frame', file=sys.stderr, disable=quiet) as bar:
            for source in self._sources:
                for raw in source.items:
                    try:
                        frame = self._read(source, raw)
                    except DataError as error:
                        if not self._skip_broken:
                            raise
                        self.skipped.append(str(error))
                        _tell(f'skipped: {error}')
                    else:
                        yield frame
                    bar.update()
        if total == len(self.skipped):
            raise DataError(f'all {total} frames are broken; the first: {self.skipped[0]}')

    def _read(self, source: Source, raw: Any) -> dict:
        frame = dict(notes=[]) | source.parse(raw)
        name = frame_name(frame['scene_name'], frame['sample_token'])
        if name in self._names:
            raise DataError(f'frame {frame["sample_token"]}: expected a name of its own, found {name} a second time')
        prepared = self._pipelines[source.any_rig](frame)
        self._names.add(name)
        for note in prepared['data_samples'].notes:
            if note not in self._notes:  # the same for most frames
                self._notes.add(note)
                _tell(f'{name}: {note}')
        return prepared


def _tell(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
