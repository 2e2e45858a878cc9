"""The train and test tools as a user runs them, and mmdet3d's stock ones on our configs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mmdet3d
import numpy as np
import pytest
import torch

from tests.tiny import REPO, TINY_OPTIONS, TOY_CONFIG, as_arguments
from tests.tools.in_process import run_process, run_tool

STOCK_TOOLS = Path(mmdet3d.__file__).parent / '.mim/tools'


def options(root: Path, **extra: object) -> list[str]:
    return ['--cfg-options', *as_arguments(TINY_OPTIONS | {'data_root': root} | extra)]


@pytest.fixture(scope='module')
def trained(toy_root, tmp_path_factory) -> Path:
    """Work folder of a finished run, started from another working directory."""
    work_dir = tmp_path_factory.mktemp('work')
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    result = run_process(REPO / 'tools/train.py', TOY_CONFIG, '--work-dir', work_dir, *options(toy_root), cwd=elsewhere)
    assert result.returncode == 0, result.stderr[-2000:]
    return work_dir


def test_train_leaves_best_and_last_checkpoint_and_logs(trained):
    assert sorted(path.name for path in trained.glob('iter_*.pth')) == ['iter_2.pth', 'iter_4.pth']
    assert len([*trained.glob('best_vehicle_IoU@0.50_iter_*.pth')]) == 1
    (log,) = trained.glob('*/vis_data/2*.json')
    rows = rows_of(log)
    assert [row['step'] for row in rows if 'loss' in row] == [1, 2, 3, 4]
    assert [row['step'] for row in rows if 'vehicle/IoU@0.50' in row] == [2, 4]
    assert [*trained.glob('*/vis_data/events.out.tfevents*')]


def test_resume_continues_from_a_checkpoint_elsewhere(trained, toy_root, tmp_path):
    five = options(toy_root, **{'train_cfg.max_iters': 5, 'param_scheduler.total_steps': 6})
    words = (TOY_CONFIG, '--work-dir', tmp_path, '--resume', trained / 'iter_4.pth', *five)
    assert run_tool('tools/train.py', *words) is None
    (log,) = tmp_path.glob('*/vis_data/2*.json')
    assert [row['step'] for row in rows_of(log) if 'iter' in row] == [5] and (tmp_path / 'iter_5.pth').is_file()


def test_signal_to_all_processes_and_resume(toy_root, tmp_path):
    """SIGTERM to the tool and its data workers, as a batch system sends it: saved, told how to go on, and gone on."""
    extra = {'train_dataloader.num_workers': 1, 'train_dataloader.persistent_workers': True}
    extra |= {'train_cfg.max_iters': 100_000, 'train_cfg.val_interval': 100_000, 'param_scheduler.total_steps': 100_001}
    command = [sys.executable, REPO / 'tools/train.py', TOY_CONFIG, '--work-dir', tmp_path, *options(toy_root, **extra)]
    process = subprocess.Popen(
        [*map(str, command)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    said = []
    for line in process.stdout:
        said.append(line)
        if 'Iter(train) [     3/100000]' in line:
            os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM, ''.join(said[-30:])
    (told,) = (line for line in said if ' --resume' in line)
    step = int(re.search(r'ended after step (\d+) of', told)[1])
    assert 3 <= step <= 6 and (tmp_path / f'iter_{step}.pth').is_file()
    words = shlex.split(told.partition(' with: ')[2])
    short = {'train_cfg.max_iters': step + 1, 'param_scheduler.total_steps': 100_001, 'train_cfg.val_interval': 100_000}
    words = [*words[1:-1], *as_arguments(short), '--resume']
    assert Path(words[0]).name == 'train.py'
    assert run_tool('tools/train.py', *words[1:]) is None
    assert (tmp_path / f'iter_{step + 1}.pth').is_file()
    steps = [
        row['step'] for log in sorted(tmp_path.glob('*/vis_data/2*.json')) for row in rows_of(log) if 'iter' in row
    ]
    assert steps == [*range(1, step + 2)]


def rows_of(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_resume_falls_back_on_a_checkpoint_that_can_be_read(trained, toy_root, tmp_path, capfd):
    shutil.copytree(trained, tmp_path / 'work')
    last = tmp_path / 'work/iter_4.pth'
    last.write_bytes(last.read_bytes()[:-1000])
    words = (TOY_CONFIG, '--work-dir', tmp_path / 'work', '--resume', *options(toy_root))
    assert run_tool('tools/train.py', *words) is None
    told = capfd.readouterr().err
    assert (
        f'warning: {last}: cannot read checkpoint' in told and f'resuming from {last.with_name("iter_2.pth")}' in told
    )
    assert torch.load(last, weights_only=True)['meta']['iter'] == 4


def test_max_time_ends_with_an_exit_code_of_its_own(toy_root, tmp_path):
    words = (TOY_CONFIG, '--work-dir', tmp_path, '--max-time', '1s', *options(toy_root))
    assert run_tool('tools/train.py', *words) == 75
    assert (tmp_path / 'iter_1.pth').is_file()


def test_resume_near_the_end_of_a_long_run_takes_seconds(trained, toy_root, tmp_path):
    """Step 99,000 of 100,000: no sample of the steps before is read."""
    long = {'train_cfg.max_iters': 100_000, 'param_scheduler.total_steps': 100_001, 'train_cfg.val_interval': 10**6}
    checkpoint = torch.load(trained / 'iter_4.pth', weights_only=True)
    checkpoint['meta']['iter'] = 99_000
    checkpoint['message_hub']['runtime_info'] = {}
    checkpoint['param_schedulers'][0].update(last_step=99_000, _global_step=99_001, total_steps=100_001)
    torch.save(checkpoint, tmp_path / 'iter_99000.pth')
    started = time.monotonic()
    words = (TOY_CONFIG, '--work-dir', tmp_path, '--resume', '--max-time', '1s', *options(toy_root, **long))
    assert run_tool('tools/train.py', *words) == 75
    assert (tmp_path / 'iter_99001.pth').is_file() and time.monotonic() - started < 60


def test_test_writes_metrics_and_panels(trained, toy_root, tmp_path):
    out, maps = tmp_path / 'result.json', tmp_path / 'maps.npz'
    result = run_process(
        *(REPO / 'tools/test.py', TOY_CONFIG, trained / 'iter_4.pth', '--work-dir', tmp_path / 'work'),
        *('--out', out, maps),
        *('--show-dir', 'panels', '--show-interval', 2, *options(toy_root)),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    metrics = json.loads(out.read_text())
    names = {f'vehicle/IoU@{t}{s}' for t in ('0.40', '0.50') for s in ('', '_all_pixels')}
    assert names <= set(metrics) and all(0 <= metrics[name] <= 1 for name in names)
    with np.load(maps, allow_pickle=False) as file:
        assert file['scores'].shape == (3, 1, 48, 48) and file['center'].shape == (3, 48, 48)
        assert [*file['label_groups']] == ['vehicle'] and len({*file['sample_token']}) == 3
        assert 0 <= file['scores'].min() < file['scores'].max() <= 1
    # One validation scene of three frames: the first and the third.
    assert len([*(tmp_path / 'work').glob('*/panels/scene-*.png')]) == 2


def test_show_without_the_hook(toy_root, trained, tmp_path):
    words = (TOY_CONFIG, trained / 'iter_4.pth', '--work-dir', tmp_path, '--show-dir', 'panels')
    off = {'default_hooks.visualization': None}
    assert 'default_hooks.visualization' in run_tool('tools/test.py', *words, *options(toy_root, **off))


def test_logger_without_its_package(toy_root, tmp_path, monkeypatch):
    """One line that names what to install."""
    monkeypatch.setitem(sys.modules, 'wandb', None)
    config = tmp_path / 'config.py'
    backends = "vis_backends = [dict(type='WandbVisBackend')]\nvisualizer = dict(vis_backends=vis_backends)"
    config.write_text(f'_base_ = [{str(TOY_CONFIG)!r}]\n{backends}\n')
    found = run_tool('tools/train.py', config, '--work-dir', tmp_path / 'work', *options(toy_root))
    assert found == 'error: Please run "pip install wandb" to install wandb'


def test_mixed_precision_without_a_gpu(toy_root, tmp_path):
    extra = {'train_cfg.max_iters': 1, 'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None}
    words = (TOY_CONFIG, '--work-dir', tmp_path, '--amp', *options(toy_root, **extra))
    assert run_tool('tools/train.py', *words) is None
    assert (tmp_path / 'iter_1.pth').is_file()


@pytest.mark.parametrize('control', ['blank', 'other-frame'])
def test_test_time_augmentation_with_every_other_flag(trained, toy_root, tmp_path, control):
    """Predictions, panels and a control run; the maps are another model's than without it, and of all frames."""
    scores, tokens = [], []
    for flags in ((), ('--tta', '--show-dir', 'panels', '--show-interval', 2)):
        words = (TOY_CONFIG, trained / 'iter_4.pth', '--work-dir', tmp_path, '--control', control, *flags)
        assert run_tool('tools/test.py', *words, '--out', tmp_path / 'maps.npz', *options(toy_root)) is None
        with np.load(tmp_path / 'maps.npz', allow_pickle=False) as file:
            scores.append(file['scores'].astype(float))
            tokens.append([*file['sample_token']])
    assert tokens[0] == tokens[1] and scores[0].shape == scores[1].shape
    np.testing.assert_array_equal(scores[1][..., 0], scores[0][..., 0])  # the column that has no mirror image
    assert (scores[1][..., 1:] != scores[0][..., 1:]).mean() > 0.5
    assert len([*tmp_path.glob('*/panels/scene-*.png')]) == 2


def test_stock_tools_run_our_config(trained, toy_root, tmp_path):
    """mmdet3d's own scripts, with the repository on PYTHONPATH: options that are given once reach every place."""
    words = options(toy_root, **{'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1})
    env = dict(PYTHONPATH=str(REPO))
    result = run_process(STOCK_TOOLS / 'train.py', TOY_CONFIG, '--work-dir', tmp_path, *words, cwd=tmp_path, **env)
    assert result.returncode == 0, result.stderr[-2000:]
    for flags in ((), ('--tta',)):
        command = (STOCK_TOOLS / 'test.py', TOY_CONFIG, tmp_path / 'iter_1.pth', '--work-dir', tmp_path, *flags, *words)
        result = run_process(*command, cwd=tmp_path, **env)
        assert result.returncode == 0, result.stderr[-2000:]
        assert 'vehicle/IoU@0.50' in result.stdout + result.stderr


def test_another_projects_package_does_not_shadow_ours(tmp_path):
    """A ``projects`` in the working directory or further down the path; what is in it stays importable."""
    for base in ('cwd', 'site'):
        (tmp_path / base / 'projects/Other').mkdir(parents=True)
        (tmp_path / base / 'projects/Other/__init__.py').write_text(f'where = {base!r}')
    (tmp_path / 'site/projects/__init__.py').touch()
    code = 'import projects.CVT_IO.cvt_io.geometry as g, projects.Other as o; print(g.__file__, o.where)'
    result = run_process(
        '-c', code, cwd=tmp_path, PYTHONPATH=f'{REPO}{os.pathsep}{tmp_path / "site"}', PYTHONSAFEPATH='1'
    )
    assert result.stdout.split() == [str(REPO / 'projects/CVT_IO/cvt_io/geometry/__init__.py'), 'site'], result.stderr


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_nothing_prepared_ends_at_once(tool, tmp_path):
    checkpoint = tmp_path / 'x.pth'
    checkpoint.touch()
    words = [REPO / 'configs/cvt_io_v2_2.py', *([checkpoint] if tool == 'test.py' else [])]
    result = run_process(REPO / 'tools' / tool, *words, cwd=tmp_path)
    assert result.returncode == 1
    assert 'create_data.py nuscenes' in result.stderr and 'create_data.py toy' in result.stderr
    assert 'Traceback' not in result.stderr and not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['tools/train.py', 'configs/none.py'], 'configs/none.py'),
        (['tools/test.py', TOY_CONFIG, 'none.pth', '--show'], '--show needs a display'),
        (['tools/test.py', TOY_CONFIG, 'none.pth', '--out', 'x.txt'], 'x.txt: expected a name that ends in .json'),
        (['tools/test.py', TOY_CONFIG, 'none.pth', '--out', 'x.pkl'], '.json (metrics) or .npz (predictions)'),
    ],
)
def test_one_clear_line_on_wrong_arguments(words, message, tmp_path):
    result = run_process(REPO / words[0], *words[1:], cwd=tmp_path)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1] and 'Traceback' not in result.stderr


def test_weights_that_cannot_be_had(toy_root, tmp_path):
    name = 'model.backbone.init_cfg'
    extra = (f'data_root={toy_root}', f'{name}.checkpoint=none.pth', 'train_dataloader.num_workers=0')
    words = (REPO / 'configs/cvt_io_v2_2.py', '--work-dir', tmp_path, '--cfg-options', *extra)
    found = str(run_tool('tools/train.py', *words))
    assert 'none.pth could not be loaded' in found and f'{name}=None' in found


@pytest.mark.parametrize(
    ('tool', 'words', 'message'),
    [
        ('test', ['none.pth'], 'none.pth: cannot read checkpoint: No such file'),
        ('test', ['TEXT'], 'TEXT: cannot read checkpoint: truncated, damaged or not a file of torch.save'),
        (
            'test',
            ['LAST', 'model.neck.dim=32'],
            'of another shape (neck.latent_array.features: (16, 5, 5) for (32, 5, 5), ',
        ),
        ('test', ['--tta', 'LAST', 'tta_model=None'], 'tta_model: expected as in configs/_base_/datasets/nuscenes.py'),
        ('test', ['LAST', 'model.neck.depht=1'], 'model: TypeError: CVTIOLatentNeck.__init__() got an unexpected'),
        ('train', ['--resume', 'none.pth'], 'none.pth: cannot read checkpoint: No such file'),
        ('train', ['--resume', 'BEST'], 'BEST: no optimizer state, so training cannot resume from it'),
        ('train', ['--resume', 'LAST', 'model.neck.dim=32'], 'is it a checkpoint of this config?'),
        ('train', ['load_from=none.pth'], 'none.pth: cannot read checkpoint: No such file'),
        ('train', ['load_from=TEXT'], 'TEXT: cannot read checkpoint'),
        ('train', ['model.neck.type=Foo'], 'model: KeyError: Foo is not in the mmdet3d::model registry'),
        ('train', ['model.neck.in_channels=[16,32]'], 'neck.in_channels: expected (16, 24), the channels of this'),
        ('train', ['optim_wrapper.accumulative_counts=2'], 'optim_wrapper.accumulative_counts: expected 1, found 2'),
        (
            'train',
            ['label_groups.bus.classes=[bus]', 'val_evaluator.label_groups.bus.classes=[car]'],
            'contradict each',
        ),
        ('train', ['train_dataloader.dataset.pipline=3'], 'train_dataloader.dataset: TypeError'),
    ],
)
def test_what_does_not_fit_ends_before_anything_is_built(trained, toy_root, tmp_path, tool, words, message):
    (tmp_path / 'text.pth').write_text('not a checkpoint')
    (best,) = trained.glob('best_*.pth')
    files = {'TEXT': tmp_path / 'text.pth', 'LAST': trained / 'iter_4.pth', 'BEST': best}

    def filled(text: str) -> str:
        for name, path in files.items():
            text = text.replace(name, str(path))
        return text

    extra = [filled(word) for word in words if '=' in word]
    positional = [filled(word) for word in words if '=' not in word]
    found = run_tool(
        *(f'tools/{tool}.py', TOY_CONFIG, *positional, '--work-dir', tmp_path / 'work', *options(toy_root), *extra)
    )
    assert found.startswith('error: ') and filled(message) in found and '\n' not in found
    assert not (tmp_path / 'work').exists()
