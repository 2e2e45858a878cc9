"""Quantisation, test and timing of quantised files as a user runs them."""

from __future__ import annotations

import json

import pytest

from projects.CVT_IO.cvt_io.deploy import runtimes
from projects.CVT_IO.cvt_io.runtime.config import load_config
from tests.deploy.exported import LATENT_OPTIONS, tiny_checkpoint
from tests.tiny import TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool

EXPORT, QUANTIZE, TEST_ONNX, BENCHMARK = (
    f'tools/deployment/{name}.py' for name in ('export_onnx', 'quantize', 'test_onnx', 'benchmark_runtime')
)


@pytest.fixture(scope='module')
def options(toy_root) -> list[str]:
    return ['--cfg-options', *as_arguments(LATENT_OPTIONS | {'data_root': toy_root})]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    return tiny_checkpoint(load_config(str(TOY_CONFIG), LATENT_OPTIONS), tmp_path_factory.mktemp('tiny') / 'tiny.pth')


@pytest.fixture(scope='module')
def model(tmp_path_factory, checkpoint, options):
    path = tmp_path_factory.mktemp('exported') / 'tiny.onnx'
    assert run_tool(EXPORT, TOY_CONFIG, checkpoint, path, '--whole-batch', *options) is None
    return path


@pytest.fixture
def words(options) -> list:
    return ['--data', TOY_CONFIG, '--calibration-frames', 3, '--test-frames', 2, *options]


def test_from_model_to_metrics(tmp_path, model, checkpoint, options, words, capsys, monkeypatch):
    xml, onnx = tmp_path / 'new' / 'int8.xml', tmp_path / 'new' / 'int8.onnx'
    assert run_tool(QUANTIZE, model, xml, '--max-error', 10, *words) is None
    printed = capsys.readouterr().out
    assert all(part in printed for part in ('backbone.se', 'neck.encode', 'bev_decoder', 'head'))
    assert 'floating point' not in printed and printed.count(' int8 ') >= 8
    (cpuinfo := tmp_path / 'cpuinfo').write_text('flags: sse')
    monkeypatch.setattr(runtimes, 'CPUINFO', cpuinfo)
    assert run_tool(QUANTIZE, model, onnx, '--keep-float', 'neck.encode', *words) is None
    printed = capsys.readouterr().out
    assert 'note: int8 may not be faster here' in printed and 'only this part' not in printed
    assert sorted(file.name for file in xml.parent.iterdir()) == ['int8.bin', 'int8.onnx', 'int8.xml']
    for path in (xml, onnx):
        out = tmp_path / 'metrics.json'
        assert run_tool(TEST_ONNX, TOY_CONFIG, path, '--compare', checkpoint, '--out', out, *options) is None
        metrics = json.loads(out.read_text())
        assert 0 < metrics['logits/rms_difference'] < metrics['logits/largest_difference'] < 1
        assert 'vehicle/IoU@0.50' in metrics
    out = tmp_path / 'times.json'
    times = ['--samples', 1, '--warm-up', 1, '--runtimes', 'onnxruntime', '--files', xml, onnx, '--out', out]
    assert run_tool(BENCHMARK, TOY_CONFIG, *times, '--literal', TOY_CONFIG, *options) is None
    result = json.loads(out.read_text())
    assert result['base'] == 'literal'
    rows = ['literal', 'pytorch', 'onnxruntime', f'int8.xml, {runtimes.OPENVINO_BF16}', 'int8.onnx, onnxruntime']
    assert [name.replace('openvino,', 'openvino-bf16,') for name in result['models']] == rows
    assert result['models'][rows[3]]['file_mib'] * 2**20 == pytest.approx(
        xml.stat().st_size + xml.with_suffix('.bin').stat().st_size
    )
    message = run_tool(QUANTIZE, onnx, tmp_path / 'twice.onnx', *words)
    assert message == f'error: {onnx}: precision: expected fp32, found int8'


def test_says_what_is_wrong(tmp_path, model, words, capsys):
    text = tmp_path / 'text.onnx'
    text.write_text('text')
    out = tmp_path / 'out.onnx'
    assert run_tool(QUANTIZE, text, out, *words).startswith(f'error: {text}: ')
    assert 'no such file' in run_tool(QUANTIZE, tmp_path / 'none.onnx', out, *words)
    message = run_tool(QUANTIZE, model, out, '--keep-float', 'neck.lift', *words)
    assert message.startswith('error: --keep-float neck.lift: expected parts among backbone.layers.0')
    other = [*words, 'test_dataloader.dataset.pipeline.1.size=64,112']
    assert run_tool(QUANTIZE, model, out, *other).startswith(f'error: {model}: image_size: expected [64, 112]')
    assert run_tool(QUANTIZE, model, out, '--max-error', 0, *words).endswith('every part would stay in floating point')
    assert run_tool(QUANTIZE, model, tmp_path / 'out.pb', *words) == 2
    assert 'expected a name that ends in .onnx or .xml' in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ['text.onnx']
