"""Whether a config describes a training run that the hooks and the loop can carry out."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigError
from .shared_settings import MISSING, look_up


def check_training(config: Mapping) -> None:
    """Checks the length of the run.

    Raises:
        ConfigError: it is not a number of steps.
    """
    steps = look_up(config, ('train_cfg', 'max_iters'))
    if steps is not MISSING and not (isinstance(steps, int) and steps > 0):
        raise ConfigError(f'max_iters: expected a whole number, got {steps}')
