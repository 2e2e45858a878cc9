"""Labels from BEV masks, for data without boxes or map."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ...errors import DataError
from ...fileio.checks import image_path
from ...geometry import BEVGrid
from ..classes import CLASSES, VEHICLE
from ..codec import FULLY_VISIBLE
from ..frame import Frame


@dataclass(frozen=True)
class Masks:
    """Mask files of each frame, one per class.

    A mask is (h, w), row 0 ahead and column 0 left, positive where it is non-zero: a single-channel PNG, or an array in
    an npz file under the name of its class.

    Attributes:
        root: folder that the paths are relative to.
        templates: class → path with ``{scene}`` and ``{token}``.
    """

    root: Path
    templates: Mapping[str, str]

    def draw(self, frame: Frame, grid: BEVGrid) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float, int]]]:
        """Class bits, vehicle instances and vehicle table of a frame, see :func:`draw_boxes`.

        Connected cells of the vehicle classes form one vehicle, which counts as fully visible.

        Raises:
            DataError: a file is missing, broken or of another size.
        """
        bits = np.zeros(grid.size, np.uint16)
        for name in self.templates:
            bits |= (self._read(name, frame, grid) != 0).astype(np.uint16) << CLASSES.index(name)
        vehicle = (bits & sum(1 << index for index in VEHICLE)) != 0
        count, instances, _, centers = cv2.connectedComponentsWithStats(vehicle.astype(np.uint8), connectivity=8)
        table = [(float(x), float(y), FULLY_VISIBLE) for x, y in centers[1:count]]
        return bits, instances.astype(np.uint16), table

    def digest(self, frame: Frame) -> str:
        """Digest of the files of a frame."""
        digest = hashlib.sha256()
        for name in self.templates:
            digest.update(name.encode() + self._bytes(name, frame))
        return digest.hexdigest()

    def _path(self, name: str, frame: Frame) -> Path:
        template = self.templates[name]
        path = template.replace('{scene}', frame.scene).replace('{token}', frame.token)
        return Path(image_path(path, self.root, f'masks.{name}'))

    def _bytes(self, name: str, frame: Frame) -> bytes:
        path = self._path(name, frame)
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f'{path}: cannot read the mask of {name}: {error.strerror}') from error

    def _read(self, name: str, frame: Frame, grid: BEVGrid) -> np.ndarray:
        path, content = self._path(name, frame), BytesIO(self._bytes(name, frame))
        try:
            if path.suffix == '.npz':
                mask = np.load(content, allow_pickle=False)[name]
            else:
                mask = np.asarray(Image.open(content, formats=['PNG']))
        except Exception as error:  # neither library lists what a broken file raises
            raise DataError(f'{path}: expected a mask of {name}, found {type(error).__name__}: {error}') from error
        if mask.shape != grid.size or mask.dtype.kind not in 'biuf':
            raise DataError(
                f'{path}: {name}: expected a mask of {grid.size[0]}×{grid.size[1]} cells with one channel, '
                f'found {mask.dtype} of {"×".join(map(str, mask.shape))}'
            )
        return mask
