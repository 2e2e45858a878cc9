"""Image files → pixels: what Pillow decodes, by OpenCV's faster way where that gives the same pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import overload

import cv2
import mmcv
import numpy as np
from mmengine.fileio import get
from PIL import Image, features
from PIL.JpegImagePlugin import JpegImageFile

from ..labels.errors import DataError

# Both packages bring libjpeg-turbo, whose decoder is the same to the last bit. Whole colour JPEGs of these samplings
# (of luma, then of chroma) are left to OpenCV, which decodes right into an array; everything else is Pillow's.
_SAME_LIBRARY = bool(features.check('libjpeg_turbo')) and 'libjpeg-turbo' in cv2.getBuildInformation()
_SAMPLINGS = tuple([luma, (1, 1), (1, 1)] for luma in ((1, 1), (2, 1), (2, 2)))
_START_OF_SCAN, _END_OF_IMAGE = b'\xff\xda', b'\xff\xd9'
#: Denominators of libjpeg's scaled decoding, and OpenCV's flags for them.
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
        path: where it came from.
        data: its bytes.
        reduction: denominator of the scale at which it is decoded; 1 unless OpenCV decodes it.
        by_opencv: whether OpenCV does.
    """

    path: str
    data: bytes
    reduction: int
    by_opencv: bool

    @classmethod
    def read(cls, path: str, reduction: int = 1) -> EncodedImage:
        """Reads a file and its header.

        Raises:
            DataError: it is missing or no image.
        """
        try:
            data = get(path)
            with Image.open(BytesIO(data)) as image:
                by_opencv = _SAME_LIBRARY and _is_plain_jpeg(image) and _is_whole(data)
        except (OSError, ValueError, SyntaxError) as error:
            raise _no_image(path, error) from error
        return cls(path, data, reduction if by_opencv else 1, by_opencv)

    def decode(self) -> np.ndarray:
        """Pixels (H, W, 3) uint8 RGB.

        Raises:
            DataError: the file is broken.
        """
        if self.by_opencv:
            img = cv2.imdecode(np.frombuffer(self.data, np.uint8), REDUCTIONS[self.reduction])
            if img is not None:
                return img if self.reduction == 1 else cv2.cvtColor(img, cv2.COLOR_BGR2RGB)
        try:
            return mmcv.imfrombytes(self.data, channel_order='rgb', backend='pillow')
        except (OSError, ValueError, SyntaxError) as error:
            raise _no_image(self.path, error) from error


class DecodedOnDemand(Sequence[np.ndarray]):
    """Images (H, W, 3) uint8 RGB of files, each decoded anew whenever it is asked for.

    So there is never more than one full-size image in memory unless somebody keeps them. Six of them at once are memory
    that the allocator gets from the system and gives back with every frame: its page faults cost an eighth of the time.
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
    """Baseline, three components, and no metadata that could turn the image."""
    return (
        isinstance(image, JpegImageFile)
        and image.format == 'JPEG'  # and not one of its subclasses
        and image.mode == 'RGB'
        and not image.info.keys() & {'exif', 'xmp', 'progressive'}
        and [(horizontal, vertical) for _, horizontal, vertical, _ in image.layer] in _SAMPLINGS
    )


def _is_whole(data: bytes) -> bool:
    """Whether the last segment of a JPEG is one scan up to the end, without a marker inside.

    OpenCV makes up what is missing at such a marker, where Pillow says that the file is broken.
    """
    position = 2
    while data[position : position + 2] not in (_START_OF_SCAN, b''):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    scan = np.frombuffer(data, np.uint8)[position + 2 :]
    after = scan[1:][scan[:-1] == 0xFF]
    stuffing_or_restart = (after == 0x00) | (after == 0xFF) | (after & 0xF8 == 0xD0)
    return data.endswith(_END_OF_IMAGE) and len(after) > 0 and bool(stuffing_or_restart[:-1].all())


def _no_image(path: str, error: Exception) -> DataError:
    return DataError(f'{path}: expected an image, found {type(error).__name__}: {error}')
