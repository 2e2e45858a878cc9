"""The short form, and that the harness notices what it is there to notice."""

from __future__ import annotations

import json
import shutil
import time
from functools import partial

import numpy as np
import pytest
from PIL import ImageFile
from PIL.PngImagePlugin import PngImageFile

from projects.CVT_IO.cvt_io.datasets import decoding, nuscenes_dataset
from projects.CVT_IO.cvt_io.labels import codec
from projects.CVT_IO.torture import bad_data, damage
from projects.CVT_IO.torture.damage import REFUSED, SAME, tally


def test_short_form(tmp_path):
    outcomes = [*bad_data.run(tmp_path, full=False)]
    assert [outcome for outcome in outcomes if not outcome.passed] == []
    assert len({outcome.what for outcome in outcomes}) == len(outcomes) > 15


def test_what_counts_as_a_failure(monkeypatch):
    monkeypatch.setattr(damage, 'PATIENCE', 0.2)
    trials = (lambda: SAME, lambda: REFUSED, lambda: 'another label', lambda: 1 // 0, lambda: time.sleep(5))
    outcome = tally('trials', trials, {SAME})
    assert (outcome.tried, outcome.survived, outcome.passed) == (5, 1, False)
    assert outcome.note.startswith('1 refused, 1 another label, 1 ZeroDivisionError')
    hung = tally('trials', trials[-1:], {SAME})
    assert hung.note == '1 TimeoutError: no end after 0.2 s' and not hung.passed


def test_a_decoder_that_makes_up_half_an_image_is_noticed(toy_root, tmp_path, monkeypatch):
    """Pillow does so where it is told to, if its files are not looked at before."""
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    monkeypatch.setattr(decoding, '_has_end', lambda data: True)
    image = tmp_path / 'image.jpg'
    image.write_bytes(next(toy_root.glob('samples/*/*.jpg')).read_bytes())
    cut_off = next(bad_data._images(image, np.random.default_rng(0), full=False))
    assert cut_off.what == 'JPEG by OpenCV cut off' and not cut_off.passed and 'other values' in cut_off.note


def test_a_label_whose_checksums_are_not_looked_at_is_noticed(toy_root, monkeypatch):
    data = next(toy_root.glob('cvt_io_labels/48x48*/*/*.png')).read_bytes()
    read = partial(bad_data._read_label, codec.decode_stored(data))
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    monkeypatch.setattr(PngImageFile, 'verify', lambda self: None)
    cut_off, *_ = bad_data._damaged('label', data, np.random.default_rng(0), False, read, {REFUSED, SAME})
    assert not cut_off.passed and 'another label' in cut_off.note


def test_frames_with_each_others_labels_are_noticed(toy_root, tmp_path, monkeypatch):
    for name in ('samples', 'cvt_io_labels'):
        (tmp_path / name).symlink_to(toy_root / name)
    infos = json.loads((toy_root / bad_data.INFOS).read_text())
    (tmp_path / bad_data.INFOS).write_text(json.dumps(infos))
    whole = bad_data._entries(bad_data._dataset(tmp_path))
    first, second = infos['data_list'][:2]
    first['label'], second['label'] = second['label'], first['label']
    monkeypatch.setattr(nuscenes_dataset, 'check_frame', lambda *_: None)
    (tmp_path / bad_data.INFOS).write_text(json.dumps(infos))
    found = bad_data._entries(bad_data._dataset(tmp_path))
    assert bad_data._compare(found, whole).startswith(found[0]['label'])


@pytest.mark.parametrize(('share', 'broken', 'end'), [(0.1, 1, 'too early'), (0.9, 4, '4 counted of 4 broken')])
def test_a_share_that_is_not_kept_is_noticed(toy_root, tmp_path, share, broken, end):
    """Three of six may be broken: with four of them a run must stop, with one it must not."""
    root = shutil.copytree(toy_root, tmp_path / 'data')
    frames = json.loads((root / bad_data.INFOS).read_text())['data_list'][:broken]
    for frame in frames:
        (root / frame['images'][0]['path']).unlink()
    dataset = bad_data._dataset(root, skip_broken=True, max_broken=share)
    assert bad_data._train_over(dataset, np.arange(broken), workers=0).startswith(end)
