"""The Runner on the tiny world: hooks switched off, mixed precision on a CPU, schedules of a resumed run."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook

from projects.CVT_IO.cvt_io.errors import ConfigError
from projects.CVT_IO.cvt_io.runtime.batches import test_batches as first_batches
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.runtime.runner import CVTIORunner, build_runner
from tests.tiny import REPO, tiny_config

NO_VALIDATION = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
HOOKS = [*load_config(str(REPO / 'configs/cvt.py')).default_hooks, 'runtime_info']


def train(config, *hooks: Hook) -> CVTIORunner:
    config.experiment_name = f'{config.work_dir}_{config.resume}'.replace('/', '_')
    runner = build_runner(config)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


class Losses(Hook):
    def __init__(self) -> None:
        self.values: list[float] = []
        self.dtypes: set = set()

    def before_train(self, runner) -> None:
        runner.model.backbone.register_forward_hook(lambda module, args, out: self.dtypes.add(out[0].dtype))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.values.append(outputs['loss'].item())


@pytest.mark.parametrize('name', HOOKS)
def test_any_hook_can_be_switched_off(toy_root, tmp_path, name):
    """``default_hooks.<name>=None``; the checkpoints with the hooks that need them."""
    names = [name] + ['interruption', 'health'] * (name == 'checkpoint')
    off = {f'default_hooks__{each}': None for each in names}
    runner = train(tiny_config(toy_root, tmp_path, train_cfg__max_iters=2, **NO_VALIDATION, **off))
    kinds = [type(hook) for hook in runner.hooks]
    assert runner.iter == 2 and len(kinds) == len(HOOKS) - len(names)


def test_mixed_precision_on_a_cpu(toy_root, tmp_path):
    """bfloat16 in the network, float32 weights, and nearly the losses of full precision."""
    losses = {}
    for kind in ('OptimWrapper', 'AmpOptimWrapper'):
        hook = Losses()
        options = NO_VALIDATION | dict(optim_wrapper__type=kind)
        if kind == 'AmpOptimWrapper':
            options['optim_wrapper__loss_scale'] = 'dynamic'
        runner = train(tiny_config(toy_root, tmp_path / kind, **options), hook)
        assert hook.dtypes == {torch.float32 if kind == 'OptimWrapper' else torch.bfloat16}
        assert {parameter.dtype for parameter in runner.model.parameters()} == {torch.float32}
        losses[kind] = torch.tensor(hook.values)
    full, mixed = losses.values()
    assert len(full) == 4 and not torch.equal(full, mixed)
    torch.testing.assert_close(mixed, full, rtol=0.05, atol=0)


def test_other_schedules_cannot_change_their_length(toy_root, tmp_path):
    cosine = dict(type='CosineAnnealingLR', T_max=4, begin=0, end=4, by_epoch=False)

    def config(steps: int, **options):
        cfg = tiny_config(toy_root, tmp_path, train_cfg__max_iters=steps, **NO_VALIDATION, **options)
        cfg.param_scheduler = [dict(cosine, T_max=steps, end=steps)]
        return cfg

    train(config(4))
    assert train(config(4, resume=True)).iter == 4
    longer = config(6, resume=True)
    with pytest.raises(ConfigError, match=r"CosineAnnealingLR has {'end': 4.*}, this config says {'end': 6"):
        train(longer)


def test_longer_run_resumes_on_its_own_curve(toy_root, tmp_path):
    """Rates of a run of 4 steps that is resumed with 8: those of 8 from step 5 on."""
    options = dict(NO_VALIDATION)
    train(tiny_config(toy_root, tmp_path, **options))
    resumed, whole = Rates(), Rates()
    longer = options | dict(train_cfg__max_iters=8, param_scheduler__total_steps=9)
    train(tiny_config(toy_root, tmp_path, resume=True, **longer), resumed)
    train(tiny_config(toy_root, tmp_path / 'whole', **longer), whole)
    assert len(resumed.values) == 4 and resumed.values == whole.values[4:]


class Rates(Losses):
    def before_train(self, runner) -> None:
        """Nothing to look at."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.values.append(runner.optim_wrapper.param_groups[0]['lr'])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Too late: the rate is the next step's."""


@pytest.mark.parametrize('extra', [dict(prefetch_factor=4), dict(timeout=10, multiprocessing_context='spawn'), {}])
def test_no_workers_with_what_only_workers_take(toy_root, tmp_path, extra):
    options = {f'train_dataloader__{key}': value for key, value in extra.items()}
    options |= dict(train_dataloader__persistent_workers=True, train_dataloader__num_workers=0)
    assert train(tiny_config(toy_root, tmp_path, train_cfg__max_iters=1, **NO_VALIDATION, **options)).iter == 1


def test_batches_without_workers_whatever_the_config_has(toy_root, tmp_path):
    options = dict(test_dataloader__num_workers=2, test_dataloader__prefetch_factor=4)
    (batch, *_) = first_batches(tiny_config(toy_root, tmp_path, **options), batch_size=1, count=1)
    assert len(batch['data_samples']) == 1
