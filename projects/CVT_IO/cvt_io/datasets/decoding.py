"""Image decoding with Pillow's pixels, through OpenCV where that is faster and gives the same result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import overload

import cv2
import numpy as np
from mmengine.fileio import get  # noqa: TID251 - local files; data_root is never a URL
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from ..errors import DataError, raise_if_of_machine

# Both packages bundle libjpeg-turbo, so they decode to the same bits. OpenCV, which decodes straight into an array,
# gets complete colour JPEGs with these samplings (luma, then chroma); Pillow gets everything else.
_SAME_LIBRARY = bool(features.check('libjpeg_turbo')) and 'libjpeg-turbo' in cv2.getBuildInformation()
_SAMPLINGS = tuple([luma, (1, 1), (1, 1)] for luma in ((1, 1), (2, 1), (2, 2)))
_START_OF_SCAN, _END_OF_IMAGE = b'\xff\xda', b'\xff\xd9'
# Pillow supports dozens of formats, some by calling external programs.
_FORMATS = ('BMP', 'JPEG', 'PNG', 'WEBP')
_ORIENTATION, _FIRST_ON_ITS_SIDE = 0x0112, 5
# Modes that convert to RGB exactly (alpha is dropped). CMYK does not: it needs a colour profile.
_CONVERTIBLE = ('RGB', 'L', 'P', 'RGBA')
#: Scale denominators of libjpeg's reduced decoding → OpenCV's flags.
REDUCTIONS = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@dataclass(frozen=True)
class EncodedImage:
    """An image file in memory.

    Attributes:
        path: path of the file.
        data: content of the file.
        size: width and height in pixels at full scale.
        reduction: scale denominator for decoding; 1 unless OpenCV decodes the image.
        by_opencv: whether OpenCV decodes the image.
    """

    path: str
    data: bytes
    size: tuple[int, int]
    reduction: int
    by_opencv: bool

    @classmethod
    def read(
        cls, path: str, reduction: int = 1, size: tuple[int, int] | None = None, any_colour: bool = False
    ) -> EncodedImage:
        """Reads a file and its header.

        Args:
            path: the file.
            reduction: requested scale denominator.
            size: expected width and height; None accepts any.
            any_colour: whether to accept greyscale, palette and alpha images besides RGB.

        Raises:
            DataError: the file is missing, not an image or truncated, or has another size, colour mode or bit depth.
        """
        try:
            data = get(path)
            with Image.open(BytesIO(data), formats=_FORMATS) as image:
                found = _size(image)
                colours = image.mode + (' of 16 bits' if _has_16_bits(image) else '')
                by_opencv = _SAME_LIBRARY and _is_plain_jpeg(image) and _is_whole(data)
                cut = isinstance(image, JpegImageFile) and not _has_end(data)
                if image.format == 'PNG':
                    image.verify()  # decoding does not compare the checksums
        except UnidentifiedImageError as error:
            wanted = ', '.join(_FORMATS)
            raise DataError(
                f'{path}: expected an image ({wanted}), found {len(data)} bytes that start with {data[:8]!r}'
            ) from error
        except Exception as error:  # Pillow does not document what a broken file raises
            raise_if_of_machine(error)
            raise _no_image(path, error) from error
        if cut:
            raise DataError(f'{path}: expected an image, found a truncated JPEG')
        if found[0] * found[1] > (Image.MAX_IMAGE_PIXELS or np.inf) or (size is not None and found != size):
            wanted = f'at most {Image.MAX_IMAGE_PIXELS}' if size is None else '{}×{}'.format(*size)
            raise DataError(f'{path}: expected an image of {wanted} pixels, found {found[0]}×{found[1]}')
        modes = _CONVERTIBLE if any_colour else _CONVERTIBLE[:1]
        if colours not in modes:
            raise DataError(f'{path}: expected an 8-bit image of mode {" or ".join(modes)}, found {colours}')
        return cls(path, data, found, reduction if by_opencv else 1, by_opencv)

    def decode(self) -> np.ndarray:
        """Pixels (H, W, 3) uint8 RGB.

        Raises:
            DataError: the file is broken.
        """
        try:
            img = self._by_opencv() if self.by_opencv else None
            if img is None:
                with Image.open(BytesIO(self.data), formats=_FORMATS) as image:
                    img = np.array(ImageOps.exif_transpose(image).convert('RGB'))
        except Exception as error:  # as above
            raise_if_of_machine(error)
            raise _no_image(self.path, error) from error
        width, height = (-(-pixels // self.reduction) for pixels in self.size)
        if img.shape != (height, width, 3):
            raise DataError(f'{self.path}: expected {width}×{height} pixels, as in its header, found {img.shape}')
        return img

    def _by_opencv(self) -> np.ndarray | None:
        img = cv2.imdecode(np.frombuffer(self.data, np.uint8), REDUCTIONS[self.reduction])
        return img if img is None or self.reduction == 1 else cv2.cvtColor(img, cv2.COLOR_BGR2RGB)


class DecodedOnDemand(Sequence[np.ndarray]):
    """A sequence of images (H, W, 3) uint8 RGB, decoded on each access.

    This keeps one full-size image in memory at a time. With six, the allocator returns the memory to the system after
    every frame, and the page faults cost an eighth of the loading time.
    """

    def __init__(self, files: Iterable[EncodedImage]) -> None:
        self.files = tuple(files)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> DecodedOnDemand: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | DecodedOnDemand:
        if isinstance(index, slice):
            return DecodedOnDemand(self.files[index])
        return self.files[index].decode()


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Whether a JPEG is baseline with three components, and has no metadata that could rotate it."""
    return (
        isinstance(image, JpegImageFile)
        and image.format == 'JPEG'  # not a subclass such as MPO
        and image.mode == 'RGB'
        and not image.info.keys() & {'exif', 'xmp', 'progressive'}
        and [(horizontal, vertical) for _, horizontal, vertical, _ in image.layer] in _SAMPLINGS
    )


def _size(image: Image.Image) -> tuple[int, int]:
    """Width and height after the rotation in the EXIF data."""
    exif = Image.Image.getexif(image)  # PngImageFile.getexif would decode the image first
    on_its_side = exif.get(_ORIENTATION, 1) >= _FIRST_ON_ITS_SIDE
    return image.size[::-1] if on_its_side else image.size


def _has_16_bits(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow would silently drop half of each channel's bits."""
    return any(';16' in str(tile.args) for tile in image.tile)


def _start_of_scan(data: bytes) -> int:
    """Offset of the first scan of a JPEG."""
    position = 2
    while data[position : position + 2] not in (_START_OF_SCAN, b''):
        if data[position : position + 2] == b'\xff\xff':  # any number of fill bytes may precede a marker
            position += 1
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    return position


def _has_end(data: bytes) -> bool:
    """Whether a JPEG has an end marker after its first scan. Decoders do not insist on it."""
    return data.find(_END_OF_IMAGE, _start_of_scan(data)) >= 0


def _is_whole(data: bytes) -> bool:
    """Whether a JPEG ends with a single uninterrupted scan.

    At a stray marker inside the scan, OpenCV fills in pixels where Pillow reports a broken file.
    """
    scan = np.frombuffer(data, np.uint8)[_start_of_scan(data) + 2 :]
    after = scan[1:][scan[:-1] == 0xFF]
    stuffing_or_restart = (after == 0x00) | (after == 0xFF) | (after & 0xF8 == 0xD0)
    return data.endswith(_END_OF_IMAGE) and len(after) > 0 and bool(stuffing_or_restart[:-1].all())


def _no_image(path: str, error: Exception) -> DataError:
    return DataError(f'{path}: expected an image, found {type(error).__name__}: {error}')
