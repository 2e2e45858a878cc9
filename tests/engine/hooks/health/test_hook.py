"""Runs that go wrong on the tiny world: stopped, only warned about, rolled back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from projects.CVT_IO.cvt_io.engine.hooks.health import HealthDetector
from projects.CVT_IO.cvt_io.engine.hooks.health.hook import CVTIOHealthHook, HealthError
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.checkpoint import read_checkpoint
from tests.team import run_team
from tests.tiny import assert_same_state, hook, interrupt_before, tiny_config, tiny_runner, train_tiny

POISONED = 'neck.process.self_attends.0.mlp.0.weight'


def build(toy_root: Path, work_dir: Path, steps: int, *hooks: Hook, resume: bool = False, **options) -> Runner:
    config = tiny_config(
        toy_root,
        work_dir,
        resume=resume,
        **{
            'train_cfg__max_iters': steps,
            'train_cfg__val_interval': 20,
            'param_scheduler__total_steps': steps + 1,
            'default_hooks__checkpoint__interval': 10,
        }
        | options,
    )
    return tiny_runner(config, *hooks)


def record(work_dir: Path) -> list[dict]:
    return json.loads((work_dir / 'health.json').read_text())['alarms']


def health_of(runner: Runner) -> CVTIOHealthHook:
    return next(each for each in runner.hooks if isinstance(each, CVTIOHealthHook))


def poison(*steps: int) -> Hook:
    """NaN in one weight before the given steps."""

    def act(runner, batch_idx, **_):
        if batch_idx + 1 in steps:
            with torch.no_grad():
                runner.model.get_parameter(POISONED)[3, 2] = math.nan

    return hook(before_train_iter=act)


def impatient() -> Hook:
    """Calls checkpoints healthy after three steps, where thirty are the least."""
    return hook(before_train=lambda runner: setattr(health_of(runner).detector, 'settled_after', 3))


def scores(*values: float) -> Hook:
    """Replaces the IoU of the validations."""
    left = iter(values)
    return hook('HIGHEST', after_val_epoch=lambda _, metrics: metrics.update({'vehicle/IoU@0.50': next(left)}))


def no_steps() -> Hook:
    """Training takes no time."""

    def act(runner):
        runner.model.train_step = lambda batch, optim_wrapper: dict(loss=torch.tensor(0.1))

    return hook(before_train=act)


def test_first_alarm_stops_the_run(toy_root, tmp_path):
    with pytest.raises(HealthError, match=r'^step 3: the loss is nan.*; stopped\. No checkpoint is known'):
        build(toy_root, tmp_path, 10, poison(3)).train()
    first, second = record(tmp_path)  # loss and gradient norm
    assert first['rule'] == second['rule'] == 'not finite' and first['action'] == 'stop'
    assert first['where'] == f'{POISONED} is not finite'


def test_roll_back_scales_the_schedule(toy_root, tmp_path):
    """To the start that was kept, at a hundredth of 1.0; the schedule continues from there."""
    options = dict(default_hooks__health__action='roll_back', default_hooks__health__factor=0.01)
    runner = build(toy_root, tmp_path, 40, poison(5), optim_wrapper__optimizer__lr=1.0, **options)
    runner.train()
    assert {alarm['action'] for alarm in record(tmp_path)} == {'roll_back'} and runner.iter == 40
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert len(losses) == 40 and math.isfinite(losses[-1])  # one a step, none twice
    group = runner.optim_wrapper.param_groups[0]
    # OneCycle: up from a tenth of the peak until 30 % of 41 steps, down to a tenth of that. The last rate is that after
    # 39 steps: 1e-4 + (1e-2 − 1e-4)/2 · (1 + cos(π · (39 − 11.3)/(40 − 11.3))) = 1.296e-4.
    assert [group[name] for name in ('max_lr', 'initial_lr', 'min_lr')] == pytest.approx([1e-2, 1e-3, 1e-4])
    assert group['lr'] == pytest.approx(1.296e-4, rel=1e-3)


#: Three validations are the least before something can be late, and a hundred steps.
RARE = dict(train_cfg__val_interval=50, default_hooks__checkpoint__interval=50)


def test_class_that_is_never_learnt_only_warns(toy_root, tmp_path):
    """The IoU is 0 in all validations, as of a rare class; the checkpoints are healthy all the same."""
    runner = build(toy_root, tmp_path, 200, scores(*[0.0] * 4), no_steps(), **RARE)
    runner.train()
    (alarm,) = record(tmp_path)
    assert (alarm['rule'], alarm['step'], alarm['action']) == ('never learning', 150, 'warn')
    assert runner.iter == 200 and health_of(runner).healthy == 150


def test_rules_to_act_on_can_be_chosen(toy_root, tmp_path):
    options = RARE | dict(default_hooks__health__act_on=['never learning'])
    with pytest.raises(HealthError, match=r'step 150: the IoU is 0\.0000 after 150 steps of training'):
        build(toy_root, tmp_path, 200, scores(*[0.0] * 4), no_steps(), **options).train()


def break_second_batch(runner, batch_idx, **_):
    """NaN in the last batch of step 2."""
    if batch_idx == 1:
        runner.train_loop.batches[-1]['inputs']['cam_from_ego'][0][2, 1, 0] = math.nan


def break_under_autocast(runner):
    """Mixed precision, in which one module overflows."""
    runner.optim_wrapper.optim_context = lambda model: torch.autocast('cpu', torch.bfloat16)
    layer = runner.model.head.to_logits[0]
    layer.register_forward_hook(lambda m, i, out: out * math.nan if torch.is_autocast_enabled('cpu') else out)


@pytest.mark.parametrize(
    ('harm', 'message'),
    [
        (dict(before_train_iter=break_second_batch), 'the input cam_from_ego is not finite'),
        (dict(before_train=break_under_autocast), r'head\.to_logits\.0 is the first module whose output is not finite'),
    ],
)
def test_search_repeats_the_step(toy_root, tmp_path, harm, message):
    """With all accumulated batches, and under autocast."""
    with pytest.raises(HealthError, match=message):
        build(toy_root, tmp_path, 2, hook(**harm), train_cfg__base_batch_size=4).train()


def test_new_run_in_an_old_folder_says_what_it_removes(toy_root, tmp_path):
    (tmp_path / 'kept_iter_7.pth').touch()
    build(toy_root, tmp_path, 1).train()
    assert not (tmp_path / 'kept_iter_7.pth').exists()
    (log,) = tmp_path.glob('*/*.log')
    assert 'Health: removing kept_iter_7.pth of an earlier run' in log.read_text()


def test_metric_of_save_best_auto(tmp_path):
    """mmengine's hook takes the first metric, and only when it saves, after this hook."""
    hook = CVTIOHealthHook()
    hook.detector = HealthDetector(1000)
    hook.kept = SimpleNamespace(checkpoints=SimpleNamespace(save_best=['auto'], key_indicators=['auto']))
    runner = SimpleNamespace(iter=10, work_dir=tmp_path, logger=MMLogger.get_current_instance())
    for iou in (0.3, 0.3):
        hook.after_val_epoch(runner, {'road/IoU@0.40': iou, 'road/IoU@0.50': 0.0})
    with pytest.raises(HealthError, match=r'the IoU fell to 0\.0000'):
        hook.after_val_epoch(runner, {'road/IoU@0.40': 0.0, 'road/IoU@0.50': 0.0})


def poisoned_by_one(toy_root: Path, work_dir: Path) -> str:
    """In a team: NaN in the second process's logged loss alone; what this process says."""
    config = tiny_config(toy_root, work_dir, train_cfg__max_iters=4, train_dataloader__batch_size=1)
    config.launcher = 'pytorch'
    config.model_wrapper_cfg.device_ids = None  # on the CPU

    def spoil(runner, batch_idx, **_):
        if batch_idx == 1 and get_rank() == 1:
            runner.message_hub.update_scalar('train/loss', math.nan)

    try:
        train_tiny(config, hook('HIGH', after_train_iter=spoil))
    except HealthError as error:
        return str(error)
    return 'nothing'


def test_processes_agree(toy_root, tmp_path):
    found = run_team(2, poisoned_by_one, toy_root, tmp_path)
    assert all(text.startswith('step 2: the loss is nan') for text in found), found


#: A checkpoint each second step, of which mmengine keeps two; validated each fourth step.
OFTEN = dict(default_hooks__checkpoint__interval=2, train_cfg__val_interval=4)


def test_resumed_after_a_roll_back_is_the_uninterrupted_run(toy_root, tmp_path):
    """NaN in a weight at step 7, back to step 2, killed at step 10, resumed from 8: the same, bit for bit."""
    options = dict(OFTEN, default_hooks__health__action='roll_back')
    whole = build(toy_root, tmp_path / 'whole', 12, poison(7), impatient(), **options)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        build(toy_root, tmp_path / 'halves', 12, poison(7), impatient(), interrupt_before(10), **options).train()
    resumed = build(toy_root, tmp_path / 'halves', 12, poison(7), impatient(), resume=True, **options)
    resumed.train()

    for folder in ('whole', 'halves'):
        first, second = record(tmp_path / folder)  # loss and gradient norm
        assert first['step'] == second['step'] == 7 and first['where'] == f'{POISONED} is not finite'
    assert_same_state(whole, resumed)
    assert whole.optim_wrapper.param_groups[0]['max_lr'] == 0.5e-3
    hooks = [health_of(run) for run in (whole, resumed)]
    assert hooks[0].detector.state_dict() == hooks[1].detector.state_dict() and hooks[1].rollbacks == 1


def test_stopped_run_is_resumed_from_the_healthy_checkpoint(toy_root, tmp_path):
    """Stopped at step 7. The command in the error resumes from step 2, rolled back when it happens again."""
    kept = tmp_path / 'kept_iter_2.pth'
    with pytest.raises(HealthError, match=rf'--cfg-options default_hooks\.health\.action=roll_back --resume {kept}$'):
        build(toy_root, tmp_path, 12, poison(7), impatient(), **OFTEN).train()
    # Kept under its second name.
    assert kept.is_file() and not (tmp_path / 'iter_2.pth').exists() and (tmp_path / 'iter_4.pth').exists()
    assert (tmp_path / 'last_healthy').read_text() == str(kept)
    options = dict(OFTEN, default_hooks__health__action='roll_back', load_from=str(kept))
    runner = build(toy_root, tmp_path, 12, poison(7), impatient(), resume=True, **options)
    runner.train()
    assert runner.iter == 12 and runner.optim_wrapper.param_groups[0]['max_lr'] == 0.5e-3
    assert {alarm['action'] for alarm in record(tmp_path)} == {'roll_back'}
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())


def test_roll_back_restores_everything_but_the_rate(toy_root, tmp_path):
    """Weights, running statistics and moments right after it are those of the start; the counters continue."""
    seen = {}

    def before(runner, **_):
        seen['scheduled'] = runner.optim_wrapper.param_groups[0]['lr']

    def after(runner, **_):
        seen['weights'] = {key: value.clone() for key, value in runner.model.state_dict().items()}
        seen['moments'] = runner.optim_wrapper.state_dict()['state']
        seen['lr'] = runner.optim_wrapper.param_groups[0]['lr']

    options = dict(default_hooks__health__action='roll_back', default_hooks__health__factor=0.25)
    spy = hook(60, before_train_iter=before, after_train_iter=after)  # between the health hook and the scheduler
    runner = build(toy_root, tmp_path, 5, poison(5), spy, **options)
    runner.train()
    kept = read_checkpoint(tmp_path / 'kept_iter_0.pth')
    assert all(torch.equal(kept['state_dict'][key], value) for key, value in seen['weights'].items())
    assert seen['moments'] == {} and seen['lr'] == pytest.approx(0.25 * seen['scheduled'])
    assert runner.iter == 5


def test_after_so_many_roll_backs_it_stops(toy_root, tmp_path):
    options = dict(default_hooks__health__action='roll_back', default_hooks__health__max_rollbacks=2)
    runner = build(toy_root, tmp_path, 20, poison(1, 2, 3, 4), **options)
    with pytest.raises(HealthError, match=r'stopped\. It had been rolled back 2 times: lower optim_wrapper'):
        runner.train()
    assert [alarm['action'] for alarm in record(tmp_path)[::2]] == ['roll_back', 'roll_back', 'stop']


def test_warning_is_given_once(toy_root, tmp_path):
    options = dict(default_hooks__health__action='warn')
    runner = build(toy_root, tmp_path, 6, poison(3), **options)
    runner.train()
    assert runner.iter == 6 and math.isnan(runner.message_hub.get_scalar('train/loss').current())
    assert {alarm['step'] for alarm in record(tmp_path)} == {3}


def test_iou_that_falls_stops_before_the_best_is_touched(toy_root, tmp_path):
    """The third validation is at zero, after two of 0.3."""
    runner = build(toy_root, tmp_path, 10, scores(0.3, 0.3, 0.0), train_cfg__val_interval=2)
    with pytest.raises(HealthError, match=r'step 6: the IoU fell to 0\.0000 after having been 0\.3'):
        runner.train()
    assert [path.name for path in tmp_path.glob('best_*')] == ['best_vehicle_IoU@0.50_iter_2.pth']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(action='panic'), 'action: expected one of stop, warn, roll_back'),
        (dict(act_on=['luck']), "act_on: expected some of not finite, .*, got 'luck'"),
        (dict(factor=1.0), 'factor: expected a number between 0 and 1'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CVTIOHealthHook(**arguments)


def test_iou_key_that_is_no_metric(toy_root, tmp_path):
    runner = build(toy_root, tmp_path, 2, default_hooks__health__iou_key='road/IoU@0.50', train_cfg__val_interval=2)
    with pytest.raises(DataError, match=r'health\.iou_key: road/IoU@0\.50 is not a metric, expected one of vehicle/'):
        runner.train()
