"""The counting, timing and table tools as a user runs them."""

from __future__ import annotations

import json
import re

import pytest
import torch

from projects.CVT_IO.cvt_io.analysis import memory
from projects.CVT_IO.cvt_io.runtime.config import build_model, load_config
from tests.analysis.test_table import tables
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG, as_arguments
from tests.tools.in_process import run_tool

GET_FLOPS = 'tools/analysis_tools/get_flops.py'
BENCHMARK = 'tools/analysis_tools/benchmark.py'
TABLE = 'tools/analysis_tools/model_table.py'
CONSTANT = 'tools/analysis_tools/constant_map.py'
V2_2 = REPO / 'configs/cvt_io_v2_2.py'
CVT_TOY = REPO / 'configs/toy/cvt_toy.py'


@pytest.fixture
def options(toy_root) -> list[str]:
    return ['--cfg-options', *as_arguments(TINY_OPTIONS | {'data_root': toy_root})]


@pytest.fixture
def checkpoint(tmp_path):
    """Weights of the toy config."""
    model = build_model(load_config(str(TOY_CONFIG)))
    torch.save(model.state_dict(), tmp_path / 'toy.pth')
    return tmp_path / 'toy.pth'


def test_get_flops_writes_the_exact_counts(tmp_path, capsys):
    assert run_tool(GET_FLOPS, V2_2, '--out', tmp_path / 'x.json') is None
    counts = json.loads((tmp_path / 'x.json').read_text())
    assert list(counts) == ['params', 'macs', 'params_notes', 'macs_notes', 'parts']
    assert (counts['params_notes'], counts['macs_notes']) == (936_946, 6_809_142_016)
    printed = capsys.readouterr().out
    assert '6,809,142,016' in printed and 'bev_decoder' in printed and '6 images of 224×480' in printed


def test_get_flops_of_other_images_and_of_nothing(tmp_path):
    assert run_tool(GET_FLOPS, TOY_CONFIG, '--shape', 96, 224, '--cameras', 3, '--out', tmp_path / 'x.json') is None
    assert run_tool(GET_FLOPS, TOY_CONFIG, '--out', tmp_path / 'y.json') is None
    large, small = (json.loads((tmp_path / f'{name}.json').read_text())['parts'] for name in 'xy')
    # Half the cameras with four times the pixels.
    assert large['backbone'] == pytest.approx(2 * small['backbone'], rel=0.01)
    assert run_tool(GET_FLOPS, V2_2, '--shape', 8, 8).startswith('error: --shape 8 8: image too small (')


def test_benchmark_times_in_turn_and_gives_ratios(tmp_path, checkpoint, capsys):
    out = tmp_path / 'x.json'
    words = [TOY_CONFIG, checkpoint, '--vs', CVT_TOY, '--samples', 3, '--warm-up', 1, '--fuse-conv-bn', '--out', out]
    assert run_tool(BENCHMARK, *words) is None
    result = json.loads(out.read_text())
    assert result['base'] == 'cvt_toy' and result['mode'] == 'forward, batch 1, BatchNorms folded'
    assert [*result['models']] == [*result['seconds']] == ['cvt_io_v2_2_toy', 'cvt_toy']
    own, base = (result['seconds'][name] for name in result['models'])
    assert len(own) == len(base) == 3
    assert result['models']['cvt_io_v2_2_toy']['ratio'] == sorted(a / b for a, b in zip(own, base, strict=True))[1]
    assert result['models']['cvt_io_v2_2_toy']['median_ms'] == pytest.approx(1e3 * sorted(own)[1])
    assert 'of cvt_toy' in capsys.readouterr().out


def test_benchmark_where_memory_cannot_be_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, '_PROC', tmp_path)
    assert run_tool(BENCHMARK, TOY_CONFIG, '--samples', 1, '--warm-up', 1) is None
    assert 'unknown' in capsys.readouterr().out


def test_benchmark_of_a_training_step(tmp_path, options):
    out = tmp_path / 'x.json'
    words = ['--train', '--batch-size', 2, '--samples', 2, '--warm-up', 1, '--out', out, *options]
    assert run_tool(BENCHMARK, TOY_CONFIG, *words) is None
    result = json.loads(out.read_text())
    assert result['mode'] == 'training step, batch 2' and len(result['seconds']['cvt_io_v2_2_toy']) == 2


def test_benchmark_of_the_test_set_and_of_the_loader(tmp_path, options, capsys):
    out = tmp_path / 'x.json'
    assert run_tool(BENCHMARK, TOY_CONFIG, '--data', '--samples', 2, '--warm-up', 1, *options) is None
    assert run_tool(BENCHMARK, TOY_CONFIG, '--loader', '--samples', 3, '--warm-up', 1, '--out', out, *options) is None
    result = json.loads(out.read_text())
    assert result['images_per_second'] == pytest.approx(6 * result['frames_per_second'])
    assert (result['batch_size'], result['num_workers'], result['samples']) == (2, 0, 3)
    assert 'images per second' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([TOY_CONFIG, '--vs', TOY_CONFIG], 'error: --vs: expected configs of different names'),
        ([TOY_CONFIG, 'none.pth'], 'none.pth'),
        ([TOY_CONFIG, '--device', 'cuda:9'], 'error: device cuda:9: not on this machine'),
        ([TOY_CONFIG, '--data', '--cfg-options', 'data_root=none'], 'no prepared data'),
        (['none.py'], 'none.py'),
    ],
)
def test_benchmark_says_what_is_wrong(words, message):
    assert message in run_tool(BENCHMARK, '--samples', 1, *words)


def test_benchmark_refuses_the_checkpoint_of_another_model(checkpoint):
    message = run_tool(BENCHMARK, CVT_TOY, checkpoint)
    assert str(checkpoint) in message and 'neck.prior.features' in message and 'neck.latent_array.features' in message


@pytest.mark.parametrize(
    'words',
    [
        ['--train', '--data'],
        ['--loader', '--amp'],
        ['--loader', '--vs', 'x.py'],
        ['--train', '--loader'],
        ['--train', '--amp'],
        ['--samples', '0'],
        ['--samples', 'x'],
    ],
)
def test_options_that_do_not_go_together(words, capsys):
    assert run_tool(BENCHMARK, TOY_CONFIG, *words) == 2
    assert 'error: ' in capsys.readouterr().err


def test_table_in_markdown_and_json(tmp_path, capsys):
    (tmp_path / 'results').mkdir()
    (tmp_path / 'results/cvt_toy.json').write_text('{"vehicle/IoU@0.50": 0.375}')
    out = tmp_path / 'table.md'
    words = ['--configs', TOY_CONFIG, CVT_TOY, '--results', tmp_path / 'results', '--samples', 2, '--out', out]
    assert run_tool(TABLE, *words) is None
    assert out.read_text() == capsys.readouterr().out
    rows = [line for line in out.read_text().splitlines() if line.startswith('| cvt')]
    assert [row.split(' | ')[5] for row in rows] == ['–', '0.375']
    models = json.loads(out.with_suffix('.json').read_text())['models']
    assert models['cvt_toy']['ours']['iou_050'] == 0.375
    assert models['cvt_io_v2_2_toy']['ours']['cost']['ratio'] == 1  # without cvt the first row is the base
    assert out.read_text().startswith(
        '| config | Params | MACs | time, of cvt_io_v2_2_toy | IoU, notes | IoU, nuScenes |'
    )


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--out', 'x.txt'], 'x.txt: expected a name that ends in .md'),
        (['--configs', TOY_CONFIG, TOY_CONFIG], 'expected configs of different names'),
        (['--results', 'none'], 'none'),
    ],
)
def test_table_says_what_is_wrong(words, message):
    assert message in run_tool(TABLE, '--no-timing', *words)


def test_constant_map_of_one_of_several_metrics(tmp_path, options, capsys):
    """The evaluator may be a list, and its first metric one without label groups."""
    config = tmp_path / 'several.py'
    several = (
        "val_evaluator = test_evaluator = [dict(type='DumpResults', out_file_path='x.pkl'), _base_.test_evaluator]"
    )
    config.write_text(f'_base_ = [{str(TOY_CONFIG)!r}]\n{several}\n')
    for path in (TOY_CONFIG, config):
        assert run_tool(CONSTANT, path, '--out', tmp_path / f'{path.stem}.json', *options) is None
    (iou,) = json.loads((tmp_path / 'several.json').read_text()).values()
    assert 0 < iou < 1 and f'{iou:.4f}' in capsys.readouterr().out
    assert (tmp_path / 'several.json').read_text() == (tmp_path / f'{TOY_CONFIG.stem}.json').read_text()


def test_docs_have_the_tools_tables(capsys):
    """All columns but the times; the README has some of them."""
    assert run_tool(TABLE, '--no-timing', '--toy', REPO / 'docs/logs/toy-1/table.json') is None
    models, notes = tables(capsys.readouterr().out)
    assert len(models) == 12 and len(notes) == 11
    page = [row for table in tables((REPO / 'docs/results.md').read_text()) for row in table]
    for row in (*models, *notes):
        assert any(row.items() <= found.items() for found in page), row['config']
    rows = [
        f'| {row["config"]} | {millions(row["Params"])} M | {float(row["MACs"][:-1]):.1f} G | {row["IoU, notes"]} | '
        f'{row["IoU, toy world"]} |'
        for row in models
    ]
    readme = re.sub(r'\[(\w+)\]\([^)]*\)( \(baseline\))?', r'\1', (REPO / 'README.md').read_text())
    assert [line for line in readme.splitlines() if line.startswith('| cvt')] == rows


def millions(count: str) -> str:
    return f'{int(count.replace(",", "")) / 1e6:.2f}'
