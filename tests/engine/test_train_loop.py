"""Training on the tiny world: accumulation, resuming, the recipe's batch."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from projects.CVT_IO.cvt_io.engine import train_loop
from projects.CVT_IO.cvt_io.errors import DataError
from tests.tiny import tiny_config


def train(config, *hooks: Hook) -> Runner:
    config.experiment_name = f'{config.work_dir}_{config.resume}'.replace('/', '_')  # mmengine keeps one Runner a name
    runner = Runner.from_cfg(config)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def weights(runner: Runner) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in runner.model.state_dict().items()}


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    different = [key for key in first if not torch.equal(first[key], second[key])]
    assert not different, different[:3]


def test_resumed_run_is_the_uninterrupted_one(toy_root, tmp_path):
    """Stopped after 2 of 4 steps and resumed: the same weights, bit for bit, and the same samples in the same order."""
    whole = train(tiny_config(toy_root, tmp_path / 'whole'))
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(toy_root, tmp_path / 'halves'), _Interrupt())
    resumed = train(tiny_config(toy_root, tmp_path / 'halves', resume=True))
    assert resumed.iter == 4
    assert_same(weights(whole), weights(resumed))
    first, second = (run.optim_wrapper.state_dict() for run in (whole, resumed))
    for index, state in first['state'].items():
        assert_same(state, second['state'][index])
    assert [g['lr'] for g in first['param_groups']] == [g['lr'] for g in second['param_groups']]


def test_resumed_run_keeps_a_seed_that_was_drawn(toy_root, tmp_path):
    """As above, without a seed in the config: the order and the augmentations follow the first run's."""
    options = dict(randomness=dict(seed=None), val_cfg=None, val_dataloader=None, val_evaluator=None)
    whole = train(tiny_config(toy_root, tmp_path, **options))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    resumed = train(tiny_config(toy_root, tmp_path, resume=True, **options))
    assert resumed.seed == whole.seed
    assert_same(weights(whole), weights(resumed))


def test_resumed_run_with_accumulation_and_workers(toy_root, tmp_path):
    """As above, with two batches a step and a persistent data worker."""
    options = dict(train_dataloader__num_workers=1, train_dataloader__persistent_workers=True)
    options |= dict(train_cfg__base_batch_size=4, val_cfg=None, val_dataloader=None, val_evaluator=None)
    whole = train(tiny_config(toy_root, tmp_path / 'whole', **options))
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(toy_root, tmp_path / 'halves', **options), _Interrupt())
    resumed = train(tiny_config(toy_root, tmp_path / 'halves', resume=True, **options))
    assert resumed.train_loop.accumulate == 2 and resumed.iter == 4
    assert_same(weights(whole), weights(resumed))


def test_stock_accumulation_is_refused(toy_root, tmp_path):
    with pytest.raises(ValueError, match=r'accumulative_counts.*base_batch_size'):
        train(tiny_config(toy_root, tmp_path, optim_wrapper__accumulative_counts=4))


def test_sampler_that_cannot_be_resumed_is_refused_at_the_start(toy_root, tmp_path):
    with pytest.raises(DataError, match=r'train_dataloader\.sampler: expected a CVTIOInfiniteSampler'):
        train(tiny_config(toy_root, tmp_path, train_dataloader__sampler=dict(type='DefaultSampler')))


def test_resuming_reads_no_seen_sample(toy_root, tmp_path):
    train(tiny_config(toy_root, tmp_path, train_cfg__max_iters=2))
    config = tiny_config(toy_root, tmp_path, resume=True, val_cfg=None, val_dataloader=None, val_evaluator=None)
    runner = Runner.from_cfg(config)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    dataset, read = runner.train_loop.dataloader.dataset, []
    item = type(dataset).__getitem__
    try:
        type(dataset).__getitem__ = lambda self, i: read.append(i) or item(self, i)
        runner.train()
    finally:
        type(dataset).__getitem__ = item
    assert len(read) == 2 * 2  # the two steps that were left, of two samples each


def test_two_accumulated_batches_are_one_of_twice_the_size(toy_root, tmp_path):
    """Without batch statistics and masks, 2 × 1 samples give the gradients of 1 × 2."""
    grads = []
    for batch in (2, 1):
        config = tiny_config(
            toy_root,
            tmp_path / str(batch),
            train_dataloader__batch_size=batch,
            train_cfg__max_iters=1,
            model__head__label_groups=dict(vehicle=dict(min_visibility=0)),
            model__backbone__drop_connect_rate=0.0,
            optim_wrapper__optimizer=dict(type='SGD', lr=0.1, weight_decay=0.0, betas=None, eps=None),
            optim_wrapper__clip_grad=None,
        )
        for key in ('betas', 'eps'):
            del config.optim_wrapper.optimizer[key]
        config.experiment_name = f'accumulate_{batch}'
        runner = Runner.from_cfg(config)
        train_mode = runner.model.train
        runner.model.train = lambda mode=True, f=train_mode: f(False)
        runner.train()
        assert runner.train_loop.accumulate == 2 // batch
        grads.append(weights(runner))
    for key, value in grads[0].items():
        torch.testing.assert_close(grads[1][key], value, rtol=1e-4, atol=1e-6, msg=key)


@pytest.mark.parametrize(
    ('options', 'accumulate', 'warning'),
    [
        (dict(train_cfg__base_batch_size=2), 1, None),
        (dict(train_cfg__base_batch_size=8), 4, None),
        (dict(train_cfg__base_batch_size=3), 2, 'sees 4 samples'),
        (dict(train_cfg__base_batch_size=1), 1, 'sees 2 samples'),
        (dict(train_cfg__base_batch_size=8, auto_scale_lr=dict(enable=True, base_batch_size=8)), 1, 'scaled'),
    ],
)
def test_batch_of_the_recipe(toy_root, tmp_path, options, accumulate, warning, monkeypatch):
    config = tiny_config(toy_root, tmp_path, **options)
    config.experiment_name = f'batch_{abs(hash(str(options)))}'
    runner = Runner.from_cfg(config)
    said = []
    monkeypatch.setattr(train_loop, 'print_log', lambda message, **_: said.append(message))
    loop = runner.build_train_loop(runner._train_loop)
    assert loop.accumulate == accumulate
    assert len(said) == (warning is not None)
    if warning:
        assert warning in said[0]


def test_auto_scale_lr_scales_the_peak(toy_root, tmp_path):
    """Base batch 8, batch 2: the rate is a quarter of 4e-3, and the cycle starts at a tenth of that."""
    scale = dict(enable=True, base_batch_size=8)
    config = tiny_config(
        toy_root, tmp_path, auto_scale_lr=scale, train_cfg__max_iters=1, optim_wrapper__optimizer__lr=4e-3
    )
    config.experiment_name = 'auto_scale'
    runner = Runner.from_cfg(config)
    seen = []
    runner.register_hook(_Spy(seen))
    runner.train()
    assert seen == [pytest.approx(1e-4)]


class _Interrupt(Hook):
    """Ends the run at step 3, after the checkpoint of step 2."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 2:
            raise KeyboardInterrupt


class _Spy(Hook):
    def __init__(self, seen):
        self.seen = seen

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.optim_wrapper.param_groups[0]['lr'])
