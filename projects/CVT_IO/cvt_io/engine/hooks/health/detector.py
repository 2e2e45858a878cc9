"""Detects a failing run from its logged numbers alone, without a model or tensors.

Times are shares of ``max_iters``; :class:`Thresholds` has the figures.

| rule               | alarm when                                                                  | by default  |
|--------------------|-----------------------------------------------------------------------------|-------------|
| ``not finite``     | the loss or the gradient norm is NaN or infinite                            | acts        |
| ``loss jump``      | the training loss rises to 1.65 times its running level for 0.8 % of the run | acts       |
| ``IoU fell``       | the validation IoU, once above 0.05, falls below a tenth of its highest     | acts        |
| ``never learning`` | the running validation IoU is below 0.015 after 13 % of the run             | warns       |

The last rule only warns because a rare class, or one that is absent from the validation set, stays at zero for long in
a healthy run. The figures were set on the logs of ten original runs (:mod:`..analysis.notes`), of which two collapsed
and one never learnt; the tests scale each figure both ways and expect the same verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from .jump_watch import JumpWatch
from .watches import FallWatch, FiniteWatch, LearnWatch, Watch

#: Version of the state; others cannot be loaded.
VERSION = 2


class Rule(str, Enum):
    """Ways in which a run fails; see the table above."""

    NOT_FINITE = 'not finite'
    LOSS_JUMP = 'loss jump'
    IOU_FELL = 'IoU fell'
    NEVER_LEARNING = 'never learning'

    __str__ = str.__str__  # the value, as in Python 3.11's StrEnum


@dataclass(frozen=True)
class Alarm:
    """A rule that was broken.

    Attributes:
        rule: which one.
        step: of the row that broke it.
        message: what was found, with figures.
    """

    rule: Rule
    step: int
    message: str


@dataclass(frozen=True)
class Thresholds:
    """The figures of the rules. Ratios are logarithms, so that scaling them makes sense below and above 1.

    Attributes:
        loss_jump: the loss over its level; e^0.5 is 1.65. The collapses of the original runs were 2.5 and 2.8.
        noise: standard deviations of a block of losses. The blocks of the original runs scatter by 0.12.
        risen: running IoU above which a fall counts.
        fallen: share of the highest IoU.
        learnt: running IoU.
        late: share of the run by which it must be reached. The slowest original run had an IoU of 0.02 at 0.08.
        late_steps: in short runs at least this many steps, as long as that is less than half of the run.
        patience: consecutive gradient norms that are not finite: 1, or more while a loss scale is searched for.
    """

    loss_jump: float = 0.5
    noise: float = 4.0
    risen: float = 0.05
    fallen: float = 0.1
    learnt: float = 0.015
    late: float = 0.13
    late_steps: int = 3000
    patience: int = 1

    def scaled(self, factor: float, *names: str) -> Thresholds:
        """With some of the figures, or all but the whole numbers, multiplied."""
        chosen = names or [field.name for field in fields(self) if isinstance(field.default, float)]
        return replace(self, **{name: getattr(self, name) * factor for name in chosen})


class HealthDetector:
    """Takes the rows of a run in the order of their steps and reports what goes wrong.

    The same run gives the same alarms from one row per step as from means over hundreds of steps, up to the duration of
    a block. The state is saved in checkpoints (:meth:`state_dict`), so a resumed run is judged as an uninterrupted one.

    >>> detector = HealthDetector(max_iters=100_000)
    >>> for step, iou in [(1406, 0.0), (2813, 0.12), (4220, 0.15), (5627, 0.0)]:
    ...     alarms = detector.update(step, iou=iou)
    >>> alarms[0].rule, alarms[0].step
    (<Rule.IOU_FELL: 'IoU fell'>, 5627)

    Args:
        max_iters: steps of the whole run.
        thresholds: figures of the rules.
    """

    def __init__(self, max_iters: int, thresholds: Thresholds | None = None) -> None:
        if max_iters < 1:
            raise ValueError(f'max_iters: expected an integer of at least 1, got {max_iters}')
        limits = thresholds or Thresholds()
        block, horizon = max(0.004 * max_iters, 10), max(0.05 * max_iters, 50)
        late = max(limits.late * max_iters, min(limits.late_steps, 0.5 * max_iters), 100)
        jump = JumpWatch('the loss', block, horizon, limits.loss_jump, limits.noise, confirm=2)
        learn = LearnWatch('the IoU', limits.learnt, limits.risen, late, least_rows=3)
        self._watches: dict[str, list[tuple[Rule, Watch]]] = {
            'loss': [(Rule.NOT_FINITE, FiniteWatch('the loss')), (Rule.LOSS_JUMP, jump)],
            'grad_norm': [(Rule.NOT_FINITE, FiniteWatch('the gradient norm', limits.patience))],
            'iou': [(Rule.IOU_FELL, FallWatch('the IoU', limits.risen, limits.fallen)), (Rule.NEVER_LEARNING, learn)],
        }
        #: Steps without any sign of trouble after which the weights before them are called healthy.
        self.settled_after = math.ceil(3 * block)

    def update(
        self, step: int, *, loss: float | None = None, grad_norm: float | None = None, iou: float | None = None
    ) -> list[Alarm]:
        """Takes a row; ``None`` for numbers that it does not have.

        Args:
            step: not smaller than that of the last row.
            loss: training loss at this step, or its mean since the last row.
            grad_norm: norm of all gradients before clipping, likewise.
            iou: of a validation, in [0, 1].

        Returns:
            Alarms that this row raises; usually none.
        """
        alarms = []
        for name, value in dict(loss=loss, grad_norm=grad_norm, iou=iou).items():
            if value is None:
                continue
            for rule, watch in self._watches[name]:
                message = watch.update(step, value)
                if message is not None:
                    alarms.append(Alarm(rule, step, message))
        return alarms

    @property
    def open(self) -> set[Rule]:
        """Rules that are broken now."""
        return {rule for _, rule, watch in self._all() if watch.open}

    @property
    def suspicious(self) -> bool:
        """Whether the weights may be spoiled: something that stops a run is wrong, or shows a first sign of it."""
        return any(watch.suspicious for _, _, watch in self._all())

    def restart(self, step: int) -> None:
        """The run continues from ``step`` with the weights of an earlier step, whose state was loaded."""
        for _, _, watch in self._all():
            watch.restart(step)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers by name."""
        return {'version': VERSION} | {name: watch.state_dict() for name, _, watch in self._all()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state."""
        if state.get('version') != VERSION:
            raise ValueError(f'state of the health detector: expected version {VERSION}, found {state.get("version")}')
        for name, _, watch in self._all():
            watch.load_state_dict(state[name])

    def _all(self) -> Iterator[tuple[str, Rule, Watch]]:
        for name, watches in self._watches.items():
            for rule, watch in watches:
                yield f'{name} {rule}', rule, watch
