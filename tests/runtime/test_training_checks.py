"""What a run cannot carry out is refused before it starts, with the way out."""

from __future__ import annotations

import pytest

from projects.CVT_IO.cvt_io.errors import ConfigError
from projects.CVT_IO.cvt_io.runtime.config import load_config
from projects.CVT_IO.cvt_io.runtime.resolve import resolve_config
from projects.CVT_IO.cvt_io.runtime.training_checks import check_training
from tests.tiny import REPO

CONFIG = str(REPO / 'configs/cvt_io_v2_2.py')
WARM_UP = dict(type='LinearLR', start_factor=0.1, begin=0, end=1000, by_epoch=False)
COSINE = dict(type='CosineAnnealingLR', T_max=99_000, begin=1000, end=100_000, by_epoch=False)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=20)},
            r'train_cfg\.type: expected a CVTIOTrainLoop, .* found EpochBasedTrainLoop; for 20 epochs, '
            'set max_iters to 20 × training frames / base_batch_size',
        ),
        ({'train_cfg.type': 'IterBasedTrainLoop'}, 'found IterBasedTrainLoop; for n epochs'),
        (
            {'optim_wrapper.accumulative_counts': 4},
            r'accumulative_counts: expected 1, found 4; .* train_cfg\.base_batch_size to .* 4 × 10 × processes',
        ),
        ({'default_hooks.checkpoint.by_epoch': True}, r'checkpoint\.by_epoch: expected False, .* interval in steps'),
        (
            {'default_hooks.checkpoint': None},
            r'interruption and health need, .*default_hooks\.interruption=None default_hooks\.health=None too',
        ),
        ({'default_hooks.checkpoint': None, 'default_hooks.health': None}, r'which interruption need'),
        ({'param_scheduler': [WARM_UP, dict(COSINE, by_epoch=True)]}, r'param_scheduler\.1\.by_epoch: expected False'),
        ({'param_scheduler': [dict(type='ConstantLR')]}, r'param_scheduler\.0\.by_epoch: .* default of a ConstantLR'),
        ({'param_scheduler': [WARM_UP, COSINE], 'max_iters': 1000}, r'param_scheduler\.1\.begin: .* 1000, found 1000'),
    ],
)
def test_refused_with_the_way_out(options, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_training(load_config(CONFIG, options))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'param_scheduler': [WARM_UP, COSINE]},
        {'default_hooks.checkpoint': None, 'default_hooks.health': None, 'default_hooks.interruption': None},
        {'train_cfg': None, 'train_dataloader': None, 'optim_wrapper': None, 'param_scheduler': None},
    ],
)
def test_accepted(options):
    check_training(load_config(CONFIG, options))


def test_max_iters_moves_a_list_of_schedulers(tmp_path):
    """The last one ends with the run, the warm-up stays; by an option and in a leaf."""
    path = tmp_path / 'cosine.py'
    path.write_text(f'_base_ = [{CONFIG!r}]\nparam_scheduler = [{WARM_UP}, {COSINE}]\n')
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(f'_base_ = [{str(path)!r}]\nmax_iters = 5000\n')
    for cfg in (load_config(str(path), {'max_iters': 5000}), load_config(str(leaf))):
        warm_up, cosine = cfg.param_scheduler
        assert (warm_up.begin, warm_up.end) == (0, 1000)
        assert (cosine.begin, cosine.end, cosine.T_max) == (1000, 5000, 4000)
        assert cfg.train_cfg.max_iters == 5000


def test_max_iters_of_a_scheduler_for_each_optimizer():
    by_name = {'param_scheduler': dict(_delete_=True, a=dict(COSINE), b=[dict(WARM_UP), dict(COSINE)])}
    cfg = load_config(CONFIG, by_name)
    cfg.max_iters = 5000
    resolve_config(cfg)
    one, (warm_up, other) = cfg.param_scheduler.a, cfg.param_scheduler.b
    assert (one.end, other.end, other.T_max, warm_up.end) == (5000, 5000, 4000, 1000)
