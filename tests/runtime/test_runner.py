"""The Runner on the tiny world: hooks switched off, mixed precision on a CPU, schedules of a resumed run."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook

from projects.CVT_IO.cvt_io.errors import ConfigError
from projects.CVT_IO.cvt_io.runtime.batches import test_batches as first_batches
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.runtime.runner import CVTIORunner, build_runner
from tests.tiny import NO_VALIDATION, REPO, hook, tiny_config, tiny_runner, train_tiny

HOOKS = [*load_config(str(REPO / 'configs/cvt.py')).default_hooks, 'runtime_info']


def train(config, *hooks: Hook) -> CVTIORunner:
    return train_tiny(config, *hooks, build=build_runner)


@pytest.mark.parametrize('name', HOOKS)
def test_any_hook_can_be_switched_off(toy_root, tmp_path, name):
    """``default_hooks.<name>=None``; the checkpoints with the hooks that need them."""
    names = [name] + ['interruption', 'health'] * (name == 'checkpoint')
    off = {f'default_hooks__{each}': None for each in names}
    runner = train(tiny_config(toy_root, tmp_path, train_cfg__max_iters=2, **NO_VALIDATION, **off))
    kinds = [type(hook) for hook in runner.hooks]
    assert runner.iter == 2 and len(kinds) == len(HOOKS) - len(names)


def note_dtypes(runner: CVTIORunner, dtypes: set[torch.dtype]) -> None:
    runner.model.backbone.register_forward_hook(lambda module, args, out: dtypes.add(out[0].dtype))


def test_mixed_precision_on_a_cpu(toy_root, tmp_path):
    """bfloat16 in the network, float32 weights, and nearly the losses of full precision."""
    losses = {}
    for kind in ('OptimWrapper', 'AmpOptimWrapper'):
        values: list[float] = []
        spy = hook(after_train_iter=lambda runner, outputs, values=values, **_: values.append(outputs['loss'].item()))
        options = NO_VALIDATION | dict(optim_wrapper__type=kind)
        if kind == 'AmpOptimWrapper':
            options['optim_wrapper__loss_scale'] = 'dynamic'
        runner = tiny_runner(tiny_config(toy_root, tmp_path / kind, **options), spy, build=build_runner)
        dtypes: set[torch.dtype] = set()
        runner.register_hook(hook(before_train=lambda runner, dtypes=dtypes: note_dtypes(runner, dtypes)))
        runner.train()
        assert dtypes == {torch.float32 if kind == 'OptimWrapper' else torch.bfloat16}
        assert {parameter.dtype for parameter in runner.model.parameters()} == {torch.float32}
        losses[kind] = torch.tensor(values)
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
    longer = options | dict(train_cfg__max_iters=8, param_scheduler__total_steps=9)
    rates: list[list[float]] = []
    for folder, resume in ((tmp_path, True), (tmp_path / 'whole', False)):
        found: list[float] = []
        spy = hook(before_train_iter=lambda runner, f=found, **_: f.append(runner.optim_wrapper.param_groups[0]['lr']))
        train(tiny_config(toy_root, folder, resume=resume, **longer), spy)
        rates.append(found)
    assert len(rates[0]) == 4 and rates[0] == rates[1][4:]


@pytest.mark.parametrize('extra', [dict(prefetch_factor=4), dict(timeout=10, multiprocessing_context='spawn'), {}])
def test_no_workers_with_what_only_workers_take(toy_root, tmp_path, extra):
    options = {f'train_dataloader__{key}': value for key, value in extra.items()}
    options |= dict(train_dataloader__persistent_workers=True, train_dataloader__num_workers=0)
    assert train(tiny_config(toy_root, tmp_path, train_cfg__max_iters=1, **NO_VALIDATION, **options)).iter == 1


def test_batches_without_workers_whatever_the_config_has(toy_root, tmp_path):
    options = dict(test_dataloader__num_workers=2, test_dataloader__prefetch_factor=4)
    (batch, *_) = first_batches(tiny_config(toy_root, tmp_path, **options), batch_size=1, count=1)
    assert len(batch['data_samples']) == 1
