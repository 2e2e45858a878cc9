"""BEV labels as PNG files.

The image is 16-bit grayscale, (2h, w). Its upper half holds the class bits (bit i = class i), its lower half the
vehicle instances (0 = no vehicle, k = entry k − 1 of the vehicle table). The text chunk ``cvt_io`` holds JSON:
format version, grid, digest of the source data, and the vehicle table of [centre column, centre row, visibility
token] with unrounded centres. Visibility and centre maps are computed from these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import DataError, raise_if_of_machine
from ..geometry import BEVGrid
from .classes import CLASSES

FORMAT_VERSION = 1
NO_VEHICLE = 255
#: Visibility of cells without a label; they never count.
UNKNOWN = 0
#: Visibility tokens: at most 40, 60, 80 or 100 % of the vehicle is visible.
VISIBILITIES = (1, 2, 3, 4)
FULLY_VISIBLE = VISIBILITIES[-1]
_CHUNK = 'cvt_io'


@dataclass(frozen=True)
class StoredLabel:
    """Content of a label file.

    Attributes:
        class_bits: (h, w) uint16, bit i = class i.
        instances: (h, w) uint16, 0 = no vehicle, k = ``vehicles[k - 1]``.
        vehicles: (centre column, centre row, visibility token 1–4) of each vehicle that covers a cell.
        grid: grid of the label.
        source: digest of the source data.
    """

    class_bits: np.ndarray
    instances: np.ndarray
    vehicles: Sequence[tuple[float, float, int]]
    grid: BEVGrid
    source: str = ''


@dataclass(frozen=True)
class BEVLabel:
    """A decoded label.

    Attributes:
        classes: (12, h, w) uint8 in {0, 1}, in the order of ``CLASSES``.
        visibility: (h, w) uint8, visibility token 1–4 of the vehicle, 255 where there is none, 0 where the label is
            unknown.
        center: (h, w) float32 in [0, 1], exp(−‖p − c‖²) for cell p of a vehicle with centre c, 0 elsewhere.
        grid: grid of the label.
    """

    classes: np.ndarray
    visibility: np.ndarray
    center: np.ndarray
    grid: BEVGrid

    def mirrored(self) -> BEVLabel:
        """The label of the world mirrored across the ego's xz plane (y → −y).

        The centre of column i is at y = (w/2 − i) cells, so its mirror image is column w − i. That of column 0 lies
        beyond the last one: column 0 becomes unknown.
        """
        classes, visibility, center = (
            np.roll(plane[..., ::-1], 1, axis=-1) for plane in (self.classes, self.visibility, self.center)
        )
        classes[..., 0], visibility[:, 0], center[:, 0] = 0, UNKNOWN, 0
        return BEVLabel(classes, visibility, center, self.grid)


def encode_label(label: StoredLabel) -> bytes:
    """Encodes a label as a PNG file. Equal labels give equal bytes."""
    text = {'format': FORMAT_VERSION, 'grid': label.grid.to_dict(), 'source': label.source, 'vehicles': label.vehicles}
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(_CHUNK, json.dumps(text, separators=(',', ':')), zip=True)
    planes = np.concatenate([label.class_bits, label.instances]).astype(np.uint16)
    file = BytesIO()
    Image.fromarray(planes).save(file, 'PNG', pnginfo=chunks, compress_level=6)
    return file.getvalue()


def decode_label(data: bytes, grid: BEVGrid | None = None, where: str | Path = 'label') -> BEVLabel:
    """Decodes a PNG file made by :func:`encode_label`.

    Args:
        data: content of the file.
        grid: expected grid; None accepts any.
        where: file name for error messages.

    Raises:
        DataError: the data is not a complete label file, or its grid is not the expected one.
    """
    return expand(decode_stored(data, grid, where))


def read_label(path: str | Path, grid: BEVGrid | None = None) -> BEVLabel:
    """Reads and decodes a label file, see :func:`decode_label`.

    Raises:
        DataError: the file cannot be read or decoded.
    """
    return expand(read_stored(path, grid))


def read_stored(path: str | Path, grid: BEVGrid | None = None) -> StoredLabel:
    """Like :func:`read_label`, without computing the maps."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise_if_of_machine(error)
        raise DataError(f'{path}: cannot read label file: {error.strerror}') from error
    return decode_stored(data, grid, path)


def expand(label: StoredLabel) -> BEVLabel:
    """Computes class planes, visibility and centre maps of a stored label."""
    bits = np.arange(len(CLASSES), dtype=np.uint16)[:, None, None]
    classes = ((label.class_bits >> bits) & 1).astype(np.uint8)
    visibility = np.full(label.grid.size, NO_VEHICLE, np.uint8)
    center = np.zeros(label.grid.size, np.float32)
    rows, columns = np.nonzero(label.instances)
    if len(rows):
        table = np.array(label.vehicles, np.float64)[label.instances[rows, columns].astype(np.intp) - 1]
        visibility[rows, columns] = table[:, 2]
        center[rows, columns] = np.exp(-((columns - table[:, 0]) ** 2 + (rows - table[:, 1]) ** 2))
    return BEVLabel(classes, visibility, center, label.grid)


def decode_stored(data: bytes, grid: BEVGrid | None = None, where: str | Path = 'label') -> StoredLabel:
    """Like :func:`decode_label`, without computing the maps."""
    image = _open_png(data, where)
    text = image.info.get(_CHUNK)
    if not isinstance(text, str):
        raise DataError(f'{where}: expected a PNG with the text chunk {_CHUNK!r}, found {sorted(image.info)}')
    label_grid, source, vehicles = _read_text(text, where)
    if grid is not None and label_grid != grid:
        raise DataError(f'{where}: expected a label on the grid {grid}, found {label_grid}')
    height, width = label_grid.size
    if image.size != (width, 2 * height):
        raise DataError(f'{where}: expected a PNG of {2 * height}×{width} cells, found {image.height}×{image.width}')
    planes = _load(image, where)
    class_bits, instances = planes[:height], planes[height:]
    if class_bits.max() >= 1 << len(CLASSES):
        raise DataError(f'{where}: expected class bits 0–{len(CLASSES) - 1}, found the value {class_bits.max():#x}')
    if instances.max() > len(vehicles):
        raise DataError(f'{where}: expected at most {len(vehicles)} vehicles, found number {instances.max()}')
    return StoredLabel(class_bits, instances, vehicles, label_grid, source)


def _open_png(data: bytes, where: str | Path) -> Image.Image:
    if not data.startswith(b'\x89PNG\r\n\x1a\n'):
        raise DataError(f'{where}: expected a PNG file, found {len(data)} bytes that start with {data[:8]!r}')
    try:
        # Only verify() compares the checksums of the pixel data.
        Image.open(BytesIO(data), formats=['PNG']).verify()
        return Image.open(BytesIO(data), formats=['PNG'])
    except Exception as error:  # Pillow does not document what a broken file raises
        raise DataError(f'{where}: truncated or damaged PNG file: {error}') from error


def _load(image: Image.Image, where: str | Path) -> np.ndarray:
    """Decodes the pixels. Check the size first, as it bounds the memory."""
    try:
        planes = np.asarray(image)
    except Exception as error:  # as above
        raise DataError(f'{where}: truncated or damaged PNG file: {error}') from error
    if planes.dtype != np.uint16 or planes.ndim != 2:
        raise DataError(f'{where}: expected a 16-bit grayscale PNG, found mode {image.mode}')
    return planes


def _read_text(text: str, where: str | Path) -> tuple[BEVGrid, str, list[tuple[float, float, int]]]:
    try:
        content = json.loads(text)
        version = content['format']
        if version != FORMAT_VERSION:
            raise DataError(f'{where}: expected label format {FORMAT_VERSION}, found {version!r:.60}')
        vehicles = [(float(x), float(y), int(visibility)) for x, y, visibility in content['vehicles']]
        for vehicle in vehicles:
            if not np.isfinite(vehicle).all() or vehicle[2] not in VISIBILITIES:
                raise DataError(f'{where}: expected a finite vehicle centre and visibility 1–4, found {vehicle}')
        return BEVGrid.from_dict(content['grid']), str(content['source']), vehicles
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise DataError(f'{where}: unreadable text chunk {_CHUNK!r}: {error!r:.200}') from error
