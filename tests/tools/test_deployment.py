"""Export, test and timing of exported models as a user runs them."""

from __future__ import annotations

import json

import pytest

from projects.CVT_IO.cvt_io.deploy import runtimes, verify
from projects.CVT_IO.cvt_io.runtime.config import load_config
from tests.deploy.exported import CVT_TOY, LATENT_OPTIONS, tiny_checkpoint
from tests.tiny import TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool

EXPORT = 'tools/deployment/export_onnx.py'
TEST_ONNX = 'tools/deployment/test_onnx.py'
BENCHMARK = 'tools/deployment/benchmark_runtime.py'


@pytest.fixture(scope='module')
def options(toy_root) -> list[str]:
    return ['--cfg-options', *as_arguments(LATENT_OPTIONS | {'data_root': toy_root})]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('tiny') / 'tiny.pth'
    return tiny_checkpoint(load_config(str(TOY_CONFIG), LATENT_OPTIONS), path, seed=4)  # finds some vehicles, by luck


@pytest.fixture(scope='module')
def model(tmp_path_factory, checkpoint, options):
    """An export that was verified as it was made."""
    path = tmp_path_factory.mktemp('exported') / 'new' / 'tiny.onnx'
    assert run_tool(EXPORT, TOY_CONFIG, checkpoint, path, '--uint8', '--verify', *options) is None
    assert [file.name for file in path.parent.iterdir()] == ['tiny.onnx']
    return path


def test_export_is_tested_as_the_checkpoint_is(tmp_path, model, checkpoint, options):
    for runtime in ('onnxruntime', 'openvino'):
        words = ['--runtime', runtime, '--out', tmp_path / f'{runtime}.json', *options]
        assert run_tool(TEST_ONNX, TOY_CONFIG, model, *words) is None
    words = ['--work-dir', tmp_path / 'work', '--out', tmp_path / 'pytorch.json', *options]
    assert run_tool('tools/test.py', TOY_CONFIG, checkpoint, *words) is None
    expected, *found = (
        json.loads((tmp_path / f'{name}.json').read_text()) for name in ('pytorch', 'onnxruntime', 'openvino')
    )
    assert expected['vehicle/IoU@0.50'] > 0
    for metrics in found:
        assert metrics == pytest.approx(expected, abs=1e-4)


def test_runtimes_in_turn(tmp_path, model, checkpoint, options, capsys):
    out = tmp_path / 'x.json'
    words = [TOY_CONFIG, checkpoint, '--onnx', model, '--samples', 3, '--warm-up', 1, '--out', out, *options]
    assert run_tool(BENCHMARK, *words) is None
    result = json.loads(out.read_text())
    timed = ['pytorch', *(name for name in runtimes.RUNTIMES if name not in result['skipped'])]
    assert [*result['models']] == [*result['seconds']] == timed and result['base'] == 'pytorch'
    assert all(len(seconds) == 3 and min(seconds) > 0 for seconds in result['seconds'].values())
    own, base = (result['seconds'][name] for name in ('onnxruntime', 'pytorch'))
    ratios = sorted(a / b for a, b in zip(own, base, strict=True))
    assert result['models']['onnxruntime']['ratio'] == pytest.approx(ratios[1])
    assert 'onnxruntime 1.' in result['machine'] and 'openvino 20' in result['machine']
    assert 'of pytorch' in capsys.readouterr().out


def test_processor_without_bf16_is_told(tmp_path, model, options, capsys, monkeypatch):
    monkeypatch.setattr(runtimes, '_has_bf16', lambda: False)
    words = [TOY_CONFIG, '--onnx', model, '--runtimes', 'openvino-bf16', '--samples', 1, '--warm-up', 1, *options]
    assert run_tool(BENCHMARK, *words) is None
    assert 'openvino-bf16: not timed: the processor has no bfloat16' in ' '.join(capsys.readouterr().out.split())
    assert 'no bfloat16' in run_tool(TEST_ONNX, TOY_CONFIG, model, '--runtime', 'openvino-bf16', *options)


def test_wrong_graph_is_not_written(tmp_path, checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(verify, 'TOLERANCES', {'fp32': 1e-12, 'fp16': 1e-12})
    words = ['--verify', '--cfg-options', *as_arguments(LATENT_OPTIONS | {'data_root': tmp_path})]
    message = run_tool(EXPORT, TOY_CONFIG, checkpoint, tmp_path / 'x.onnx', *words)
    assert message.startswith('error: not written: a logit is off by ')
    assert not [*tmp_path.glob('*.onnx')]
    printed = capsys.readouterr().out
    assert 'no frames available for verification: ' in printed and 'noise, batch 1: ' in printed


def test_export_says_what_is_wrong(tmp_path, checkpoint):
    out, other = tmp_path / 'x.onnx', as_arguments(LATENT_OPTIONS | {'model.neck.latent_size': 3})
    assert 'none.py' in run_tool(EXPORT, 'none.py', checkpoint, out)
    assert 'none.pth' in run_tool(EXPORT, TOY_CONFIG, 'none.pth', out)
    assert 'is it a checkpoint of this config?' in run_tool(EXPORT, CVT_TOY, checkpoint, out)
    message = run_tool(EXPORT, TOY_CONFIG, checkpoint, out, '--cfg-options', *other)
    assert 'is it a checkpoint of this config?' in message
    assert run_tool(EXPORT, TOY_CONFIG, checkpoint, out, '--opset', 9).startswith('error: opset 9: expected 17 to 25')
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([TOY_CONFIG, 'x.pth', 'x.pb'], 'x.pb: expected a name that ends in .onnx'),
        ([TOY_CONFIG, 'x.pth', 'x.onnx', '--cameras', '0'], '--cameras'),
    ],
)
def test_arguments_that_make_no_sense(words, message, capsys):
    assert run_tool(EXPORT, *words) == 2
    assert message in capsys.readouterr().err


def test_graph_of_another_config(model, options):
    words = [*options, 'test_dataloader.dataset.pipeline.1.size=64,112']
    message = run_tool(TEST_ONNX, TOY_CONFIG, model, *words)
    assert message.startswith(f'error: {model}: image_size: expected [64, 112]')
    assert 'none.onnx: no such file' in run_tool(TEST_ONNX, TOY_CONFIG, 'none.onnx', *options)
    assert 'no prepared data' in run_tool(TEST_ONNX, TOY_CONFIG, model, '--cfg-options', 'data_root=none')
