"""The script of docs/deployment.md where only ONNX Runtime and NumPy can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
from tests.apis.toy_inputs import rig_json
from tests.tiny import REPO

FORBIDDEN = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmdet3d', 'cv2', 'onnx', 'scipy', 'projects')


@pytest.fixture
def python(tmp_path):
    """Runs Python without site-packages, in which only the two packages, linked into a folder, are found."""
    packages = tmp_path / 'packages'
    packages.mkdir()
    for module in (np, onnxruntime):
        folder = Path(module.__file__).parent
        for part in (folder, folder.with_name(f'{folder.name}.libs')):
            if part.exists():
                (packages / part.name).symlink_to(part)
    environment = {'PYTHONPATH': str(packages), 'PATH': os.environ['PATH'], 'OMP_NUM_THREADS': '1'}

    def run(*words: object) -> subprocess.CompletedProcess:
        command = [sys.executable, '-S', *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    return run


def script() -> str:
    text = (REPO / 'docs/deployment.md').read_text()
    return text.split('## ONNX Runtime alone')[1].split('```python\n')[1].split('```')[0]


def frame_file(frame: dict, root: Path, path: Path) -> Path:
    """Images and calibration, in another order than the model's; 160 × 90 resized to 112 × 63."""
    arrays = {}
    for image in reversed(frame['images']):
        with Image.open(root / image['path']) as photo:
            arrays[image['camera']] = np.asarray(photo.resize((112, 63), Image.Resampling.BILINEAR))
        scale = np.diag([112 / 160, 63 / 90, 1])
        arrays[f'{image["camera"]}.intrinsics'] = scale @ np.array(image['intrinsics'])
        arrays[f'{image["camera"]}.cam_from_ego'] = np.array(image['cam_from_ego'])
    np.savez(path, **arrays)
    return path


def test_nothing_else_can_be_imported(python):
    found = python('-c', f'import importlib.util as u; print([n for n in {FORBIDDEN} if u.find_spec(n)])')
    assert found.stdout == '[]\n', found.stderr


@pytest.mark.parametrize('name', ['v2', 'v3 of any cameras, any batch, raw images'])
def test_equals_pytorch(exported, frame, python, tmp_path, name):
    cfg, _, checkpoint, graph = exported(name)
    (tmp_path / 'model.onnx').write_bytes(graph)
    (tmp_path / 'bev.py').write_text(script())
    source = frame_file(frame, Path(frame['root']), tmp_path / 'frame.npz')
    done = python('bev.py', 'model.onnx', source, 'out.npz')
    assert done.returncode == 0, done.stderr
    (sample,) = CVTIOInferencer(cfg, checkpoint, 'cpu')(
        rig_json(frame, tmp_path / 'rig.json'), return_datasamples=True
    )['predictions']
    expected = np.stack([sample.pred_bev.scores[0].numpy(), sample.pred_bev.center.numpy()])
    found = np.load(tmp_path / 'out.npz')
    np.testing.assert_allclose(found['probabilities'], expected, atol=1e-4)
    np.testing.assert_array_equal(found['vehicle'], found['probabilities'][0] >= 0.5)
    # Cells of 1 m²; the centre of row 24 is at the ego.
    rows = found['vehicle'].nonzero()[0]
    assert done.stdout == f'vehicle: {rows.size}.0 m², the farthest {24 - rows.min()}.0 m ahead\n'


def test_script_is_short_enough_to_read():
    assert len([line for line in script().splitlines() if line.strip()]) <= 40
