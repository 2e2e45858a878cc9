"""Decoded pixels against Pillow's, for every kind of file; scaled decoding and its error."""

from __future__ import annotations

import errno
import os
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from projects.CVT_IO.cvt_io.datasets import CVTIOLoadImages, CVTIOResizeCrop, decoding
from projects.CVT_IO.cvt_io.datasets.decoding import DecodedOnDemand, EncodedImage
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.codec import read_label

ORIENTATION = 0x0112


def scene(height: int, width: int) -> Image.Image:
    """A smooth picture with some noise and sharp edges."""
    rng = np.random.default_rng(0)
    img = cv2.resize(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    img = np.clip(img + rng.normal(0, 6, img.shape), 0, 255).astype(np.uint8)
    cv2.rectangle(img, (width // 4, height // 4), (width // 2, height // 2), (250, 20, 20), -1)
    return Image.fromarray(img)


def turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


KINDS = {
    '4:2:0': (True, dict(format='JPEG', subsampling='4:2:0')),
    '4:2:2': (True, dict(format='JPEG', subsampling='4:2:2')),
    '4:4:4': (True, dict(format='JPEG', subsampling='4:4:4', quality=95)),
    'coarse': (True, dict(format='JPEG', quality=20)),
    'restart markers': (True, dict(format='JPEG', restart_marker_rows=1)),
    'progressive': (False, dict(format='JPEG', progressive=True)),
    'turned': (False, dict(format='JPEG', exif=turned(6))),
    'PNG': (False, dict(format='PNG')),
}


def write(path: Path, img: Image.Image, **options) -> str:
    img.save(path, **options)
    return str(path)


@pytest.mark.parametrize('size', [(90, 160), (61, 83), (225, 400)])
@pytest.mark.parametrize('kind', KINDS)
def test_pixels_are_pillows(tmp_path, kind, size):
    by_opencv, options = KINDS[kind]
    path = write(tmp_path / 'image', scene(*size), **options)
    file = EncodedImage.read(path)
    assert file.by_opencv == by_opencv
    with Image.open(path) as img:
        np.testing.assert_array_equal(file.decode(), np.asarray(ImageOps.exif_transpose(img).convert('RGB')))


@pytest.mark.parametrize('sampling', ['411', '440'])
def test_rare_samplings_are_pillows(tmp_path, sampling):
    factor = getattr(cv2, f'IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}')
    path = str(tmp_path / 'image.jpg')
    cv2.imwrite(path, np.asarray(scene(61, 83)), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
    file = EncodedImage.read(path)
    assert not file.by_opencv
    with Image.open(path) as img:
        np.testing.assert_array_equal(file.decode(), np.asarray(img))


@pytest.mark.parametrize(('mode', 'kind'), [('L', 'jpg'), ('L', 'png'), ('P', 'png'), ('RGBA', 'png')])
def test_other_colours_are_taken_on_demand(tmp_path, mode, kind):
    path = write(tmp_path / f'image.{kind}', scene(61, 83).convert(mode))
    with pytest.raises(DataError, match=f'expected an 8-bit image of mode RGB, found {mode}'):
        EncodedImage.read(path)
    file = EncodedImage.read(path, any_colour=True)
    assert not file.by_opencv
    with Image.open(path) as img:
        np.testing.assert_array_equal(file.decode(), np.asarray(img.convert('RGB')))


@pytest.mark.parametrize('length', [0, 20, 500, 2000, -2])
def test_truncated_file(tmp_path, length):
    path = tmp_path / 'image.jpg'
    data = Path(write(path, scene(90, 160))).read_bytes()
    path.write_bytes(data[:length])
    with pytest.raises(DataError, match=r'image\.jpg: expected an image.* found'):
        EncodedImage.read(str(path)).decode()


@pytest.mark.parametrize(
    ('inserted', 'by_opencv'),
    [(bytes([0xFF, marker]), False) for marker in (0xC4, 0xD8, 0xD9, 0x01)]
    + [(b'\xff\x00', True), (b'\xff\xd0', True)],
)
def test_a_marker_inside_the_scan_is_left_to_pillow(tmp_path, inserted, by_opencv):
    """What is missing there OpenCV makes up; stuffed bytes and restarts are no such markers."""
    path = tmp_path / 'image.jpg'
    data = bytearray(Path(write(path, scene(90, 160))).read_bytes())
    assert EncodedImage.read(str(path)).by_opencv
    data[-501:-497] = b'\x11' + inserted + b'\x11'
    path.write_bytes(data)
    assert EncodedImage.read(str(path)).by_opencv == by_opencv


def test_decoded_on_demand(tmp_path):
    paths = [write(tmp_path / f'{i}.jpg', scene(20 + i, 30)) for i in range(3)]
    imgs = DecodedOnDemand(EncodedImage.read(path) for path in paths)
    assert (len(imgs), [img.shape for img in imgs]) == (3, [(20, 30, 3), (21, 30, 3), (22, 30, 3)])
    assert [img.shape[0] for img in imgs[::-1]] == [22, 21, 20]
    with pytest.raises(IndexError):
        imgs[3]


def loaded(path: str, reduction: int = 1) -> dict:
    with Image.open(path) as img:
        width, height = img.size
    intrinsics = [[0.8 * width, 0, 0.51 * width], [0, 0.8 * width, 0.54 * height], [0, 0, 1]]
    frame = dict(path=path, intrinsics=intrinsics, cam_from_ego=np.eye(4).tolist())
    return CVTIOLoadImages(reduction).transform({'images': [frame]})


def load(path: str, reduction: int) -> dict:
    return CVTIOResizeCrop().transform(loaded(path, reduction))


@pytest.mark.parametrize('size', [(900, 1600), (899, 1601)])
def test_reduced_images_differ_little_and_keep_their_intrinsics(tmp_path, size):
    path = write(tmp_path / 'image.jpg', scene(*size), quality=90)
    full, half = load(path, 1), load(path, 2)
    assert loaded(path, 2)['imgs'][0].shape == (450, (size[1] + 1) // 2, 3)
    error = np.abs(full['imgs'][0].astype(int) - half['imgs'][0])
    assert 0 < error.mean() < 1 and error.max() < 40
    # An odd width counts as one pixel more, 1/1602 of it.
    np.testing.assert_allclose(half['intrinsics'], full['intrinsics'], rtol=2 / size[0] if size[0] % 2 else 1e-12)


def test_reduction_of_other_files_is_none(tmp_path):
    path = write(tmp_path / 'image.png', scene(90, 160))
    np.testing.assert_array_equal(load(path, 2)['imgs'][0], load(path, 1)['imgs'][0])
    np.testing.assert_array_equal(load(path, 2)['intrinsics'], load(path, 1)['intrinsics'])


def test_reductions():
    assert CVTIOLoadImages().reduction == 1
    with pytest.raises(ValueError, match=r'reduction: expected one of \(1, 2, 4, 8\), got 3'):
        CVTIOLoadImages(3)


def test_bytes_are_not_read_twice(tmp_path):
    """A file that goes away after it was read can still be decoded."""
    path = write(tmp_path / 'image.jpg', scene(20, 30))
    imgs = loaded(path)['imgs']
    expected = np.asarray(Image.open(BytesIO(Path(path).read_bytes())))
    Path(path).unlink()
    np.testing.assert_array_equal(imgs[0], expected)


def test_fill_bytes_before_a_marker_are_not_a_truncation(tmp_path):
    """Any number of 0xFF may precede a marker (ITU T.81, B.1.1.2)."""
    path = write(tmp_path / 'image.jpg', scene(90, 160), format='JPEG')
    data = (tmp_path / 'image.jpg').read_bytes()
    expected = EncodedImage.read(path).decode()
    scan = data.rindex(b'\xff\xda')
    (tmp_path / 'image.jpg').write_bytes(data[:2] + b'\xff\xff' + data[2:scan] + b'\xff' * 3 + data[scan:])
    np.testing.assert_array_equal(EncodedImage.read(path).decode(), expected)


@pytest.mark.parametrize('number', [errno.EIO, errno.EMFILE])
def test_errors_of_the_machine_are_not_broken_frames(tmp_path, monkeypatch, number):
    """Other files would meet them too, so that ``skip_broken`` must not pass over this one."""

    def fail(path):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(decoding, 'get', fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        EncodedImage.read(str(tmp_path / 'x.jpg'))
    monkeypatch.setattr(Path, 'read_bytes', fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        read_label(tmp_path / 'x.png')
