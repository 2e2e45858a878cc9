"""Reading and preparing the frames of several sources."""

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
    """Iterates over the prepared frames of the sources. Reports assumptions and skipped frames on stderr.

    Args:
        sources: sources of the frames.
        pipelines: pipelines by ``Source.any_rig``.
        skip_broken: whether to report and skip broken frames.
        show_progress: whether to show a progress bar on stderr, if it is a terminal and there are several frames.

    Attributes:
        skipped: error messages of the skipped frames.

    Raises:
        DataError: on iteration, if a frame is broken or its name is a duplicate, or if all frames were skipped.
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
            raise DataError(f'frame {frame["sample_token"]}: expected a unique name, found {name} twice')
        prepared = self._pipelines[source.any_rig](frame)
        self._names.add(name)
        for note in prepared['data_samples'].notes:
            if note not in self._notes:  # most frames have the same notes
                self._notes.add(note)
                _tell(f'{name}: {note}')
        return prepared


def _tell(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
