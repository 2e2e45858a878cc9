"""The converters as a user runs them: original and trained checkpoints become files that the other tools take."""

from __future__ import annotations

import hashlib

import pytest
import torch

from projects.CVT_IO.cvt_io import __version__
from projects.CVT_IO.cvt_io.fileio.checkpoint import load_weights
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from tests.tiny import REPO, TOY_CONFIG
from tests.tools.in_process import run_tool
from tests.zoo.lightning_file import original_state, save_lightning

CONVERT = 'tools/model_converters/convert_original.py'
PUBLISH = 'tools/model_converters/publish_model.py'


@pytest.mark.parametrize('name', ['cvt', 'cvt_io_v2_2', 'cvt_io_v2_3'])
def test_an_original_runs_with_the_plain_config(name, tmp_path, capsys):
    config = REPO / f'configs/{name}.py'
    original = save_lightning(tmp_path / 'x.ckpt', original_state(name))
    assert run_tool(CONVERT, original, tmp_path / 'ours.pth', '--config', config) is None
    printed, told = capsys.readouterr()
    assert printed.strip() == str(tmp_path / 'ours.pth')
    model = build_model(load_config(str(config))).eval()
    meta = load_weights(model, tmp_path / 'ours.pth')
    assert meta['version'] == __version__ and meta['converted_from'] == 'x.ckpt'
    assert ('number of self-attention passes' in told) == (name != 'cvt')
    inputs = torch.rand(1, 2, 3, 64, 96), torch.eye(3).expand(1, 2, 3, 3), torch.eye(4).expand(1, 2, 4, 4)
    with torch.no_grad():
        assert model.bev_logits(*inputs).shape == (1, 2, 200, 200)


def test_weights_that_are_not_finite_are_told(tmp_path, capsys):
    state = original_state('cvt')
    state['backbone.to_logits.3.bias'][0] = torch.nan
    original = save_lightning(tmp_path / 'x.ckpt', state)
    assert run_tool(CONVERT, original, tmp_path / 'ours.pth', '--config', REPO / 'configs/cvt.py') is None
    assert '1 tensors contain NaN or infinity, the first is head.to_logits.3.bias' in capsys.readouterr().err


def test_the_wrong_config_leaves_nothing(tmp_path):
    original = save_lightning(tmp_path / 'x.ckpt', original_state('cvt'))
    message = run_tool(CONVERT, original, tmp_path / 'ours.pth', '--config', REPO / 'configs/cvt_io_v2_2.py')
    assert str(original) in message and 'neck.latent_array.features' in message
    assert [path.name for path in tmp_path.iterdir()] == ['x.ckpt']


@pytest.mark.parametrize('tool', [CONVERT, PUBLISH])
@pytest.mark.parametrize(('name', 'content'), [('none', None), ('text', b'no checkpoint')])
def test_no_checkpoint(tool, name, content, tmp_path):
    if content:
        (tmp_path / name).write_bytes(content)
    words = ['--config', TOY_CONFIG] if tool == CONVERT else []
    message = run_tool(tool, tmp_path / name, tmp_path / 'ours.pth', *words)
    assert message.startswith('error: ') and str(tmp_path / name) in message and '\n' not in message
    assert not (tmp_path / 'ours.pth').exists()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(state_dict={'w': torch.tensor([1, torch.nan])}), '1 tensors contain NaN or infinity, the first is w'),
        (dict(state_dict={'w': torch.ones(1)}, meta=['x']), 'meta: expected a dictionary, found list'),
    ],
)
def test_what_is_not_published(content, message, tmp_path):
    torch.save(content, tmp_path / 'x.pth')
    assert message in run_tool(PUBLISH, tmp_path / 'x.pth', tmp_path / 'ours.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['x.pth']


def test_publish_strips_a_training_checkpoint(tmp_path, capsys):
    model = build_model(load_config(str(TOY_CONFIG)))
    content = dict(
        state_dict=model.state_dict(),
        meta=dict(cfg='a = 1', dataset_meta=dict(classes=('car',)), iter=7, seed=1, experiment_name='x'),
        optimizer=dict(state={0: torch.zeros(10_000)}),
        param_schedulers=[],
        message_hub={},
    )
    torch.save(content, tmp_path / 'iter_7.pth')
    assert run_tool(PUBLISH, tmp_path / 'iter_7.pth', tmp_path / 'cvt_io_v2_depth.pth') is None
    (path,) = tmp_path.glob('cvt_io_v2_depth-*.pth')
    assert capsys.readouterr().out.strip() == str(path)
    assert path.stem.endswith('-' + hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    published = torch.load(path, weights_only=True)
    assert published['meta'] == dict(
        version=__version__, cfg='a = 1', dataset_meta=dict(classes=('car',)), iter=7
    ) and list(published) == ['meta', 'state_dict']
    load_weights(model, path)
