"""Two and three processes on one machine, through the launch scripts and as those would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.team import run_tool_in_team
from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG, as_arguments


def launch(script: str, *words: object, cwd: Path) -> None:
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    result = subprocess.run(
        ['bash', str(REPO / 'tools' / script), *map(str, words)],
        cwd=cwd,
        env=os.environ | {'PATH': path, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture(scope='module')
def trained(toy_root, tmp_path_factory) -> Path:
    """Work folder of a run of two processes with one sample each."""
    work_dir = tmp_path_factory.mktemp('distributed')
    options = TINY_OPTIONS | {'data_root': toy_root, 'train_dataloader.batch_size': 1}
    launch(
        'dist_train.sh', TOY_CONFIG, 2, '--work-dir', work_dir, '--cfg-options', *as_arguments(options), cwd=work_dir
    )
    return work_dir


def test_validation_in_training_is_that_of_the_saved_weights(trained, toy_root, tmp_path):
    """Both processes validate with the running statistics that are saved: the test tool finds the same IoU."""
    (log,) = trained.glob('*/vis_data/2*.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    logged = next(row for row in rows if row['step'] == 4 and 'vehicle/IoU@0.50' in row)
    one = metrics(trained, toy_root, tmp_path, processes=1, thresholds=(0.4, 0.5))
    assert one == {key: pytest.approx(logged[key], abs=1e-9) for key in one}


def test_metrics_do_not_depend_on_the_number_of_processes(trained, toy_root, tmp_path):
    """One scene of three frames divides evenly among three processes, not among two."""
    one, three = (metrics(trained, toy_root, tmp_path, n, thresholds=(0.02, 0.1, 0.5)) for n in (1, 3))
    two = metrics(trained, toy_root, tmp_path, 2, thresholds=(0.02, 0.1, 0.5), script=True)
    assert one == two == three and one['vehicle/IoU@0.02'] > 0
    assert not (tmp_path / '.dist_test').exists()  # mmengine's folder of pickled results


def metrics(
    trained: Path, toy_root: Path, tmp_path: Path, processes: int, thresholds: tuple[float, ...], script: bool = False
) -> dict[str, float]:
    # Low thresholds give something to count: a model that has hardly trained predicts nothing at 0.5.
    checkpoint = torch.load(trained / 'iter_4.pth', weights_only=True)
    out = tmp_path / f'{processes}.json'
    model = tmp_path / 'model.pth'
    torch.save(dict(state_dict=checkpoint['state_dict'], meta=checkpoint['meta']), model)
    options = as_arguments(TINY_OPTIONS | {'data_root': toy_root, 'test_evaluator.thresholds': thresholds})
    words = ('--work-dir', tmp_path / 'work', '--out', out, '--cfg-options', *options)
    if script:
        launch('dist_test.sh', TOY_CONFIG, model, processes, *words, cwd=tmp_path)
    else:
        run_tool_in_team(processes, 'tools/test.py', TOY_CONFIG, model, *words)
    found = json.loads(out.read_text())
    return {key: value for key, value in found.items() if key.startswith('vehicle/')}
