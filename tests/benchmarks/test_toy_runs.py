"""Runs on the toy world: what is trained, what is skipped and continued, and the tables made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from projects.CVT_IO.benchmarks import lr_sweep, toy_runs, toy_table
from projects.CVT_IO.benchmarks.toy_runs import ToyRun
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.atomic import write_json
from tests.tools.in_process import run_tool

IOU = {'vehicle/IoU@0.50': 0.25, 'vehicle/IoU@0.40': 0.5}


def fake_tool(calls: list[list[str]]):
    """In place of a tool: notes its words, and leaves the files that it would."""

    def run(tool: Path, *words: object, log: Path | None = None) -> None:
        words = [str(word) for word in words]
        calls.append([tool.name, *words])
        if tool.name == 'train.py':
            work_dir, options = Path(words[2]), dict(word.split('=', 1) for word in words[5:])
            rate, steps = float(options.get('optim_wrapper.optimizer.lr', 1e-3)), int(options['max_iters'])
            rows = [dict(iter=i, step=i, lr=rate, loss=0.5 / i, time=2.0) for i in range(1, steps + 1)]
            (work_dir / 'start/vis_data').mkdir(parents=True)
            lines = [json.dumps(row) for row in [*rows, dict(step=steps, **IOU)]]
            (work_dir / 'start/vis_data/20260101.json').write_text('\n'.join(lines))
            (work_dir / f'iter_{steps}.pth').touch()
        elif '--out' in words:
            metrics = {'vehicle/IoU': 0.125} if tool.name == 'constant_map.py' else IOU
            write_json(Path(words[words.index('--out') + 1]), metrics)

    return run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(toy_runs, 'run_tool', fake_tool(calls))
    return calls


def test_runs_are_executed_once_and_failures_reported(tmp_path):
    runs, executed, tables = [ToyRun(name, 'cvt') for name in 'abc'], [], []

    def execute(run: ToyRun) -> dict:
        executed.append(run.name)
        if run.name == 'b' and len(executed) < 4:
            raise DataError('the disk is full')
        return dict(name=run.name)

    with pytest.raises(DataError, match=r'^1 of 3 runs failed: b: the disk is full$'):
        toy_runs.run_all(runs, tmp_path, 1, execute, lambda results: tables.append([*results]))
    assert tables[-1] == ['a', 'c']
    results = toy_runs.run_all(runs, tmp_path, 2, execute, lambda results: tables.append([*results]))
    assert executed == ['a', 'b', 'c', 'b'] and results == {name: dict(name=name) for name in 'abc'}
    assert tables[-1] == ['a', 'b', 'c']


def test_a_failed_tool_is_quoted(tmp_path):
    with pytest.raises(DataError, match=r'train.py ended with code 1; .*log.txt: error: nowhere.py: no such config'):
        toy_runs.run_tool(toy_runs.TOOLS / 'train.py', 'nowhere.py', log=tmp_path / 'log.txt')


def test_training_continues_and_ends(tmp_path, calls):
    run = ToyRun('r', 'cvt', 3, {'optim_wrapper.optimizer.lr': 0.5})
    log = toy_runs.train(run, tmp_path, tmp_path / 'world', 4)
    assert toy_runs.train(run, tmp_path, tmp_path / 'world', 4) == log  # the last checkpoint is there
    ((tool, config, *words),) = calls
    assert tool == 'train.py' and config == str(toy_runs.REPO / 'configs/toy/cvt_toy.py')
    assert words[:4] == ['--work-dir', str(tmp_path / 'r'), '--resume', '--cfg-options']
    assert {
        f'data_root={tmp_path / "world"}',
        'max_iters=4',
        'randomness.seed=3',
        'optim_wrapper.optimizer.lr=0.5',
        'train_dataloader.dataset.image_cache=image_cache',
    } <= {*words}


def test_benchmark(tmp_path, monkeypatch, calls, capsys):
    words = ('--models', 'cvt_io_v2_2', 'cvt_io_v2_8', '--steps', 2, '--data', tmp_path, '--out', tmp_path / 'out')
    monkeypatch.setattr(toy_runs, 'WORLDS', {'toy-1': (1, 0)})
    assert run_tool('tools/analysis_tools/toy_benchmark.py', *words) is None
    tools = [call[0] for call in calls]
    assert tools.count('train.py') == 3  # a second seed of one of the two
    assert tools.count('test.py') == 6 and tools.count('create_data.py') == 1
    table = json.loads((tmp_path / 'out/table.json').read_text())
    assert [*table['runs']] == ['cvt_io_v2_2-seed0', 'cvt_io_v2_8-seed0', 'cvt_io_v2_2-seed1']
    assert table['constant_map'] == dict(unseen=0.125, other_world=0.125)
    ious = table['runs']['cvt_io_v2_8-seed0']['iou']
    assert ious == {name: [0.25, 0.5] for name in ('unseen', 'other_world', 'other_frames')}
    rows = (tmp_path / 'out/table.md').read_text().splitlines()
    assert rows[2].startswith('| `cvt_io_v2_2` | 0 | 0.001 | 326,852 | 0.275 | 2.00 | 0.250')
    assert rows[2].endswith('| 2.00 | 0.250 (0.500) | 0.250 (0.500) | 0.250 (0.500) |')
    assert rows[5] == '| best input-independent map | | | | | | 0.125 | 0.125 | |'
    calls.clear()
    assert run_tool('tools/analysis_tools/toy_benchmark.py', *words) is None
    assert {call[0] for call in calls} <= {'create_data.py', 'check_dataset.py'}  # nothing is trained again


def test_lr_sensitivity():
    # Mean of 0.2, 0.1, 0.5 (capped) and 0.5 (diverged), minus the best: 0.325 - 0.1.
    assert lr_sweep.lr_sensitivity([0.2, 0.1, 7.0, float('nan')], 0.5) == pytest.approx(0.225)
    assert lr_sweep.lr_sensitivity([0.1, 0.1], 0.5) == 0


def test_sweep(tmp_path, calls):
    words = ('--models', 'cvt_io_v2_2', 'cvt', '--rates', 0.001, 0.004, '--depths', 6, 12, '--steps', 20)
    words += ('--data', tmp_path, '--out', tmp_path / 'out')
    assert run_tool('tools/analysis_tools/lr_sweep.py', *words) is None
    runs = json.loads((tmp_path / 'out/sweep.json').read_text())['runs']
    v2, cvt = ([name for name in runs if runs[name]['model'] == model] for model in ('cvt_io_v2_2', 'cvt'))
    assert len(cvt) == 2 and len(v2) == 8  # 2 rates × 2 depths × shared or own
    assert [*runs][:4] == [  # what compares the models comes first
        *('cvt_io_v2_2-L6-shared-lr0.001', 'cvt_io_v2_2-L6-shared-lr0.004'),
        *('cvt-lr0.001', 'cvt-lr0.004'),
    ]
    own = next(call for call in calls if any('cvt_io_v2_2-L12-own-lr0.004' in word for word in call))
    assert {'model.neck.depth=12', 'model.neck.shared=False', 'optim_wrapper.optimizer.lr=0.004'} <= {*own}
    # The mean of the last two of 20 losses 0.5 / i.
    assert runs[cvt[0]]['last_loss'] == pytest.approx((0.5 / 19 + 0.5 / 20) / 2) and runs[cvt[0]]['first_loss'] == 0.5
    rows = (tmp_path / 'out/sweep.md').read_text().splitlines()
    assert rows[2] == '| cvt | 0.0257 (0.25) | 0.0257 (0.25) | 0.0000 |' and len(rows) == 9
    assert (tmp_path / 'out/sweep.png').read_bytes().startswith(b'\x89PNG')


def test_table_of_several_metrics():
    result = dict(model='cvt', seed=1, lr=0.00025, params=1234, gmac=0.1234, seconds_per_step=0.256)
    ious = dict(unseen=[0.1234, 0.2], other_world=[0.3, 0.4], other_frames=[0.05, 0.06])
    rows = toy_table.markdown(dict(r=result | dict(iou=ious)), dict(unseen=0.1, other_world=0.2), 1500).splitlines()
    assert rows[2] == ('| `cvt` | 1 | 0.00025 | 1,234 | 0.123 | 0.26 | 0.123 (0.200) | 0.300 (0.400) | 0.050 (0.060) |')
