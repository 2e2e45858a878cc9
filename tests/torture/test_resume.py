"""Runs that are killed: the short form passes, and a run that comes back different is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from projects.CVT_IO.torture import resume
from projects.CVT_IO.torture.resume import Mortals, choose_deaths, train_words
from projects.CVT_IO.torture.same_run import difference


@pytest.fixture(scope='module')
def mortals(tmp_path_factory) -> Iterator[Mortals]:
    with Mortals(tmp_path_factory.mktemp('resume') / 'output') as server:
        yield server


@pytest.fixture(scope='module')
def short_form(mortals) -> tuple[Path, list]:
    folder = mortals.folder.parent
    with mock.patch.object(resume, 'Mortals', lambda folder: nullcontext(mortals)):
        return folder, list(resume.run(folder, full=False))


def test_short_form(short_form):
    _, outcomes = short_form
    assert [outcome.tried for outcome in outcomes] == [2, 1]
    assert all(outcome.passed for outcome in outcomes), outcomes


def edit(path: Path, change) -> None:
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)


def next_float(tensor: torch.Tensor) -> None:
    """The smallest change that a weight can have."""
    tensor.flatten()[0] = np.nextafter(tensor.flatten()[0].item(), np.inf, dtype=np.float32).item()


def rewrite(work_dir: Path, change) -> None:
    for path in work_dir.glob('*/vis_data/*.json'):
        path.write_text('\n'.join(change(path.read_text().splitlines())) + '\n')


SABOTAGE = {
    'weight': (lambda d: edit(d / 'iter_5.pth', lambda c: next_float(next(iter(c['state_dict'].values())))), 'tensors'),
    'momentum': (
        lambda d: edit(d / 'iter_5.pth', lambda c: next_float(c['optimizer']['state'][0]['exp_avg'])),
        'exp_av',
    ),
    'rate': (lambda d: edit(d / 'iter_5.pth', lambda c: c['optimizer']['param_groups'][0].update(lr=1e-3)), ': lr: '),
    'score': (
        lambda d: edit(d / 'iter_5.pth', lambda c: c['message_hub']['runtime_info'].update(best_score=0.5)),
        'best_score',
    ),
    'no best': (lambda d: next(d.glob('best_*')).unlink(), 'expected the files'),
    'half file': (lambda d: (d / '.iter_9.pth.1.tmp').touch(), 'iter_9.pth'),
    'log gap': (lambda d: rewrite(d, lambda lines: lines[1:]), 'log: expected'),
    'log double': (lambda d: rewrite(d, lambda lines: [lines[0], *lines]), 'log: expected'),
    'log value': (
        lambda d: rewrite(d, lambda lines: [line.replace('"loss": 0.', '"loss": 1.') for line in lines]),
        'log:',
    ),
}


@pytest.mark.parametrize('what', SABOTAGE)
def test_what_is_not_the_same_is_noticed(short_form, tmp_path, what):
    folder, _ = short_form
    work_dir = tmp_path / 'run'
    shutil.copytree(folder / '0_workers/whole', work_dir)
    assert difference(folder / '0_workers/whole', work_dir) is None
    change, told = SABOTAGE[what]
    change(work_dir)
    assert told in difference(folder / '0_workers/whole', work_dir)


def test_a_run_that_resumes_in_the_wrong_state_is_noticed(short_form, mortals, tmp_path):
    """The optimizer has lost a moment of a single weight in the checkpoint that the run goes on with."""
    folder, _ = short_form
    words = [*train_words(folder, folder / 'data', 0), '--work-dir', str(tmp_path / 'run')]
    moments = json.loads((folder / 'output/000.txt.moments').read_text())
    code, _, _ = mortals.run(words, dict(moment=moments.index('rename iter_5.pth')))
    assert code == -9
    edit(tmp_path / 'run/iter_4.pth', lambda c: c['optimizer']['state'][0]['exp_avg'].zero_())
    code, _, output = mortals.run([*words, '--resume'])
    assert code == 0, output.read_text()[-2000:]
    assert 'tensors differ' in difference(folder / '0_workers/whole', tmp_path / 'run')


def test_deaths_are_of_all_kinds_and_follow_from_the_seed():
    moments = [
        'write x.log',
        *['training', 'optimizer step', 'write .iter_2.pth.tmp', 'rename iter_2.pth'] * 3,
        'validation',
    ]

    def deaths(seed):
        chosen = choose_deaths(moments, 10.0, np.random.default_rng(seed))
        return [next(chosen) for _ in range(9)]

    assert deaths(1) == deaths(1) != deaths(2)
    by_moment = [(what, death['moment']) for what, death in deaths(1) if 'moment' in death]
    assert {what for what, _ in by_moment} == set(moments)
    assert all(moments[index] == what for what, index in by_moment)
    assert all(0 <= death['seconds'] <= 10 for _, death in deaths(1) if 'seconds' in death)
