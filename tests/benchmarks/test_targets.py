import pytest

from projects.CVT_IO.benchmarks import targets
from projects.CVT_IO.benchmarks.targets import Result, _memory, _ratio, _speed_up, markdown
from projects.CVT_IO.cvt_io.analysis.latency import Timing
from projects.CVT_IO.cvt_io.deploy.runtimes import OPENVINO_BF16, why_not
from tests.deploy.exported import tiny_cvt_config, tiny_latent_config
from tests.tools.in_process import run_tool


@pytest.mark.parametrize(
    ('found', 'at_least', 'reached'),
    [(0.3, False, True), (0.5, False, True), (0.51, False, False), (0.5, True, True), (0.4, True, False)],
)
def test_reached(found, at_least, reached):
    assert Result('x', found, 0.5, at_least).reached is reached


def test_ratios_are_medians_round_by_round():
    # Rounds: 1/2, 4/4, 3/12 → median 1/2; the ratio of the medians would be 3/4.
    timings = {'one': Timing([1.0, 4.0, 3.0], 30), 'base': Timing([2.0, 4.0, 12.0], 40)}
    result = _ratio('x', timings, 'one', 'base', 0.6)
    assert (result.found, result.reached, result.note) == (0.5, True, '3000 ms / 4000 ms')
    assert _memory('x', timings, 'one', 'base', 0.5).found == 0.75


def test_speed_up():
    timings = {'plain': Timing([2.0, 4.0, 9.0], None), 'ours': Timing([1.0, 1.0, 3.0], None)}
    result = _speed_up('x', timings, 'ours', 3, frames=10)
    assert (result.found, result.reached) == (3.0, True)
    assert result.note == '400.0 ms and 100.0 ms per frame'
    assert _memory('x', timings | {'base': timings['plain']}, 'ours', 'base', 1).found is None


def test_table():
    absent = Result('x', None, 0.5, note='no such processor')
    assert absent.reached is None
    row = markdown([Result('a of b', 0.12345, 0.5), Result('c', 12.345, 10, at_least=True), absent], 'machine', 9)
    assert '| a of b | 0.1235 | ≤ 0.5 | yes |  |' in row
    assert '| c | 12.3 | ≥ 10 | yes |  |' in row
    assert '| x | – | ≤ 0.5 | not measured | no such processor |' in row
    assert row.endswith('Medians of 9 rounds in which both sides are called in turn; machine.\n')


@pytest.fixture(scope='module')
def cfgs():
    latent = tiny_latent_config()
    return {'cvt': tiny_cvt_config(), 'cvt_io_v2_2': latent, 'cvt_io_v2_6': latent}


def test_models_are_measured_and_compared(cfgs, monkeypatch):
    results = [*targets.measure_inference(cfgs, 1), *targets.measure_training(cfgs, 1)]
    assert len(results) == 6
    assert all(result.found > 0 for result in results if 'memory' not in result.what)
    monkeypatch.setattr(targets, 'TOLERANCE', -1)
    with pytest.raises(ValueError, match='cvt: expected the literal logits within -1'):
        targets.measure_inference(cfgs, 1)


def test_runtimes_are_measured_and_compared(cfgs, monkeypatch):
    results = targets.measure_runtimes(cfgs, 1)
    assert [result.what for result in results] == [
        'cvt_io_v2_2, onnxruntime / literal cvt',
        'cvt_io_v2_2, openvino-bf16 / literal cvt',
    ]
    assert results[0].found > 0
    assert (results[1].found is None) == (why_not(OPENVINO_BF16) is not None)
    monkeypatch.setattr(targets, 'why_not', lambda name: 'a reason' if name == OPENVINO_BF16 else None)
    monkeypatch.setattr(targets, 'largest_error', lambda *_, **__: 1.0)
    with pytest.raises(ValueError, match=r'onnxruntime: expected logits within 0\.0001 of PyTorch, found .* of 1'):
        targets.measure_runtimes(cfgs, 1)


def test_a_processor_without_bf16_is_said(cfgs, monkeypatch):
    monkeypatch.setattr(targets, 'why_not', lambda name: 'a reason' if name == OPENVINO_BF16 else None)
    assert [result.note == 'a reason' for result in targets.measure_runtimes(cfgs, 1)] == [False, True]
    assert targets.measure_bf16_iou(cfgs['cvt_io_v2_2'], 'x.pth').note == 'a reason'


def test_tool(monkeypatch, tmp_path, capsys):
    result = Result('one of another', 0.25, 0.5)
    monkeypatch.setattr(targets, 'measure_inference', lambda cfgs, samples: [result] * samples)
    out = tmp_path / 'new/table.md'
    words = ['--only', 'inference', '--samples', 2, '--out', out]
    assert run_tool('tools/analysis_tools/benchmark_targets.py', *words) is None
    assert out.read_text().count('| one of another | 0.2500 | ≤ 0.5 | yes |') == 2
    assert out.read_text() in capsys.readouterr().out
