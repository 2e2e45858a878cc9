"""Bad data of every kind, in one table: what is broken, and what the error says: file, key, expected and found."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmdet3d.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image

from projects.CVT_IO.cvt_io.apis.frames import FrameReader
from projects.CVT_IO.cvt_io.apis.inputs import open_source
from projects.CVT_IO.cvt_io.apis.pipeline import build_pipeline
from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset, decoding
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.codec import StoredLabel, encode_label
from projects.CVT_IO.cvt_io.labels.infos import are_calibrated
from tests.conftest import TINY_GRID
from tests.tiny import tiny_config

INFOS = 'cvt_io_infos_train.json'
FRAME, CAMERA = 1, 2


@dataclass(frozen=True)
class Tree:
    """A data set of its own, of which one frame and one camera are broken."""

    root: Path

    @property
    def infos(self) -> dict:
        return json.loads((self.root / INFOS).read_text())

    def change_infos(self, change: Callable[[dict], object]) -> None:
        infos = self.infos
        change(infos)
        (self.root / INFOS).write_text(json.dumps(infos))

    @property
    def image(self) -> Path:
        return self.root / self.infos['data_list'][FRAME]['images'][CAMERA]['path']

    @property
    def label(self) -> Path:
        return self.root / f'cvt_io_labels/{TINY_GRID.name}' / self.infos['data_list'][FRAME]['label']


Damage = Callable[[Tree], object]


def image_file(change: Callable[[bytes], bytes]) -> Damage:
    return lambda tree: tree.image.write_bytes(change(tree.image.read_bytes()))


def pixels(change: Callable[[np.ndarray], np.ndarray | Image.Image], **options: Any) -> Damage:
    """Writes the image anew under its name, whatever the format."""

    def damage(tree: Tree) -> None:
        changed = change(np.asarray(Image.open(tree.image)))
        img = changed if isinstance(changed, Image.Image) else Image.fromarray(changed)
        img.save(tree.image, **({'format': 'JPEG'} | options))

    return damage


def png_of_16_bits(tree: Tree) -> None:
    img = cv2.imread(str(tree.image)).astype(np.uint16) * 16
    tree.image.write_bytes(cv2.imencode('.png', img)[1].tobytes())


def progressive_half(tree: Tree) -> None:
    Image.open(tree.image).convert('RGB').save(tree.image, 'JPEG', progressive=True)
    data = tree.image.read_bytes()
    tree.image.write_bytes(data[: len(data) // 2])


def in_infos(*keys: str | int, value: Any = None) -> Damage:
    """Sets a value of the infos, or deletes the key."""

    def change(infos: dict) -> None:
        *path, last = keys
        record: Any = infos
        for key in path:
            record = record[key]
        if value is None:
            del record[last]
        else:
            record[last] = value

    return lambda tree: tree.change_infos(change)


def in_frame(*keys: str | int, value: Any = None) -> Damage:
    return in_infos('data_list', FRAME, *keys, value=value)


def in_image(*keys: str | int, value: Any = None) -> Damage:
    return in_frame('images', CAMERA, *keys, value=value)


def label_file(change: Callable[[bytes], bytes]) -> Damage:
    return lambda tree: tree.label.write_bytes(change(tree.label.read_bytes()))


def label_of(grid: BEVGrid, bits: int = 0) -> Damage:
    planes = np.full(grid.size, bits, np.uint16), np.zeros(grid.size, np.uint16)
    return lambda tree: tree.label.write_bytes(encode_label(StoredLabel(*planes, [], grid)))


def repeated(infos: dict) -> None:
    infos['data_list'].append(infos['data_list'][FRAME])


def camera_twice(infos: dict) -> None:
    images = infos['data_list'][FRAME]['images']
    images.append(images[CAMERA])


def calibration(*changes: tuple[int, int, float], of: str = 'intrinsics') -> Damage:
    def change(infos: dict) -> None:
        matrix = infos['data_list'][FRAME]['images'][CAMERA][of]
        for row, column, value in changes:
            matrix[row][column] = value

    return lambda tree: tree.change_infos(change)


def rotation(change: np.ndarray) -> Damage:
    def damage(infos: dict) -> None:
        image = infos['data_list'][FRAME]['images'][CAMERA]
        matrix = np.array(image['cam_from_ego'])
        matrix[:3, :3] = change @ matrix[:3, :3]
        image['cam_from_ego'] = matrix.tolist()

    return lambda tree: tree.change_infos(damage)


NAN, SHEAR = float('nan'), np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]])
# Images of the little toy world are 160 × 90, focal lengths some 126 pixels.
IMAGES: dict[str, tuple[Damage, str]] = {
    'truncated image': (image_file(lambda data: data[: len(data) // 2]), 'expected an image, found .* truncated'),
    'truncated by two bytes': (image_file(lambda data: data[:-2]), 'expected an image, found .* truncated'),
    'truncated and filled up with zeros': (
        image_file(lambda data: data[: len(data) // 2] + bytes(len(data) // 2)),
        'expected an image, found .* truncated',
    ),
    'truncated progressive image': (progressive_half, 'expected an image, found .* truncated'),
    'zero-byte image': (image_file(lambda _: b''), r'expected an image \(BMP, JPEG, PNG, WEBP\), found 0 bytes'),
    'no image': (image_file(lambda _: b'<html>404</html>'), r"expected an image .* found 16 bytes .* b'<html>40'"),
    'wrong-sized image': (pixels(lambda img: img[:45, :80]), 'expected an image of 160×90 pixels, found 80×45'),
    'image on its side': (pixels(lambda img: np.rot90(img)), 'expected an image of 160×90 pixels, found 90×160'),
    'greyscale image': (pixels(lambda img: img[..., 0]), 'expected an 8-bit image of mode RGB, found L'),
    'CMYK image': (
        pixels(lambda img: Image.fromarray(img).convert('CMYK')),
        'expected an 8-bit image of mode RGB, found CMYK',
    ),
    '16-bit colour image': (png_of_16_bits, 'expected an 8-bit image of mode RGB, found RGB of 16 bits'),
    '16-bit greyscale image': (
        pixels(lambda img: img[..., 0].astype(np.uint16) * 200, format='PNG'),
        'expected an 8-bit image of mode RGB, found I;16 of 16 bits',
    ),
    'missing image': (lambda tree: tree.image.unlink(), 'expected an image, found FileNotFoundError'),
    'folder for an image': (
        lambda tree: (tree.image.unlink(), tree.image.mkdir()),
        'expected an image, found IsADirectoryError',
    ),
}
LABELS: dict[str, tuple[Damage, str]] = {
    'label missing': (lambda tree: tree.label.unlink(), 'cannot read label file: No such file'),
    'label of zero bytes': (label_file(lambda _: b''), 'expected a PNG file, found 0 bytes'),
    'label truncated': (label_file(lambda data: data[:-20]), 'truncated or damaged PNG file'),
    'label of another grid': (
        label_of(BEVGrid((48, 48), (100.0, 100.0))),
        r'expected a label on the grid .*\(48\.0, 48\.0\).*, found .*\(100\.0, 100\.0\)',
    ),
    'label with unknown bits': (label_of(TINY_GRID, 1 << 12), 'expected class bits 0–11, found the value 0x1000'),
}
FRAMES: dict[str, tuple[Damage, str]] = {
    'missing camera': (
        lambda tree: tree.change_infos(lambda infos: infos['data_list'][FRAME]['images'].pop(CAMERA)),
        'images: expected the camera CAM_FRONT_RIGHT, found CAM_FRONT_LEFT, CAM_FRONT, CAM_BACK_LEFT',
    ),
    'unknown camera': (
        in_image('camera', value='CAM_TOP'),
        r"images: expected the cameras CAM_FRONT_LEFT, .*CAM_BACK_RIGHT, found 'CAM_TOP'",
    ),
    'camera twice': (lambda tree: tree.change_infos(camera_twice), 'expected each camera once, found CAM_FRONT_RIGHT'),
    'NaN in the intrinsics': (calibration((0, 0, NAN)), r'intrinsics: expected 3×3 finite numbers, found \[\[nan'),
    'infinite intrinsics': (calibration((1, 2, np.inf)), 'intrinsics: expected 3×3 finite numbers, found .*inf'),
    'singular intrinsics': (calibration((1, 1, 0.0)), r'intrinsics: expected positive focal .* found .*\[0\.0, 0\.0'),
    'intrinsics of no shape': (in_image('intrinsics', value=[[1, 2], [3, 4]]), 'intrinsics: expected 3×3 finite'),
    'intrinsics as text': (in_image('intrinsics', value='fisheye'), "intrinsics: expected 3×3 finite .* found 'fish"),
    'intrinsics in metres': (
        calibration((0, 0, 0.004), (1, 1, 0.004)),
        'intrinsics: expected focal lengths .* that fit an image of 160×90 pixels, found .*0.004',
    ),
    'intrinsics of a larger image': (
        calibration((0, 0, 1266.0), (1, 1, 1266.0), (0, 2, 816.0), (1, 2, 491.0)),
        'intrinsics: expected .* a principal point that fit an image of 160×90 pixels, found .*816',
    ),
    'transposed intrinsics': (
        calibration((2, 0, 80.0), (2, 1, 45.0), (0, 2, 0.0), (1, 2, 0.0)),
        r'intrinsics: expected .* the row 0 0 1, found .*\[80\.0, 45\.0, 1\.0\]',
    ),
    'extrinsics with a scale': (rotation(2 * np.eye(3)), 'cam_from_ego: expected a rotation and a translation'),
    'extrinsics with a shear': (rotation(SHEAR), 'cam_from_ego: expected a rotation and a translation'),
    'mirrored extrinsics': (rotation(np.diag([-1, 1, 1])), 'cam_from_ego: expected a rotation and a translation'),
    'NaN in the extrinsics': (calibration((0, 3, NAN), of='cam_from_ego'), 'cam_from_ego: expected 4×4 finite numbers'),
    'extrinsics without end': (
        calibration((0, 3, 1e30), of='cam_from_ego'),
        r'cam_from_ego: expected a rotation and a translation .* found .*1e\+30',
    ),
    'pose that is none': (in_frame('world_from_ego', value=[[0.0] * 4] * 4), 'world_from_ego: expected a rotation'),
    'image outside of the data set': (
        in_image('path', value='../../secret.jpg'),
        r"path: expected a path with / and without \.\. below .*, found '\.\./\.\./secret\.jpg'",
    ),
    'label of another frame': (
        in_frame('label', value='scene-0001/abc.png'),
        r"label: expected this frame's scene-.*\.png, found 'scene-0001/abc\.png'",
    ),
    'no width': (in_image('width', value=-3), 'CAM_FRONT_RIGHT: width: expected a positive number of pixels, found -3'),
    **{
        f'frame without {key}': (in_frame(key), f'expected the key {key}, found .*')
        for key in ('scene_name', 'timestamp', 'world_from_ego', 'label', 'images')
    },
    **{
        f'image without {key}': (in_image(key), f'CAM_FRONT_RIGHT: expected the key {key}, found camera')
        for key in ('path', 'width', 'height', 'intrinsics', 'cam_from_ego')
    },
    'image without camera': (in_image('camera'), r'images: expected entries with a camera name, found \{'),
}
FILES: dict[str, tuple[Damage, str]] = {
    'infos truncated': (
        lambda tree: (tree.root / INFOS).write_text((tree.root / INFOS).read_text()[:-100]),
        'unreadable JSON',
    ),
    'infos of zero bytes': (lambda tree: (tree.root / INFOS).write_text(''), 'unreadable JSON'),
    'infos that are a list': (lambda tree: (tree.root / INFOS).write_text('[1]'), 'expected infos'),
    'infos of another version': (in_infos('metainfo', 'info_version', value=2), 'info_version: expected 1, found 2'),
    'infos without a version': (in_infos('metainfo', 'info_version'), 'info_version: expected 1, found None'),
    'infos of other classes': (
        in_infos('metainfo', 'classes', value=['car']),
        r"metainfo\.classes: expected .*'bicycle'\], found \['car'\]",
    ),
    'infos without cameras': (in_infos('metainfo', 'cameras'), r'metainfo\.cameras: expected .*, found None'),
    'infos without metainfo': (in_infos('metainfo'), 'expected infos with the key metainfo, found'),
    'infos without data_list': (in_infos('data_list'), 'expected '),
    'frame without token': (in_frame('sample_token'), r'data_list\[1\]\.sample_token: expected a name'),
    'token that is a path': (
        in_frame('sample_token', value='../../x'),
        r"data_list\[1\]\.sample_token: expected a name of the frame, found '\.\./\.\./x'",
    ),
    'token without end': (in_frame('sample_token', value='x' * 1000), 'expected a name of the frame, found .xxx'),
    'frame that is none': (in_infos('data_list', FRAME, value=7), r'data_list\[1\]\.sample_token: expected a name'),
    'duplicated token': (
        lambda tree: tree.change_infos(repeated),
        r'sample_token: expected each once, found \w+ in data_list\[1\] and \[6\]',
    ),
    'data set of length 0': (in_infos('data_list', value=[]), r'data_list: expected .* at least one frame, found \[\]'),
}
KINDS = {'label': LABELS, 'frame': FRAMES, 'infos': FILES}


@pytest.fixture
def tree(toy_root: Path, tmp_path: Path) -> Tree:
    """Its six training frames."""
    tree = Tree(tmp_path / 'data')
    labels = f'cvt_io_labels/{TINY_GRID.name}'
    for folder in ('samples', labels):
        shutil.copytree(toy_root / folder, tree.root / folder)
    shutil.copy(toy_root / INFOS, tree.root)
    return tree


@cache
def tiny() -> Config:
    return tiny_config(Path('data'), Path('work'))


def dataset(tree: Tree, **options: Any) -> CVTIONuScenesDataset:
    cfg = tiny().train_dataloader.dataset
    return DATASETS.build(dict(cfg, data_root=str(tree.root), ann_file=INFOS, **options))


def read_by_dataset(tree: Tree) -> dict:
    return dataset(tree)[FRAME]


def read_by_inferencer(tree: Tree) -> dict:
    source = open_source(tree.root / INFOS, tiny())
    frames = FrameReader([source], pipelines(), skip_broken=False, show_progress=False)
    return [*islice(frames, FRAME + 1)][FRAME]


@cache
def pipelines() -> dict[bool, Compose]:
    return {any_rig: build_pipeline(tiny(), any_rig) for any_rig in (False, True)}


READERS = {'dataset': read_by_dataset, 'inferencer': read_by_inferencer}


def check(tree: Tree, damage: Damage, file: Path, message: str, read: Callable[[Tree], dict]) -> None:
    damage(tree)
    with pytest.raises(DataError, match=message) as error:
        read(tree)
    text = str(error.value)
    assert text.startswith(str(file)) and '\n' not in text and len(text) < 700


@pytest.mark.parametrize('reader', READERS)
def test_whole_data(tree, reader):
    item = READERS[reader](tree)
    assert item['data_samples'].sample_token == tree.infos['data_list'][FRAME]['sample_token']


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('name', IMAGES)
@pytest.mark.parametrize('decoder', ['opencv', 'pillow'])
def test_images(tree, name, reader, decoder, monkeypatch):
    if decoder == 'pillow':
        monkeypatch.setattr(decoding, '_SAME_LIBRARY', False)
    assert decoding.EncodedImage.read(str(tree.image)).by_opencv == (decoder == 'opencv')
    check(tree, IMAGES[name][0], tree.image, IMAGES[name][1], READERS[reader])


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize(('kind', 'name'), [(kind, name) for kind in KINDS for name in KINDS[kind]])
def test_labels_frames_and_infos(tree, kind, name, reader):
    if (reader, name) == ('inferencer', 'label missing'):
        pytest.skip('the inferencer needs no labels')
    damage, message = KINDS[kind][name]
    if kind == 'frame':
        message = f'sample {tree.infos["data_list"][FRAME]["sample_token"]}.*{message}'
    check(tree, damage, tree.label if kind == 'label' else tree.root / INFOS, message, READERS[reader])


def test_no_frames_chosen(tree):
    with pytest.raises(DataError, match=re.escape(f'{INFOS}: expected at least one frame, found none (indices: 0)')):
        dataset(tree, indices=0)


def test_one_bad_value_among_good_ones_is_found_without_looking_one_by_one(tree):
    """All at once and one by one agree: the rows of the table on calibration are found by the quick check too."""
    assert are_calibrated(tree.infos['data_list']).all()
    for name in [*FRAMES][3:17]:
        before = (tree.root / INFOS).read_text()
        FRAMES[name][0](tree)
        assert not are_calibrated(tree.infos['data_list'])[FRAME], name
        (tree.root / INFOS).write_text(before)
