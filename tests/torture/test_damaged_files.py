"""Files of a data set damaged everywhere: the project's error, or the values that were there before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile

from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset, decoding
from projects.CVT_IO.cvt_io.datasets.decoding import EncodedImage
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels import codec
from tests.tiny import TINY_GRID, make_world
from tests.torture.readers import limited, quiet

SLOW = pytest.mark.slow
INFOS = 'cvt_io_infos_train.json'
REFUSED, SAME, OTHER = 'refused', 'same', 'other values'
#: Says what became of a file: one of these words, or what went wrong.
Read = Callable[[bytes], str]
ABSURD: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1e300, float('nan'), float('inf'), '', 'x' * 1000, '../x', '/x', '\0'),
    *([], {}, [[]], [None], {'': {}}, [[0.0] * 4] * 4, [[0.0] * 3] * 3, [['1'] * 3] * 3),
)


def ends(trials: Iterable[Callable[[], str]]) -> set[str]:
    """All that trials came to."""
    found = set()
    with quiet():
        for trial in trials:
            with limited():
                found.add(trial())
    return found


def refusal(error: DataError, name: str) -> str:
    """``REFUSED`` if the error is one line that names the file."""
    return REFUSED if name in str(error) and '\n' not in str(error) else f'an unclear error: {error!s:.200}'


def cut(data: bytes, full: bool) -> Iterator[bytes]:
    """Cut off at every n-th byte."""
    return (data[:length] for length in range(0, len(data) - 12, max(len(data) // (2000 if full else 40), 1)))


def changed(data: bytes, full: bool) -> Iterator[bytes]:
    """One bit flipped, or up to 511 bytes set to zero."""
    rng = np.random.default_rng(0)
    for number in range(4000 if full else 80):
        start = int(rng.integers(len(data)))
        if number % 4:
            bit = data[start] ^ 1 << int(rng.integers(8))
            yield data[:start] + bytes([bit]) + data[start + 1 :]
        else:
            length = int(rng.integers(1, 512))
            yield (data[:start] + bytes(length) + data[start + length :])[: len(data)]


@pytest.fixture(scope='module')
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose info file may be changed."""
    return make_world(tmp_path_factory.mktemp('damaged') / 'data')


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read_image(expected: np.ndarray, file: Path, data: bytes) -> str:
    file.write_bytes(data)
    try:
        found = EncodedImage.read(str(file), size=(expected.shape[1], expected.shape[0])).decode()
    except DataError as error:
        return refusal(error, str(file))
    assert found.shape == expected.shape and found.dtype == np.uint8
    return SAME if np.array_equal(found, expected) else OTHER


IMAGES = ('JPEG by OpenCV', 'JPEG by Pillow', 'progressive JPEG', 'PNG')


def image_case(world: Path, tmp_path: Path, name: str) -> tuple[bytes, Read]:
    path = next(world.glob('samples/*/*.jpg'))
    with Image.open(path) as image:
        image.load()
    kind, options = name.split()[-1], dict(progressive=True) if 'progressive' in name else {}
    data = path.read_bytes() if 'by' in name else encode(image, kind, **options)
    (tmp_path / 'whole').write_bytes(data)
    return data, partial(read_image, EncodedImage.read(str(tmp_path / 'whole')).decode(), tmp_path / 'damaged')


@pytest.mark.parametrize('full', [False, pytest.param(True, marks=SLOW)])
@pytest.mark.parametrize('name', IMAGES)
def test_images(world, tmp_path, monkeypatch, name, full):
    """A JPEG has no checksums, so its pixels may change; a PNG has."""
    monkeypatch.setattr(decoding, '_SAME_LIBRARY', name == 'JPEG by OpenCV')
    data, read = image_case(world, tmp_path, name)
    assert ends(partial(read, part) for part in cut(data, full)) == {REFUSED}
    allowed = {REFUSED, SAME} if name == 'PNG' else {REFUSED, SAME, OTHER}
    assert ends(partial(read, part) for part in changed(data, full)) <= allowed


def test_half_an_image_made_up_by_the_decoder_is_found(world, tmp_path, monkeypatch):
    """Pillow does so if it is told to and the end of the file is not checked."""
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    monkeypatch.setattr(decoding, '_has_end', lambda data: True)
    data, read = image_case(world, tmp_path, 'JPEG by OpenCV')
    assert OTHER in ends(partial(read, part) for part in cut(data, False))


def test_other_kinds_of_images(tmp_path):
    """Of all modes and formats that Pillow writes, and 16 bits: only 8-bit RGB is read as a colour image."""
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    images = [Image.fromarray(colour).convert(mode) for mode in ('RGB', '1', 'L', 'P', 'LA', 'RGBA', 'CMYK', 'YCbCr')]
    images += [Image.fromarray(colour[..., 0].astype(dtype)) for dtype in (np.uint16, np.int32, np.float32)]
    file, read = tmp_path / 'image', 0
    for image, kind in product(
        images, ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM', 'TGA', 'PDF', 'ICO', 'PCX')
    ):
        try:
            file.write_bytes(encode(image, kind))
        except (OSError, ValueError, KeyError):
            continue  # there is no such file
        try:
            found = EncodedImage.read(str(file)).decode()
        except DataError as error:
            assert refusal(error, str(file)) == REFUSED
        else:
            read += 1
            with Image.open(file) as written:
                assert written.mode == 'RGB' and np.array_equal(found, np.asarray(written)), (image.mode, kind)
    assert read >= 4
    deep = cv2.imencode('.png', colour.astype(np.uint16) * 16)[1].tobytes()
    assert read_image(colour, file, deep) == REFUSED


def label_case(world: Path) -> tuple[bytes, Read]:
    data = next(world.glob('cvt_io_labels/48x48*/*/*.png')).read_bytes()
    expected = codec.decode_stored(data)

    def read(damaged: bytes) -> str:
        try:
            found = codec.decode_stored(damaged, TINY_GRID, 'label.png')
        except DataError as error:
            return refusal(error, 'label.png')
        same = all(np.array_equal(getattr(found, key), getattr(expected, key)) for key in ('class_bits', 'instances'))
        return SAME if same and found.vehicles == expected.vehicles else OTHER

    return data, read


@pytest.mark.parametrize('full', [False, pytest.param(True, marks=SLOW)])
def test_labels(world, full):
    data, read = label_case(world)
    assert ends(partial(read, part) for part in cut(data, full)) == {REFUSED}
    assert ends(partial(read, part) for part in changed(data, full)) <= {REFUSED, SAME}


def test_unchecked_label_is_found(world, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    monkeypatch.setattr(PngImageFile, 'verify', lambda self: None)
    data, read = label_case(world)
    assert OTHER in ends(partial(read, part) for part in cut(data, False))


def entries(root: Path) -> list[dict]:
    found = CVTIONuScenesDataset(INFOS, str(root), TINY_GRID.to_dict(), serialize_data=False)
    return [found.get_data_info(index) for index in range(len(found))]


def files(info: dict) -> list[str]:
    return [info['label'], *(image['path'] for image in info['images'])]


def compare(found: list[dict], whole: list[dict]) -> str:
    """Each frame has its own label and images, or files that do not exist and will be refused."""
    if len(found) != len(whole):
        return f'{len(found)} frames'
    for one, other in zip(found, whole, strict=True):
        if [image['camera'] for image in one['images']] != [image['camera'] for image in other['images']]:
            return 'other cameras'
        for path, own in zip(files(one), files(other), strict=True):
            if path != own and os.access(path, os.R_OK):
                return f'{path} for {own}'
    return OTHER


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Every key and index within a value; of lists the first two."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, *path, key)
    elif isinstance(value, list):
        for index, inner in enumerate(value[:2]):
            yield from places(inner, *path, index)


def with_value(content: dict, place: tuple[str | int, ...], value: Any) -> bytes:
    """JSON with another value at a place; the empty tuple deletes what is there."""
    copy = record = json.loads(json.dumps(content))
    for key in place[:-1]:
        record = record[key]
    if value == ():
        del record[place[-1]]
    else:
        record[place[-1]] = value
    return json.dumps(copy).encode()


@pytest.mark.parametrize('full', [False, pytest.param(True, marks=SLOW)])
def test_infos(world, full):
    """JSON has no checksums, so numbers may change; what belongs together may not."""
    file = world / INFOS
    text, whole = file.read_bytes(), entries(world)

    def read(data: bytes) -> str:
        file.write_bytes(data)
        try:
            found = entries(world)
        except DataError as error:
            return refusal(error, str(file))
        finally:
            file.write_bytes(text)
        return SAME if found == whole else compare(found, whole)

    assert ends(partial(read, part) for part in cut(text, full)) == {REFUSED}
    assert ends(partial(read, part) for part in changed(text, full)) <= {REFUSED, SAME, OTHER}
    infos = json.loads(text)
    _, *inner = places(infos['data_list'][1], 'data_list', 1)  # one frame less is not an error
    where = [*places(infos['metainfo'], 'metainfo'), *inner]
    if not full:
        where = [where[i] for i in np.random.default_rng(0).choice(len(where), 12, replace=False)]
    # A value may be allowed where nothing relies on it, for example a timestamp.
    trials = (
        partial(read, with_value(infos, place, value))
        for place in where
        for value in ((), *ABSURD[:: 1 if full else 4])
    )
    assert ends(trials) <= {REFUSED, SAME, OTHER}


def test_exchanged_labels_are_found(world):
    """What :func:`test_infos` compares."""
    whole, found = entries(world), entries(world)
    found[0]['label'], found[1]['label'] = found[1]['label'], found[0]['label']
    assert compare(found, whole).startswith(found[0]['label'])
