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
from projects.CVT_IO.cvt_io.engine.config import build_dataset, build_model, load_config
from projects.CVT_IO.cvt_io.engine.weights import load_weights
from projects.CVT_IO.cvt_io.labels.errors import DataError
from projects.CVT_IO.cvt_io.visualization import painter
from tests.apis.toy_inputs import infos, mmdet3d_info, mmdet3d_pickle, rig_json, split_of
from tests.tiny import REPO, TOY_CONFIG

WEIGHTS = REPO / 'projects/CVT_IO/weights/cvt_io_v2_2_toy-71191bb3.pth'


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
    with pytest.raises(DataError, match=r'found .* a second time'):
        inferencer([infos_file, infos_file], frames=[content['data_list'][0]['sample_token']])


def test_models(toy_root, frame, inferencer, tmp_path):
    """A path, a Config and a dict are the name's model."""
    rig = rig_json(frame, tmp_path / 'rig.json')
    expected = scores(inferencer, rig)
    cfg = Config.fromfile(TOY_CONFIG)
    for model, weights in ((str(TOY_CONFIG), WEIGHTS), (cfg, 'cvt_io_v2_2_toy'), (dict(cfg), str(WEIGHTS))):
        other = CVTIOInferencer(model, weights, 'cpu', show_progress=False)
        np.testing.assert_array_equal(scores(other, rig), expected)


@pytest.mark.parametrize(
    ('model', 'weights', 'device', 'message'),
    [
        ('cvt_io_v2_2_tyo', None, 'cpu', 'no such model in the zoo; did you mean'),
        ('cvt_io_v2_2', None, 'cpu', 'no weights are published'),
        (str(TOY_CONFIG), None, 'cpu', 'weights: expected a file or a name in the zoo'),
        ('nowhere.py', None, 'cpu', 'nowhere.py: no such config'),
        (str(TOY_CONFIG), 'nowhere.pth', 'cpu', 'nowhere.pth: no such checkpoint'),
        ('cvt_io_v2_2', str(WEIGHTS), 'cpu', "keys differ from the model's"),
        ('cvt_io_v2_2_toy', None, 'abacus', 'device abacus: not on this machine'),
        ({'model': {}}, str(WEIGHTS), 'cpu', 'test_dataloader.dataset.bev_grid'),
        (5, None, 'cpu', 'model: expected a name, path or config, found int'),
    ],
)
def test_bad_models(model, weights, device, message):
    with pytest.raises(DataError, match=message) as error:
        CVTIOInferencer(model, weights, device)
    assert '\n' not in str(error.value)


def test_bad_settings(inferencer, monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    with pytest.raises(DataError, match='score_thr: expected a probability'):
        inferencer('val', score_thr=2.0)
    with pytest.raises(DataError, match='show: no display'):
        inferencer('val', show=True)
