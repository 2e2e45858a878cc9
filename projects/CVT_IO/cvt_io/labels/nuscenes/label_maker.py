"""Label files of single frames."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...fileio.atomic import write_atomic
from ...geometry import BEVGrid
from ..codec import FORMAT_VERSION, StoredLabel, decode_stored, encode_label, read_stored
from ..frame import Frame
from .boxes import draw_boxes
from .map_layers import MapLayers
from .masks import Masks

MISSING, DAMAGED, OUTDATED = 'missing', 'damaged or of another grid', 'made from other data'


@dataclass(frozen=True)
class LabelMaker:
    """Makes label files on a grid.

    Attributes:
        maps: map of each location; without one, map classes are not drawn.
        grid: grid of the labels.
        folder: label folder of the grid.
        masks: masks to make the labels from, instead of map and boxes.
    """

    maps: Mapping[str, MapLayers]
    grid: BEVGrid
    folder: Path
    masks: Masks | None = None

    def make(self, frame: Frame) -> StoredLabel:
        """Draws a frame's label."""
        if self.masks is not None:
            return StoredLabel(*self.masks.draw(frame, self.grid), self.grid, self.source(frame))
        bits, instances, vehicles = draw_boxes(frame.annotations, frame.world_from_ego, self.grid)
        if frame.location in self.maps:
            bits |= self.maps[frame.location].draw(frame.world_from_ego, self.grid)
        return StoredLabel(bits, instances, vehicles, self.grid, self.source(frame))

    def source(self, frame: Frame) -> str:
        """Digest of everything that the label of a frame depends on."""
        drawing = self.masks.digest(frame) if self.masks is not None else None
        if frame.location in self.maps:
            drawing = self.maps[frame.location].digest
        inputs = [FORMAT_VERSION, self.grid.to_dict(), drawing, frame.world_from_ego.tolist(), frame.annotations]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]

    def state(self, frame: Frame) -> int | str:
        """Size in bytes of a frame's label file if it is intact and up to date, else what is wrong with it."""
        path = self.folder / frame.label_name
        try:
            data = path.read_bytes()
            source = decode_stored(data, self.grid, path).source
        except FileNotFoundError:
            return MISSING
        except DataError:
            return DAMAGED
        return len(data) if source == self.source(frame) else OUTDATED

    def write(self, frame: Frame) -> tuple[int, bool]:
        """Writes a frame's label file unless an intact, up-to-date one exists.

        Returns:
            Its size in bytes, and whether it already existed.
        """
        state = self.state(frame)
        if isinstance(state, int):
            return state, True
        path = self.folder / frame.label_name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = encode_label(self.make(frame))
        write_atomic(path, data)
        return len(data), False


def stored_label(info: Mapping, grid: BEVGrid) -> StoredLabel:
    """Label of a data set's frame, read from its file or, for infos without label files, drawn from its boxes.

    Raises:
        DataError: the file is missing, broken or of another grid.
    """
    if 'annotations' in info:
        return StoredLabel(*draw_boxes(info['annotations'], np.array(info['world_from_ego']), grid), grid)
    return read_stored(info['label'], grid)
