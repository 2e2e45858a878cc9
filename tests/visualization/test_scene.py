"""Frames of a scene in their order, and the files that hold them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.structures import BaseDataElement
from PIL import Image

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.groups import LabelGroup
from projects.CVT_IO.cvt_io.visualization import painter, scene
from projects.CVT_IO.cvt_io.visualization.scene import (
    channel_of,
    check_output,
    choose_frames,
    photo_views,
    predict_frames,
    scene_indices,
    write_frames,
)

COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))


def frames(height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Three frames, each of one colour."""
    return [np.full((height, width, 3), color, np.uint8) for color in COLORS]


class Infos:
    """A data set of four frames of two scenes, the first scene's not in the order of time."""

    ann_file = 'infos.json'

    def __init__(self, *frames: tuple[str, int] | str) -> None:
        self.frames = frames or (('b', 5), ('a', 1), ('b', 3), ('b', 4))

    def __len__(self) -> int:
        return len(self.frames)

    def get_data_info(self, index: int) -> dict:
        return dict(zip(('scene_name', 'timestamp'), self.frames[index], strict=True))


def test_frames_are_in_the_order_of_time():
    assert scene_indices(Infos(), 'b') == [2, 3, 0]
    assert scene_indices(Infos(), 'a') == [1]


@pytest.mark.parametrize(('names', 'listed'), [('ba', 'a, b'), ('gfedcba', r'a, b, c, d, e … \(7 in all\)')])
def test_unknown_scene_names_some_that_exist(names, listed):
    with pytest.raises(DataError, match=f'^--scene x: not in infos.json, which has {listed}$'):
        scene_indices(Infos(*((name, 0) for name in names)), 'x')


class Tokens(Infos):
    """A data set of samples with these tokens."""

    def get_data_info(self, index: int) -> dict:
        return dict(sample_token=self.frames[index])

    def spread(self, count: int | None) -> list[int]:
        return list(range(len(self.frames)))[:count]


def test_samples_by_the_start_of_their_tokens():
    """A whole token means that one alone, also where another begins so; the start of several means them all."""
    samples = Tokens('image-1', 'image-10', 'image-11', 'other')
    assert choose_frames(samples, ['image-1']) == [0]
    assert choose_frames(samples, ['oth', 'image-10']) == [3, 1]
    assert choose_frames(samples, ['im']) == [0, 1, 2]
    assert choose_frames(samples, [], 2) == [0, 1]
    with pytest.raises(DataError, match=r'^--frames x: no such sample in infos.json$'):
        choose_frames(samples, ['other', 'x'])


def test_label_groups_by_name():
    groups = [LabelGroup('road', (1,)), LabelGroup('car', (4,))]
    assert [channel_of(groups, name) for name in (None, 'road', 'car')] == [0, 0, 1]
    with pytest.raises(DataError, match=r'^label group bus: expected one of road, car$'):
        channel_of(groups, 'bus')


def test_predictions_that_are_no_numbers_are_refused():
    """nan is not above the threshold, so it would be drawn and counted as a prediction of nothing."""

    class Model(torch.nn.Module):
        def test_step(self, _: object) -> list[Det3DDataSample]:
            scores = torch.tensor([[[0.5, float('nan')]]])
            return [Det3DDataSample(pred_bev=BaseDataElement(scores=scores))]

    class Samples(Tokens):
        def __getitem__(self, index: int) -> dict:
            return {}

    with pytest.raises(DataError, match=r'^sample a: expected finite probabilities, the model predicts nan$'):
        next(predict_frames(Model(), Samples('a'), [0]))


def test_video_holds_the_frames(tmp_path):
    """Odd sizes lose a row and a column; MPEG-4 changes a plain colour by a few levels."""
    path = tmp_path / 'new/a.mp4'
    write_frames(path, iter(frames(49, 65)), 2)
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 2
    for color in COLORS:
        read, frame = video.read()
        assert read and frame.shape == (48, 64, 3)
        assert frame[..., ::-1].mean(axis=(0, 1)) == pytest.approx(color, abs=6)
    assert not video.read()[0]
    assert [file.name for file in path.parent.iterdir()] == ['a.mp4']


def test_gif_holds_the_frames(tmp_path):
    path = tmp_path / 'new/a.gif'
    write_frames(path, iter(frames()), 4)
    picture = Image.open(path)
    assert (picture.n_frames, picture.info['duration'], picture.info['loop']) == (3, 250, 0)
    for number, color in enumerate(COLORS):
        picture.seek(number)
        assert np.asarray(picture.convert('RGB')).mean(axis=(0, 1)) == pytest.approx(color, abs=2)


def test_gif_keeps_the_colours_that_mean_something(tmp_path):
    """A few cells of an error's colour are not merged with the outline's, however much else needs a palette entry."""
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    frame[:20, :20], frame[20:60, :60] = painter.FALSE, painter.THRESHOLD
    write_frames(tmp_path / 'a.gif', [frame], 2)
    picture = np.asarray(Image.open(tmp_path / 'a.gif').convert('RGB'))
    assert picture[10, 10] == pytest.approx(painter.FALSE, abs=20)
    assert picture[40, 30] == pytest.approx(painter.THRESHOLD, abs=20)


def test_folder_holds_the_frames(tmp_path):
    write_frames(tmp_path / 'new/folder', iter(frames()), 2)
    files = sorted((tmp_path / 'new/folder').iterdir())
    assert [file.name for file in files] == ['0000.png', '0001.png', '0002.png']
    assert all((np.asarray(Image.open(file)) == color).all() for file, color in zip(files, COLORS, strict=True))


def test_missing_codec(tmp_path, monkeypatch):
    """OpenCV says so by a writer that is not open; nothing is left."""

    class NoEncoder:
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def isOpened(self) -> bool:  # noqa: N802
            return False

        def open(self, *_: object) -> bool:
            return False

        def release(self) -> None:
            pass

    monkeypatch.setattr(scene.cv2, 'VideoWriter', NoEncoder)
    with pytest.raises(DataError, match=r"a.mp4: this OpenCV has no encoder for 'mp4v' video; write a .gif or"):
        write_frames(tmp_path / 'a.mp4', frames(), 2)
    assert not [*tmp_path.iterdir()]


def test_a_video_that_breaks_off_is_not_there(tmp_path):
    def broken():
        yield frames()[0]
        raise DataError('the second frame')

    with pytest.raises(DataError, match='the second frame'):
        write_frames(tmp_path / 'a.mp4', broken(), 2)
    assert not [*tmp_path.iterdir()]


def test_output_names(tmp_path):
    for name in ('a.mp4', 'a.MP4', 'a.gif', 'folder'):
        check_output(tmp_path / name)
    (tmp_path / 'v1.0').mkdir()
    check_output(tmp_path / 'v1.0')
    with pytest.raises(DataError, match=r'--out .*a.avi: expected a name that ends in .mp4 or .gif, or a folder'):
        check_output(tmp_path / 'a.avi')


def test_photos_have_their_own_size_and_calibration(tmp_path):
    content = BytesIO()
    Image.new('RGB', (32, 18), (10, 20, 30)).save(content, 'PNG')
    path = tmp_path / 'a.png'
    path.write_bytes(content.getvalue())
    image = dict(path=str(path), camera='CAM', intrinsics=np.diag([2, 3, 1]).tolist(), cam_from_ego=np.eye(4).tolist())
    (view,) = photo_views(dict(images=[image]))
    assert view.img.shape == (18, 32, 3) and tuple(view.img[0, 0]) == (10, 20, 30)
    assert view.name == 'CAM' and view.intrinsics[1, 1] == 3 and view.cam_from_ego.shape == (4, 4)
    missing = str(Path(tmp_path, 'none.jpg'))
    with pytest.raises(DataError, match=r'none.jpg: expected an image'):
        photo_views(dict(images=[image | dict(path=missing)]))
