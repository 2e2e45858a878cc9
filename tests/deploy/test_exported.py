"""The inferencer on exported files, against the checkpoints that they were exported from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino
import pytest
import torch

from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
from projects.CVT_IO.cvt_io.apis.model import load_model
from projects.CVT_IO.cvt_io.deploy.exported import as_config
from projects.CVT_IO.cvt_io.deploy.extras import DeployError
from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.labels.description import CAMERAS
from tests.apis.toy_inputs import rig_json, split_of
from tests.deploy.exported import LATENT_OPTIONS, tiny_latent_config
from tests.tiny import TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool


def written(graph: bytes, path: Path) -> Path:
    """The graph as an ONNX file, or as OpenVINO's with its weights in fp32."""
    path.with_suffix('.onnx').write_bytes(graph)
    if path.suffix == '.xml':
        openvino.save_model(openvino.convert_model(path.with_suffix('.onnx')), path, compress_to_fp16=False)
        path.with_suffix('.onnx').unlink()
    return path


def changed(plain: Path, **values: str | None) -> Path:
    """A copy with other metadata; None for none."""
    proto = onnx.load(plain)
    properties = {prop.key: prop.value for prop in proto.metadata_props} | values
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {key: value for key, value in properties.items() if value is not None})
    path = plain.with_name('changed.onnx')
    onnx.save(proto, path)
    return path


def three_frames(frame: dict, folder: Path, cameras: int) -> Path:
    """A rig with frames of different images: the second's are turned upside down, the third's are the first's."""
    path = rig_json(frame, folder / 'rig.json', cameras)
    rig = json.loads(path.read_text())
    (first,) = rig['frames']
    turned = {}
    for name, image in first['images'].items():
        turned[name] = f'turned_{image}'
        cv2.imwrite(str(folder / turned[name]), cv2.imread(str(folder / image))[::-1])
    rig['frames'] += [dict(first, token='second', images=turned), dict(first, token='third')]
    path.write_text(json.dumps(rig))
    return path


@pytest.mark.parametrize(
    ('name', 'cameras', 'suffix'),
    [
        ('v2', 6, '.onnx'),  # batches of one
        ('v1 of four cameras, any batch', 4, '.onnx'),
        ('v3 of any cameras, any batch, raw images', 5, '.xml'),
    ],
)
def test_predicts_what_the_checkpoint_predicts(exported, frame, tmp_path, capsys, name, cameras, suffix):
    cfg, _, checkpoint, graph = exported(name)
    rig = three_frames(frame, tmp_path, cameras)
    model = written(graph, tmp_path / f'model{suffix}')
    settings = dict(batch_size=2, return_vis=True, return_datasamples=True, print_result=True)
    expected, found = (
        CVTIOInferencer(*source, device='cpu', show_progress=False)(rig, **settings)
        for source in ((cfg, checkpoint), (model,))
    )
    samples = zip(expected['predictions'], found['predictions'], strict=True)
    for sample, other in samples:
        np.testing.assert_allclose(other.pred_bev.scores, sample.pred_bev.scores, atol=1e-5)
        np.testing.assert_allclose(other.pred_bev.center, sample.pred_bev.center, atol=1e-5)
    scores = [sample.pred_bev.scores.numpy() for sample in found['predictions']]
    assert np.abs(scores[0] - scores[1]).max() > 1e-2 and np.abs(scores[0] - scores[2]).max() < 1e-5
    for picture, other in zip(expected['visualization'], found['visualization'], strict=True):
        assert (picture != other).mean() < 1e-3  # a probability may round to another colour
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(results) == 6 and results[0]['regions'].keys() == {'vehicle'}
    for result, other in zip(results[:3], results[3:], strict=True):
        assert {**result, 'regions': None} == {**other, 'regions': None}


def test_demo(exported, frame, tmp_path, capsys):
    model = written(exported('v2')[-1], tmp_path / 'model.onnx')
    rig = rig_json(frame, tmp_path / 'rig.json')
    assert run_tool('demo/bev_demo.py', rig, model, '--out-dir', tmp_path / 'out') is None
    assert (tmp_path / 'out/vis/drive_first.png').exists()
    assert '1 frames, 0 skipped' in capsys.readouterr().err


def test_with_a_config_in_place_of_a_checkpoint(exported, toy_root, tmp_path):
    """For a data set of the config, and for a scene's map, which a checkpoint draws alike."""
    _, _, checkpoint, graph = exported('v2')
    model = written(graph, tmp_path / 'model.onnx')
    split = split_of(toy_root).stem.rpartition('_')[2]
    cfg = tiny_latent_config(data_root=str(toy_root))
    first = CVTIOInferencer(cfg, model, 'cpu', show_progress=False)(split)['predictions'][0]
    options = ('--device', 'cpu', '--cfg-options', *as_arguments(LATENT_OPTIONS | {'data_root': toy_root}))
    maps = []
    for weights in (checkpoint, model):
        out = ('--split', split, '--scene', first['scene_name'], '--stitched', tmp_path / 'map.png')
        assert run_tool('tools/visualize.py', TOY_CONFIG, weights, *out, *options) is None
        maps.append(cv2.imread(str(tmp_path / 'map.png')))
    assert maps[0].std() > 1 and (maps[0] != maps[1]).mean() < 1e-3
    with pytest.raises(DeployError, match=r'model\.onnx: image_size: expected \[64, 112\]'):
        CVTIOInferencer(
            tiny_latent_config(**{'test_dataloader.dataset.pipeline.1.size': (64, 112)}), model, device='cpu'
        )
    with pytest.raises(DeployError, match=r'exported files run on the CPU, found device cuda'):
        load_model(cfg, model, torch.device('cuda'))


def test_what_an_exported_file_has_not(plain, frame, tmp_path):
    for settings in (dict(weights='x.pth'), dict(cfg_options=dict(a=1))):
        with pytest.raises(DataError, match=r'plain\.onnx: an exported file takes no weights and no cfg_options'):
            CVTIOInferencer(plain, **settings)
    inferencer = CVTIOInferencer(plain)
    for split in ('val', 'test'):
        with pytest.raises(DataError, match=f'config: expected a {split}_dataloader for the input'):
            inferencer(split)
    message = r'plain\.onnx: expected 6 cameras, found 3; export with --cameras 3'
    with pytest.raises(DeployError, match=message):
        inferencer(rig_json(frame, tmp_path / 'rig.json', cameras=3))


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (dict(format_version=None), "expected 'format_version'; export it with this version"),
        (dict(format_version='2'), "format_version: expected 1, as of this release, found '2'"),
        (dict(bev_grid='{"size": [48'), r'bev_grid: expected JSON, found .{"size": \[48'),
        (dict(bev_grid='[' * 50_000), r'bev_grid: expected JSON, found .\[{59}'),
        (dict(config=json.dumps('x' * 70_000)), 'config: expected at most 65536 characters, found 70002'),
        (dict(config='"a\\nb"'), 'config: expected a name'),
        (dict(config='a\nb'), 'config: expected JSON'),
        (dict(bev_grid='{"size": [48, 48000], "metres": [1, 1]}'), 'bev_grid: expected size'),
        (dict(bev_grid='[48, 48]'), 'bev_grid: expected size'),
        (dict(image_size='[48]'), 'image_size: expected height and width'),
        (dict(image_size='[48, true]'), 'image_size: expected height and width'),
        (dict(image_size='[48, 100000]'), 'image_size: expected height and width'),
        (dict(top_crop='-1'), 'top_crop: expected a number of rows'),
        (dict(cameras='0'), 'cameras: expected a number or null'),
        (dict(camera_names='["../x"]'), 'camera_names: expected names or null'),
        (dict(batch='1.5'), 'batch: expected a number or null'),
        (dict(imgs='"bgr"'), "imgs: expected 'float32, normalised' or 'uint8'"),
        (dict(mean='[0, 0, NaN]'), 'mean: expected three numbers'),
        (dict(std='[1, 1, 0]'), 'std: expected three positive numbers'),
        (dict(label_groups='{"../x": {"classes": ["car"]}}'), 'label_groups: expected classes'),
        (dict(label_groups='{"a": {"classes": ["ship"]}}'), 'label_groups: expected classes'),
        (dict(label_groups='[]'), 'label_groups: expected classes'),
        (dict(outputs='["center"]'), 'outputs: expected the label groups'),
    ],
    ids=lambda value: '' if isinstance(value, str) else next(iter(value)),
)
def test_damaged_metadata(plain, values, message):
    with pytest.raises(DeployError, match=message) as caught:
        GraphInfo.read(changed(plain, **values))
    text = str(caught.value)
    assert text.startswith(f'{plain.with_name("changed.onnx")}: metadata: ') and '\n' not in text and len(text) < 300


def test_files_that_cannot_be_read(plain, tmp_path, monkeypatch):
    ir = written(plain.read_bytes(), tmp_path / 'model.xml')
    assert GraphInfo.read(ir) == GraphInfo.read(plain)
    ir.with_suffix('.bin').write_bytes(b'')
    (tmp_path / 'text.xml').write_text('<net>')
    for path in (ir, tmp_path / 'text.xml'):
        with pytest.raises(DeployError, match=rf'{path.name}: cannot read: .* or without its \.bin'):
            GraphInfo.read(path)
    with pytest.raises(DataError, match=r'none\.xml: no such file'):
        CVTIOInferencer(tmp_path / 'none.xml')
    monkeypatch.setattr('projects.CVT_IO.cvt_io.deploy.info._LARGEST_FILE', 1)
    with pytest.raises(DeployError, match=r'plain\.onnx: expected at most'):
        GraphInfo.read(plain)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (
            dict(bev_grid='{"size": [50, 48], "metres": [48, 48]}'),
            r'expected logits of \(1, 2, 50, 48\), found \(1, 2, 48',
        ),
        (dict(image_size='[64, 112]'), 'cannot run: '),
    ],
)
def test_metadata_of_another_graph(plain, frame, tmp_path, values, message):
    path = changed(plain, **values)
    with pytest.raises(DeployError, match=message) as caught:
        CVTIOInferencer(path)(rig_json(frame, tmp_path / 'rig.json'))
    assert str(caught.value).startswith(f'{path}: ') and '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['onnx', 'onnxruntime'])
def test_missing_extra(plain, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=f'{name} is not installed: pip install -r requirements/deploy.txt'):
        CVTIOInferencer(plain)


@pytest.mark.parametrize('names', [None, ['CAM_FRONT', 'CAM_BACK']])
def test_cameras_of_the_config(names):
    """A config's choice of cameras is kept; without one, the cameras are those of the infos."""
    cfg = tiny_latent_config(**{'test_dataloader.dataset.cameras': names})
    info = GraphInfo.from_config(cfg, GraphOptions(2 if names else 6))
    assert info.camera_names == (names or [*CAMERAS])
    assert as_config(info).test_dataloader.dataset.cameras == names
