"""What a config's label groups imply: the metrics, and with them the best checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigError
from ..evaluation.metric import metric_keys
from ..labels.groups import build_label_groups
from .shared_settings import LABEL_GROUPS, MISSING, dotted, look_up

_CHECKPOINT = ('default_hooks', 'checkpoint')


def check_task(config: Mapping) -> None:
    """Checks the label groups, and that the best checkpoint is chosen by a metric which is computed.

    Raises:
        ConfigError: a group is invalid, or ``save_best`` is not a metric.
    """
    for path, groups in LABEL_GROUPS.places(config).items():
        try:
            build_label_groups(groups)
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f'{dotted(path)}: {error}') from error
    keys, save_best = _metrics(config), look_up(config, (*_CHECKPOINT, 'save_best'))
    for wanted in save_best if isinstance(save_best, (list, tuple)) else [save_best]:
        if keys and isinstance(wanted, str) and wanted not in (*keys, 'auto'):
            raise ConfigError(
                f"{dotted(_CHECKPOINT)}.save_best: expected 'auto' or one of the metrics {', '.join(keys)}, "
                f'found {wanted!r}'
            )


def choose_best_key(config: Mapping) -> None:
    """Where ``save_best`` is left open, makes it the first label group's IoU at 0.5, else at its first threshold."""
    hook = look_up(config, _CHECKPOINT)
    if isinstance(hook, dict):
        hook.setdefault('rule', 'greater')
        if hook.get('save_best', 'auto') == 'auto':
            hook['save_best'] = _best_key(config) or 'auto'


def reopen_best_key(config: Mapping, before: Mapping) -> None:
    """Leaves ``save_best`` open again if it was chosen for the config as it was ``before``."""
    if look_up(before, (*_CHECKPOINT, 'save_best')) in ('auto', MISSING):
        hook = look_up(config, _CHECKPOINT)
        if isinstance(hook, dict) and hook.get('save_best') == _best_key(before):
            hook['save_best'] = 'auto'


def _best_key(config: Mapping) -> str | None:
    keys = _metrics(config)
    return next((key for key in keys if key.endswith('/IoU@0.50') and _group(key) == _group(keys[0])), (*keys, None)[0])


def _group(key: str) -> str:
    return key.rpartition('/IoU@')[0]


def _metrics(config: Mapping) -> list[str]:
    """Names of the metrics of a validation; none if there is another evaluator among them, whose names are unknown."""
    evaluators = config.get('val_evaluator') or []
    keys: list[str] = []
    for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
        if not isinstance(evaluator, Mapping) or evaluator.get('type') != 'CVTIOIoUMetric':
            return []
        keys += metric_keys(
            **{key: evaluator[key] for key in ('label_groups', 'thresholds', 'prefix') if key in evaluator}
        )
    return keys
