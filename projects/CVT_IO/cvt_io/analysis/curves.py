"""Puts a run beside a logged run of the notes and says where it stands.

Steps here are always the notes': optimizer steps of 20 samples that are done, so runs with other batches are compared
by samples seen. (The notes' logs count from 0: their step 1,406 is 1,407 steps done.)

**The rule.** The first that applies is the verdict:

1. *collapsed*: by the health detector that watches live runs too (:mod:`..engine.health.detector`), at the end of the
   curves the training loss is not finite; or the IoU has fallen to next to nothing; or the loss has jumped and
   stayed there since the last validation. (The notes' ``cvt_io_v2_3`` and ``cvt_io_v2_6`` collapsed.)
2. *undecided*: no validation lies within the steps of the notes' log.
3. *not learning*: by the same detector, the IoU is still at zero when it is late.
4. *level*, *ahead* or *behind*: by the mean difference over the last :data:`WINDOW` common validations, with a
   tolerance of :data:`TOLERANCE`. (A single validation of the notes strays from the median of its neighbours by up to
   0.04, standard deviation.)

All of them speak of IoU@0.50 with the visibility mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..engine.hooks.health import HealthDetector, Rule
from ..errors import DataError
from . import notes
from .logs import Run

WINDOW = 5
TOLERANCE = 0.02

NOTES_BATCH = 20
NOTES_STEPS = 100_000
#: Steps over which a value of the notes' training loss is a mean.
NOTES_LOSS_STEPS = 500
LOGGED_RUNS = tuple(notes.validation_curves())

IOU_KEYS = {'iou_050': 'vehicle/IoU@0.50', 'iou_040': 'vehicle/IoU@0.40'}
LOSS_KEY = 'loss'


class Verdict(StrEnum):
    """Where a run stands; the module's docstring has the rule."""

    AHEAD = 'ahead'
    BEHIND = 'behind'
    LEVEL = 'level'
    COLLAPSED = 'collapsed'
    NOT_LEARNING = 'not learning'
    UNDECIDED = 'undecided'


@dataclass(frozen=True)
class Curve:
    """Values over steps; both (n,), steps ascending."""

    steps: np.ndarray
    values: np.ndarray

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Linear between the steps, NaN outside of them."""
        if not self.steps.size:
            return np.full(len(steps), np.nan)
        return np.interp(steps, self.steps, self.values, left=np.nan, right=np.nan)

    def means(self, steps: np.ndarray, width: int) -> Curve:
        """Mean values over the ``width`` steps up to each of ``steps``, where there are any."""
        means = {}
        for step in steps:
            window = (self.steps > step - width) & (self.steps <= step)
            if window.any():
                means[step] = self.values[window].mean()
        return Curve(np.array([*means], int), np.array([*means.values()], float))


@dataclass(frozen=True)
class Collapse:
    """The last logged step at which all was well (0: there was none), and the next one."""

    after: int
    by: int


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        iou: curves of ``iou_050`` and ``iou_040``, with the visibility mask, in [0, 1].
        loss: training loss.
        collapse: where its curves end in a collapse.
        never_learnt: its IoU is at zero when it is late.
    """

    name: str
    iou: dict[str, Curve]
    loss: Curve
    collapse: Collapse | None
    never_learnt: bool


@dataclass(frozen=True)
class Comparison:
    """A run beside a run of the notes.

    Attributes:
        run, notes: the two.
        samples_per_step: of the run's own steps.
        samples_assumed: nothing said how many, so the recipe's are taken.
        verdict: see the module's docstring.
        window: first and last of the common validations that count; ``None`` if there are none.
        run_iou, notes_iou: mean IoU@0.50 over the last common validations.
        notes_collapse: the collapse of the notes' run, if it had happened by the last common validation.
    """

    run: Side
    notes: Side
    samples_per_step: int
    samples_assumed: bool
    verdict: Verdict
    window: tuple[int, int] | None
    run_iou: float
    notes_iou: float
    notes_collapse: Collapse | None

    @property
    def step(self) -> int | None:
        """The last common validation."""
        return self.window and self.window[1]

    def training_losses(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps of the notes' points, the run's mean loss over the 500 steps up to each, and theirs; each (n,)."""
        theirs = self.notes.loss
        ours = self.run.loss.means(theirs.steps, NOTES_LOSS_STEPS)
        return ours.steps, ours.values, theirs.values[np.isin(theirs.steps, ours.steps)]


def compare(run: Run, name: str, samples_per_step: int | None = None) -> Comparison:
    """Compares a run with one of :data:`LOGGED_RUNS`.

    Args:
        run: the log.
        name: of the notes' run.
        samples_per_step: of the run; ``None`` takes its dumped config's ``train_cfg.base_batch_size``, or 20.
    """
    told = samples_per_step or run.samples_per_step()
    ours, theirs = _side(run, (told or NOTES_BATCH) / NOTES_BATCH), notes_side(name)
    mine = ours.iou['iou_050']
    at_same_steps = theirs.iou['iou_050'].at(mine.steps)
    last = np.flatnonzero(np.isfinite(at_same_steps) & np.isfinite(mine.values))[-WINDOW:]
    window = (int(mine.steps[last[0]]), int(mine.steps[last[-1]])) if last.size else None
    run_iou, notes_iou = (float(values[last].mean()) if window else math.nan for values in (mine.values, at_same_steps))
    collapse = theirs.collapse
    return Comparison(
        run=ours,
        notes=theirs,
        samples_per_step=told or NOTES_BATCH,
        samples_assumed=told is None,
        verdict=_verdict(ours, run_iou - notes_iou),
        window=window,
        run_iou=run_iou,
        notes_iou=notes_iou,
        notes_collapse=collapse if collapse and window and collapse.by <= window[1] else None,
    )


def notes_side(name: str) -> Side:
    """A run of the notes."""
    if name not in LOGGED_RUNS:
        raise DataError(f'{name}: expected a run that the notes logged, one of {", ".join(LOGGED_RUNS)}')
    points, losses = notes.validation_curves()[name], notes.training_curves()[name]
    steps = np.array([point.step for point in points]) + 1
    iou = {field: Curve(steps, np.array([getattr(point, field) for point in points])) for field in IOU_KEYS}
    loss = Curve(np.array([point.step for point in losses]) + 1, np.array([point.mean_loss for point in losses]))
    return Side(name, iou, loss, *_judged(iou['iou_050'], loss))


def _side(run: Run, scale: float) -> Side:
    """Args: scale, the notes' steps to one of the run's."""
    run.curve(IOU_KEYS['iou_050'] if run.validation else LOSS_KEY)  # its error says which keys there are
    known = run.keys()

    def curve(key: str) -> Curve:
        steps, values = run.curve(key) if key in known else (np.zeros(0), np.zeros(0))
        return Curve(np.round(steps * scale).astype(int), values)

    iou = {field: curve(key) for field, key in IOU_KEYS.items()}
    loss = curve(LOSS_KEY)
    return Side(run.name, iou, loss, *_judged(iou['iou_050'], loss))


def _verdict(run: Side, difference: float) -> Verdict:
    """Args: difference, of the IoUs; NaN where nothing is common."""
    if run.collapse is not None:
        return Verdict.COLLAPSED
    if math.isnan(difference):
        return Verdict.UNDECIDED
    if run.never_learnt:
        return Verdict.NOT_LEARNING
    if abs(difference) <= TOLERANCE:
        return Verdict.LEVEL
    return Verdict.AHEAD if difference > 0 else Verdict.BEHIND


def _judged(iou: Curve, loss: Curve) -> tuple[Collapse | None, bool]:
    """Where the curves end in a collapse, and whether the IoU never rose."""
    detector = HealthDetector(NOTES_STEPS)
    opened: dict[Rule, Collapse] = {}
    for name, curve in (('loss', loss), ('iou', iou)):
        before = 0
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            opened |= {alarm.rule: Collapse(before, step) for alarm in detector.update(step, **{name: value})}
            before = step
    wrong = detector.open
    if Rule.LOSS_JUMP in wrong and iou.steps.size and iou.steps[-1] >= opened[Rule.LOSS_JUMP].by:
        wrong.discard(Rule.LOSS_JUMP)  # a validation has looked at the model since
    collapsed = (rule for rule in (Rule.NOT_FINITE, Rule.IOU_FELL, Rule.LOSS_JUMP) if rule in wrong)
    return next((opened[rule] for rule in collapsed), None), Rule.NEVER_LEARNING in wrong
