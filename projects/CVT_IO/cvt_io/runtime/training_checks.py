"""Whether a config describes a training run that the loop and the hooks can carry out."""

from __future__ import annotations

from collections.abc import Mapping

from mmdet3d.registry import LOOPS

from ..engine import CVTIOTrainLoop
from ..errors import ConfigError
from .schedule_length import schedulers
from .shared_settings import MISSING, dotted, look_up


def check_length(config: Mapping) -> None:
    """Raises a ``ConfigError`` if the length of the run is not a number of steps."""
    steps = look_up(config, ('train_cfg', 'max_iters'))
    if steps is not MISSING and not (isinstance(steps, int) and steps > 0):
        raise ConfigError(f'max_iters: expected a whole number, got {steps}')


def check_training(config: Mapping) -> None:
    """Checks what would otherwise end a run after its start, or change it without a word.

    Raises:
        ConfigError: the loop, an accumulation, a schedule or a hook does not count in optimizer steps, or a hook needs
            another one that is switched off; names the way out.
    """
    if config.get('train_cfg'):
        _check_loop(config)
        _check_schedulers(config)
        _check_hooks(config)


def _check_loop(config: Mapping) -> None:
    loop = LOOPS.get(str(config['train_cfg'].get('type')))
    if not (isinstance(loop, type) and issubclass(loop, CVTIOTrainLoop)):
        epochs = config['train_cfg'].get('max_epochs', 'n')
        raise ConfigError(
            f'train_cfg.type: expected a CVTIOTrainLoop, which counts in optimizer steps and can be resumed after any '
            f'of them, found {config["train_cfg"].get("type")}; for {epochs} epochs, set max_iters to {epochs} × '
            f'training frames / base_batch_size'
        )
    count = look_up(config, ('optim_wrapper', 'accumulative_counts'))
    if count not in (MISSING, 1):
        batch = look_up(config, ('train_dataloader', 'batch_size'))
        raise ConfigError(
            f'optim_wrapper.accumulative_counts: expected 1, found {count}; to accumulate, set '
            f'train_cfg.base_batch_size to the samples of a step, {count} × {batch} × processes'
        )


def _check_schedulers(config: Mapping) -> None:
    for path, scheduler in schedulers(config):
        if scheduler.get('by_epoch', True):
            raise ConfigError(
                f'{dotted(path)}.by_epoch: expected False, found True (the default of a {scheduler["type"]}); the run '
                f'is one epoch, so give its lengths in steps'
            )
        begin, steps = scheduler.get('begin', 0), config['train_cfg']['max_iters']
        if begin >= min(steps, scheduler.get('end', steps)):
            raise ConfigError(f'{dotted(path)}.begin: expected less than its end and max_iters, {steps}, found {begin}')


def _check_hooks(config: Mapping) -> None:
    hooks = config.get('default_hooks') or {}
    for name in ('checkpoint', 'logger'):
        if (hooks.get(name) or {}).get('by_epoch', False):
            raise ConfigError(
                f'default_hooks.{name}.by_epoch: expected False, found True; the run is one epoch, so give its '
                f'interval in steps (n × training frames / base_batch_size)'
            )
    if hooks.get('checkpoint') is None:
        needing = [name for name in ('interruption', 'health') if hooks.get(name) is not None]
        if needing:
            ways = ' '.join(f'default_hooks.{name}=None' for name in needing)
            raise ConfigError(
                f'default_hooks.checkpoint: expected a hook, which {" and ".join(needing)} need, found None; to go '
                f'without it, set {ways} too'
            )
