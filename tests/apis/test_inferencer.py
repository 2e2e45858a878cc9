"""A frame gives the same whichever way it comes, and what is written is what was predicted."""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.checkpoint import load_weights
from projects.CVT_IO.cvt_io.runtime.config import build_dataset, build_model, load_config
from projects.CVT_IO.cvt_io.visualization import painter
from projects.CVT_IO.cvt_io.visualization.panels import WIDTH
from tests.apis.toy_inputs import infos, mmdet3d_info, mmdet3d_pickle, rig_json, split_of
from tests.tiny import TOY_CONFIG, toy_weights

WEIGHTS = toy_weights('cvt_io_v2_2_toy')


def scores(inferencer, *args, **kwargs) -> np.ndarray:
    samples = inferencer(*args, return_datasamples=True, **kwargs)['predictions']
    return np.stack([sample.pred_bev.scores.numpy() for sample in samples])


def test_three_ways_give_what_the_data_set_gives(tmp_path, toy_root, inferencer, frame):
    """Held against the test pipeline and the model themselves."""
    split = split_of(toy_root)
    cfg = load_config(str(TOY_CONFIG), {'data_root': str(toy_root), 'test_dataloader.dataset.ann_file': split.name})
    model = build_model(cfg).eval()
    load_weights(model, WEIGHTS)
    item = build_dataset(cfg, 'test_dataloader')[0]
    with torch.no_grad():
        batch = {'inputs': {key: [value] for key, value in item['inputs'].items()}}
        expected = model(**model.data_preprocessor(batch)).sigmoid()[0, :1].numpy()
    ways = {
        'infos': scores(inferencer, str(split), frames=[frame['sample_token']]),
        'split': scores(inferencer, split.stem.rpartition('_')[2], frames=[frame['sample_token'][:12]]),
        'pickle': scores(inferencer, mmdet3d_pickle(toy_root, frame, tmp_path / 'mmdet3d')),
        'rig': scores(inferencer, rig_json(frame, tmp_path / 'rig' / 'rig.json')),
        'inverse': scores(inferencer, rig_json(frame, tmp_path / 'inverse' / 'rig.json', inverse=True)),
    }
    assert expected.std() > 0.01
    for way, found in ways.items():
        np.testing.assert_allclose(found[0], expected, atol=1e-5, err_msg=way)


def test_three_cameras(tmp_path, inferencer, frame):
    six = scores(inferencer, rig_json(frame, tmp_path / 'six' / 'rig.json'))
    result = inferencer(rig_json(frame, tmp_path / 'three' / 'rig.json', cameras=3), out_dir=tmp_path, return_vis=True)
    (prediction,), (picture,) = result['predictions'], result['visualization']
    assert prediction['cameras'] == [image['camera'] for image in frame['images'][:3]]
    assert np.abs(prediction['probabilities'] - six[0]).max() > 0.01
    assert prediction['notes'] == ['images of 160 × 90: resized to 112 × 63, top 15 rows cut off']
    name = tmp_path / 'preds' / 'drive_first'
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'vis/drive_first.png'))[..., ::-1], picture)
    written = np.load(name.with_suffix('.npz'))
    assert written['probabilities'].dtype == np.float16 and written['groups'].tolist() == ['vehicle']
    np.testing.assert_array_equal(written['probabilities'], prediction['probabilities'])
    mask = cv2.imread(f'{name}_vehicle.png', cv2.IMREAD_UNCHANGED)
    assert {*np.unique(mask)} <= {0, 255}
    text = json.loads(name.with_suffix('.json').read_text())
    assert text == {key: value for key, value in prediction.items() if key != 'probabilities'}
    # A cell of the toy grid is a square metre.
    assert sum(region['area'] for region in text['regions']['vehicle']) == (mask == 255).sum()


def test_batches_of_one_rig_each(tmp_path, toy_root, inferencer, frame):
    """Frames with six, six, three and six cameras: the order stays, and batches do not change what is predicted."""
    paths = [rig_json(frame, tmp_path / str(index) / 'rig.json', cameras) for index, cameras in enumerate((6, 6, 3, 6))]
    for index, path in enumerate(paths):
        path.write_text(path.read_text().replace('"first"', f'"{index}"'))
    sizes = [len(batch['data_samples']) for batch in inferencer.preprocess(paths, batch_size=3)]
    assert sizes == [2, 1, 1]
    together = inferencer(paths, batch_size=3)['predictions']
    assert [prediction['sample_token'] for prediction in together] == ['0', '1', '2', '3']
    alone = [inferencer(path)['predictions'][0]['probabilities'] for path in paths]
    for prediction, probabilities in zip(together, alone, strict=True):
        np.testing.assert_allclose(prediction['probabilities'], probabilities, atol=2e-3)  # float16


def test_scene_and_truth(tmp_path, toy_root, inferencer, frame):
    """All frames of a scene, in their order; where there is a label, what the model missed is shown."""
    expected = [info['sample_token'] for info in infos(toy_root) if info['scene_name'] == frame['scene_name']]
    result = inferencer(split_of(toy_root), scene=frame['scene_name'], batch_size=2, return_vis=True)
    assert [prediction['sample_token'] for prediction in result['predictions']] == expected
    without = inferencer(rig_json(frame, tmp_path / 'rig.json'), return_vis=True)
    missed = [(r['visualization'][0] == painter.MISSED).all(axis=-1).sum() for r in (result, without)]
    assert missed[0] > 500 and missed[1] == 0  # pixels
    with pytest.raises(DataError, match='no frames of scene scene-9999, found scene-'):
        inferencer(split_of(toy_root), scene='scene-9999')


def test_without_lidar2ego_it_is_approximated(tmp_path, toy_root, inferencer, frame, capsys):
    """And says how much the cameras differ; the ego of the toy world moves some decimetres between the timestamps."""
    exact = scores(inferencer, mmdet3d_pickle(toy_root, frame, tmp_path / 'exact'))
    entry = mmdet3d_info(toy_root, frame)
    del entry['lidar_points']
    pickled = mmdet3d_pickle(toy_root, frame, tmp_path / 'without', entry)
    found = scores(inferencer, pickled)
    assert 0 < np.abs(found - exact).max() < 0.2
    assert 'no lidar_points.lidar2ego: approximated' in capsys.readouterr().err


def test_broken_frames(tmp_path, toy_root, inferencer, capsys):
    split = split_of(toy_root)
    content = json.loads(split.read_text())
    shutil.copytree(toy_root / 'samples', tmp_path / 'samples')
    infos_file = tmp_path / 'cvt_io_infos_val.json'
    infos_file.write_text(json.dumps(content))
    broken = tmp_path / content['data_list'][1]['images'][2]['path']
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(DataError, match=re.escape(f'{broken}: expected an image')):
        inferencer(infos_file)
    found = inferencer(infos_file, skip_broken=True)['predictions']
    assert len(found) == len(content['data_list']) - 1
    assert len(inferencer.skipped) == 1
    assert f'skipped: {broken}: expected an image' in capsys.readouterr().err
    with pytest.raises(DataError, match='all 1 frames are broken'):
        inferencer(infos_file, frames=[content['data_list'][1]['sample_token']], skip_broken=True)
    with pytest.raises(DataError, match=r'expected a unique name, found .* twice'):
        inferencer([infos_file, infos_file], frames=[content['data_list'][0]['sample_token']])


def test_models(toy_root, frame, inferencer, tmp_path):
    """A path, a Config and a dict are the name's model."""
    rig = rig_json(frame, tmp_path / 'rig.json')
    expected = scores(inferencer, rig)
    cfg = Config.fromfile(TOY_CONFIG)
    for model, weights in ((str(TOY_CONFIG), WEIGHTS), (cfg, 'cvt_io_v2_2_toy'), (dict(cfg), str(WEIGHTS))):
        other = CVTIOInferencer(model, weights, 'cpu', show_progress=False)
        np.testing.assert_array_equal(scores(other, rig), expected)


@pytest.mark.parametrize('model', [str(TOY_CONFIG), Config.fromfile(TOY_CONFIG)])
def test_options_reach_every_data_set(model, toy_root, frame):
    """A config has copies of ``data_root`` by the time that it is one."""
    moved = CVTIOInferencer(model, WEIGHTS, 'cpu', cfg_options={'data_root': str(toy_root)})
    split = split_of(toy_root).stem.rpartition('_')[2]
    (prediction,) = moved(split, frames=[frame['sample_token']])['predictions']
    assert prediction['sample_token'] == frame['sample_token']
    with pytest.raises(DataError, match='options: ') as error:
        CVTIOInferencer(model, WEIGHTS, 'cpu', cfg_options={'model.type.a': 1})
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('model', 'weights', 'device', 'message'),
    [
        ('cvt_io_v2_2_tyo', None, 'cpu', 'no such model in the zoo; did you mean'),
        ('cvt_io_v2_2', None, 'cpu', 'no weights are published'),
        (str(TOY_CONFIG), None, 'cpu', 'weights: expected a file or a name in the zoo'),
        ('nowhere.py', None, 'cpu', 'nowhere.py: no such config'),
        (str(TOY_CONFIG), 'nowhere.pth', 'cpu', 'nowhere.pth: cannot read checkpoint: No such file'),
        ('cvt_io_v2_2', str(WEIGHTS), 'cpu', "keys differ from the model's"),
        ('cvt_io_v2_2_toy', None, 'abacus', 'device abacus: not on this machine'),
        ({'model': {}}, str(WEIGHTS), 'cpu', 'config: model: expected a dict with a type'),
        (5, None, 'cpu', 'model: expected a name, path or config, found int'),
    ],
)
def test_bad_models(model, weights, device, message):
    with pytest.raises(DataError, match=message) as error:
        CVTIOInferencer(model, weights, device)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('inputs', 'settings', 'message'),
    [
        ('val', dict(score_thr=2.0), 'score_thr: expected a probability'),
        ('val', dict(batch_size=0), 'batch_size: expected at least 1, found 0'),
        ([], {}, 'inputs: expected at least one, found none'),
    ],
)
def test_bad_settings(inferencer, inputs, settings, message):
    with pytest.raises(DataError, match=message):
        inferencer(inputs, **settings)


def test_a_split_that_the_config_has_not(toy_root, inferencer, monkeypatch):
    """It is not answered with another split."""
    monkeypatch.setitem(inferencer.cfg, 'val_dataloader', None)
    with pytest.raises(DataError, match='expected a val_dataloader for the input'):
        inferencer('val')


def test_windows(tmp_path, inferencer, frame, monkeypatch):
    """One picture each, the one that is returned; without a display or a toolkit it is said before anything is done."""
    rig, shown = rig_json(frame, tmp_path / 'rig.json'), []
    monkeypatch.setattr('matplotlib.pyplot.get_backend', lambda: 'agg')
    with pytest.raises(DataError, match='show: no display or no GUI toolkit'):
        inferencer(rig, show=True)
    monkeypatch.setattr('matplotlib.pyplot.get_backend', lambda: 'TkAgg')
    monkeypatch.setattr(inferencer.visualizer, 'show', lambda *args, **kwargs: shown.append((*args, kwargs)))
    (picture,) = inferencer(rig, show=True, wait_time=0.5, return_vis=True)['visualization']
    ((window, settings),) = shown
    np.testing.assert_array_equal(window, picture)
    assert settings == dict(win_name='drive_first.png', wait_time=0.5)


def test_pictures_are_as_sharp_as_the_files(tmp_path, inferencer, frame):
    """A front camera of twice the panel's width: half its size, less what is above the model's 48 rows of 112.

    Pixels that are doubled and halved again with a triangle of ±2: 1/8, 3/4 and 1/8 of three neighbours.
    """
    root, front = tmp_path / 'rig', frame['images'][1]
    rig = json.loads(rig_json(frame | {'images': [front]}, root / 'rig.json').read_text())
    height = WIDTH * 9 // 16
    photo = np.random.default_rng(0).integers(0, 256, (height, WIDTH, 3), dtype=np.uint8)
    cv2.imwrite(str(root / 'large.png'), cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))
    rig['frames'][0]['images'] = {front['camera']: 'large.png'}
    (root / 'rig.json').write_text(json.dumps(rig))
    (picture,) = inferencer(root / 'rig.json', return_vis=True, score_thr=1.0)['visualization']
    rows = round(WIDTH * 48 / 112)
    top = painter.GAP + painter.LINE
    found = picture[top + 40 : top + rows, painter.GAP : painter.GAP + WIDTH].astype(int)
    weights = np.array([0.125, 0.75, 0.125])
    expected = cv2.sepFilter2D(photo, cv2.CV_64F, weights, weights)[height - rows + 40 :, :, ::-1]
    np.testing.assert_allclose(found[:-1, 1:-1], expected[:-1, 1:-1], atol=2)


def test_what_is_broken_beside_the_images(tmp_path, toy_root, inferencer):
    """A label that is cut short is a broken frame, whether or not pictures are wanted."""
    split = split_of(toy_root)
    info = json.loads(split.read_text())['data_list'][0]
    shutil.copytree(toy_root, tmp_path / 'world', ignore=shutil.ignore_patterns('v1.0-*'))
    label = next((tmp_path / 'world').rglob(f'48x48*/{info["label"]}'))
    label.write_bytes(label.read_bytes()[:50])
    for wanted in (True, False):
        found = inferencer(tmp_path / 'world' / split.name, skip_broken=True, return_vis=wanted)['predictions']
        assert info['sample_token'] not in {prediction['sample_token'] for prediction in found}
        assert len(inferencer.skipped) == 1 and str(label) in inferencer.skipped[0]


def test_colours_of_a_rig(tmp_path, inferencer, frame):
    """Greyscale images, palettes and PNGs with alpha are what they look like."""
    front = frame['images'][1]
    rig = rig_json(frame | {'images': [front]}, tmp_path / 'rig.json')
    path = tmp_path / f'{front["camera"]}.jpg'
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    found = []
    for img in (grey, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), cv2.cvtColor(grey, cv2.COLOR_GRAY2BGRA)):
        path.write_bytes(cv2.imencode('.png', img)[1].tobytes())
        found.append(scores(inferencer, rig))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_names_of_strangers(tmp_path, inferencer, frame, capsys):
    """Long ones in a script of three bytes a letter, and half a letter, which no encoding can write."""
    rig = json.loads(rig_json(frame, tmp_path / 'rig.json').read_text())
    rig['frames'] = [dict(rig['frames'][0], token='道' * 150), dict(rig['frames'][0], token='a\ud800\n')]
    (tmp_path / 'rig.json').write_text(json.dumps(rig))
    names = [p['name'] for p in inferencer(tmp_path / 'rig.json', out_dir=tmp_path, print_result=True)['predictions']]
    assert {path.stem for path in (tmp_path / 'vis').iterdir()} == {*names}
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)['sample_token'] for line in lines] == ['道' * 150, 'a\ud800\n']


def test_a_scene_that_is_no_name(tmp_path, toy_root, inferencer):
    """It is not in the way of other frames, and is named when its turn comes."""
    content = json.loads(split_of(toy_root).read_text())
    content['data_list'][0]['scene_name'] = ['a', {}]
    path = tmp_path / 'cvt_io_infos_val.json'
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match='no frames of scene scene-9999, found '):
        inferencer(path, scene='scene-9999')
    with pytest.raises(DataError, match='scene_name: expected a name'):
        inferencer(path, image_root=toy_root)
