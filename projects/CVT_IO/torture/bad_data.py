"""Files of a data set damaged at every place and in every way: an error of ours, or what was there before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from itertools import islice, product
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from mmengine.dataset import InfiniteSampler, pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader

from ..cvt_io.datasets import (
    CVTIOLoadBEVLabel,
    CVTIOLoadImages,
    CVTIONuScenesDataset,
    CVTIOPackInputs,
    decoding,
)
from ..cvt_io.datasets.decoding import EncodedImage
from ..cvt_io.errors import DataError
from ..cvt_io.geometry import BEVGrid
from ..cvt_io.labels.codec import decode_stored
from ..cvt_io.labels.nuscenes.converter import convert
from ..toy_world import generate_toy_world
from .damage import (
    OTHER,
    REFUSED,
    SAME,
    flip,
    hole,
    places,
    refusal,
    tally,
    with_value,
)
from .outcome import Outcome

GRID = BEVGrid((48, 48), (48.0, 48.0))
INFOS = 'cvt_io_infos_train.json'
_ABSURD: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1e300, float('nan'), float('inf'), '', 'x' * 1000, '../x', '/x', '\0'),
    *([], {}, [[]], [None], {'': {}}, [[0.0] * 4] * 4, [[0.0] * 3] * 3, [['1'] * 3] * 3),
)


def run(folder: Path, full: bool) -> Iterator[Outcome]:
    """Tries every kind of file, the calibration key by key, and training over broken frames."""
    rng = np.random.default_rng(0)
    root = folder / 'nuscenes'
    generate_toy_world(root, scenes=3, frames=3, image_size=(90, 160), progress=False)
    convert(root, 'v1.0-mini', grid=GRID, progress=False)
    infos = json.loads((root / INFOS).read_text())
    yield from _images(root / infos['data_list'][0]['images'][0]['path'], rng, full)
    yield _kinds(folder)
    label = (root / 'cvt_io_labels' / GRID.name / infos['data_list'][0]['label']).read_bytes()
    yield from _damaged('label', label, rng, full, partial(_read_label, decode_stored(label)), {REFUSED, SAME})
    yield from _infos(root, infos, rng, full)
    yield _loaders(root, infos, rng, 40 if full else 2)


def _damaged(
    what: str, data: bytes, rng: np.random.Generator, full: bool, read: Callable[[bytes], str], flipped: set[str]
) -> Iterator[Outcome]:
    """Cut off at every (n-th) byte, and with one bit, or a run of bytes, of random places changed."""
    step, flips = max(len(data) // 2000, 1) if full else max(len(data) // 40, 1), 3000 if full else 60
    cuts = (partial(read, data[:length]) for length in range(0, len(data) - 12, step))
    yield tally(f'{what} cut off', cuts, {REFUSED})
    yield tally(f'{what} with a flipped bit', (partial(read, flip(data, rng)) for _ in range(flips)), flipped)
    yield tally(f'{what} with a hole of zeros', (partial(read, hole(data, rng)) for _ in range(flips // 3)), flipped)


def _images(path: Path, rng: np.random.Generator, full: bool) -> Iterator[Outcome]:
    """JPEGs by both decoders, where pixels may change unnoticed as they have no checksums, and PNG, which has."""
    image = Image.open(path)
    image.load()
    kinds: dict[str, tuple[bytes, bool, set[str]]] = {
        'JPEG by OpenCV': (path.read_bytes(), True, {REFUSED, SAME, OTHER}),
        'JPEG by Pillow': (path.read_bytes(), False, {REFUSED, SAME, OTHER}),
        'progressive JPEG': (_encode(image, 'JPEG', progressive=True), False, {REFUSED, SAME, OTHER}),
        'PNG': (_encode(image, 'PNG'), False, {REFUSED, SAME}),
    }
    file = path.with_name('damaged')
    for what, (data, by_opencv, flipped) in kinds.items():
        with mock.patch.object(decoding, '_SAME_LIBRARY', by_opencv):
            file.write_bytes(data)
            whole = EncodedImage.read(str(file), size=image.size)
            yield from _damaged(what, data, rng, full, partial(_read_image, whole.decode(), file), flipped)


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _read_image(expected: np.ndarray, file: Path, data: bytes) -> str:
    file.write_bytes(data)
    try:
        found = EncodedImage.read(str(file), size=(expected.shape[1], expected.shape[0])).decode()
    except DataError as error:
        return refusal(error, file)
    if found.shape != expected.shape or found.dtype != np.uint8:
        return f'an image of {found.shape} {found.dtype}'
    return SAME if np.array_equal(found, expected) else OTHER


def _kinds(folder: Path) -> Outcome:
    """Every mode and format that Pillow writes, and 16 bits: as colour images the 8-bit RGB ones are taken alone."""
    colour = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    images = [Image.fromarray(colour).convert(mode) for mode in ('RGB', '1', 'L', 'P', 'LA', 'RGBA', 'CMYK', 'YCbCr')]
    images += [Image.fromarray(colour[..., 0].astype(dtype)) for dtype in (np.uint16, np.int32, np.float32)]

    def trial(image: Image.Image, kind: str) -> str:
        file = folder / 'kind'
        try:
            file.write_bytes(_encode(image, kind))
        except (OSError, ValueError, KeyError):
            return REFUSED  # there is no such file
        try:
            found = EncodedImage.read(str(file)).decode()
        except DataError as error:
            return refusal(error, file)
        with Image.open(file) as written:
            taken = written.mode == 'RGB' and np.array_equal(found, np.asarray(written))
        return SAME if taken else f'{kind} of mode {image.mode} is taken'

    def deep() -> str:
        file = folder / 'deep.png'
        file.write_bytes(cv2.imencode('.png', colour.astype(np.uint16) * 16)[1].tobytes())
        return _read_image(colour, file, file.read_bytes())

    kinds = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM', 'TGA', 'EPS', 'PDF', 'ICO', 'PCX')
    trials = [partial(trial, image, kind) for image, kind in product(images, kinds)]
    return tally('images of other kinds', [*trials, deep], {REFUSED, SAME})


def _read_label(expected: Any, data: bytes) -> str:
    try:
        found = decode_stored(data, GRID, 'label.png')
    except DataError as error:
        return refusal(error, Path('label.png'))
    same = all(np.array_equal(getattr(found, key), getattr(expected, key)) for key in ('class_bits', 'instances'))
    return SAME if same and found.vehicles == expected.vehicles else 'another label'


def _dataset(root: Path, **options: Any) -> CVTIONuScenesDataset:
    pipeline: list[Callable] = [CVTIOLoadImages(), CVTIOLoadBEVLabel(), CVTIOPackInputs()]
    return CVTIONuScenesDataset(INFOS, str(root), GRID.to_dict(), pipeline=pipeline, serialize_data=False, **options)


def _entries(dataset: CVTIONuScenesDataset) -> list[dict]:
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def _infos(root: Path, infos: dict, rng: np.random.Generator, full: bool) -> Iterator[Outcome]:
    """Numbers may change unnoticed, as JSON has no checksums; what belongs together may not."""
    file, text = root / INFOS, (root / INFOS).read_bytes()
    whole = _entries(_dataset(root))

    def read(data: bytes) -> str:
        file.write_bytes(data)
        try:
            found = _entries(_dataset(root))
        except DataError as error:
            return refusal(error, file)
        finally:
            file.write_bytes(text)
        return SAME if found == whole else _compare(found, whole)

    yield from _damaged('info file', text, rng, full, read, {REFUSED, SAME, OTHER})
    _, *inner = places(infos['data_list'][1], 'data_list', 1)  # a frame less is no fault
    where = [*places(infos['metainfo'], 'metainfo'), *inner]
    if not full:
        where = [where[i] for i in rng.choice(len(where), 12, replace=False)]
    values = _ABSURD if full else _ABSURD[::4]
    # A value may be allowed where it stands for nothing that is relied on, a timestamp for example.
    trials = (partial(read, with_value(infos, place, value)) for place in where for value in ((), *values))
    yield tally('infos with an absurd or missing value', trials, {REFUSED, SAME, OTHER})


def _compare(found: list[dict], whole: list[dict]) -> str:
    """Each frame has its own label and images, or files that are not there and will be refused."""
    if len(found) != len(whole):
        return f'{len(found)} frames'
    for one, other in zip(found, whole, strict=True):
        if [image['camera'] for image in one['images']] != [image['camera'] for image in other['images']]:
            return 'other cameras'
        for path, own in zip(_files(one), _files(other), strict=True):
            if path != own and os.access(path, os.R_OK):
                return f'{path} for {own}'
    return OTHER


def _files(info: dict) -> list[str]:
    return [info['label'], *(image['path'] for image in info['images'])]


def _loaders(root: Path, infos: dict, rng: np.random.Generator, times: int) -> Outcome:
    """Data workers over random broken frames: half of all are passed over, each counted once, and more are an error."""
    frames = infos['data_list']
    files = [[root / image['path'] for image in frame['images']] for frame in frames]
    kept = {path: path.read_bytes() for paths in files for path in paths}

    def trial(workers: int) -> str:
        broken = rng.choice(len(frames), int(rng.integers(1, len(frames))), replace=False)
        for index in broken:
            path = files[index][rng.integers(len(files[index]))]
            path.write_bytes(kept[path][: rng.integers(len(kept[path]) - 1)])
        try:
            return _train_over(_dataset(root, skip_broken=True, max_broken=0.5), broken, workers)
        finally:
            for path, data in kept.items():
                path.write_bytes(data)

    return tally('training over broken frames', (partial(trial, i % 3) for i in range(times)), {REFUSED, SAME})


def _train_over(dataset: CVTIONuScenesDataset, broken: np.ndarray, workers: int) -> str:
    sampler = InfiniteSampler(dataset, shuffle=True, seed=1)
    loader: DataLoader = DataLoader(
        dataset, batch_size=2, num_workers=workers, sampler=sampler, collate_fn=pseudo_collate
    )
    allowed = len(dataset) // 2
    try:
        batches = [*islice(loader, 2 * len(dataset))]
    except DataError as error:
        named = f'found {allowed + 1} that are' in str(error)
        return REFUSED if len(broken) > allowed and named else f'too early or unclear: {error!s:.200}'
    seen = [sample.sample_idx for batch in batches for sample in batch['data_samples']]
    if len(broken) > allowed or len(dataset.broken) != len(broken) or {*seen} & {*broken.tolist()}:
        return f'{len(dataset.broken)} counted of {len(broken)} broken, frames {sorted({*seen})}'
    wanted = islice(InfiniteSampler(dataset, shuffle=True, seed=1), len(seen))
    return SAME if seen == [dataset[i]['data_samples'].sample_idx for i in wanted] else 'another order'
