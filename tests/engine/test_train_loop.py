"""Training on the tiny world: accumulation, resuming, the recipe's batch."""

from __future__ import annotations

import pytest
import torch

from projects.CVT_IO.cvt_io.engine import train_loop
from projects.CVT_IO.cvt_io.errors import DataError
from tests.tiny import NO_VALIDATION, assert_same_state, hook, tiny_config, tiny_runner, train_tiny

WORKERS = dict(train_dataloader__num_workers=1, train_dataloader__persistent_workers=True)


@pytest.mark.parametrize(
    ('options', 'accumulate'),
    [
        ({}, 1),
        (NO_VALIDATION | dict(randomness=dict(seed=None)), 1),  # the resumed run takes over the seed that was drawn
        (NO_VALIDATION | WORKERS | dict(train_cfg__base_batch_size=4), 2),
    ],
)
def test_resumed_run_is_the_uninterrupted_one(toy_root, tmp_path, options, accumulate):
    """From the checkpoint of step 2 of 4: the same samples in the same order."""
    whole = train_tiny(tiny_config(toy_root, tmp_path, **options))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    resumed = train_tiny(tiny_config(toy_root, tmp_path, resume=True, **options))
    assert (resumed.iter, resumed.seed, resumed.train_loop.accumulate) == (4, whole.seed, accumulate)
    assert_same_state(whole, resumed)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(optim_wrapper__accumulative_counts=4), r'accumulative_counts.*base_batch_size'),
        (dict(train_dataloader__sampler=dict(type='DefaultSampler')), r'sampler: expected a CVTIOInfiniteSampler'),
    ],
)
def test_what_cannot_be_resumed_is_refused(toy_root, tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        train_tiny(tiny_config(toy_root, tmp_path, **options))


def test_resuming_reads_no_seen_sample(toy_root, tmp_path, monkeypatch):
    train_tiny(tiny_config(toy_root, tmp_path, train_cfg__max_iters=2))
    runner = tiny_runner(tiny_config(toy_root, tmp_path, resume=True, **NO_VALIDATION))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    kind, read = type(runner.train_loop.dataloader.dataset), []
    item = kind.__getitem__
    monkeypatch.setattr(kind, '__getitem__', lambda self, i: read.append(i) or item(self, i))
    runner.train()
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
        runner = tiny_runner(config)
        train_mode = runner.model.train
        runner.model.train = lambda mode=True, f=train_mode: f(False)
        runner.train()
        assert runner.train_loop.accumulate == 2 // batch
        grads.append(runner.model.state_dict())
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
    runner = tiny_runner(tiny_config(toy_root, tmp_path, **options))
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
    seen = []
    spy = hook(before_train_iter=lambda runner, **_: seen.append(runner.optim_wrapper.param_groups[0]['lr']))
    train_tiny(config, spy)
    assert seen == [pytest.approx(1e-4)]
