"""Compares a run with a logged run of the notes.

Steps are completed optimizer steps of 20 samples, as in the notes, so runs with other batch sizes are compared by
samples seen. (The notes' logs count from 0: their step 1,406 means 1,407 completed steps.)

The verdict is the first of these that applies:

1. *collapsed*: by the health detector that watches live runs too (:mod:`..engine.health.detector`), at the end of the
   curves the training loss is not finite, or the IoU has fallen to almost zero, or the loss has jumped and stayed
   high since the last validation. (The notes' ``cvt_io_v2_3`` and ``cvt_io_v2_6`` collapsed.)
2. *undecided*: no validation lies within the steps of the notes' log.
3. *not learning*: by the same detector, the IoU is still at zero late in the run.
4. *level*, *ahead* or *behind*: by the mean difference over the last :data:`WINDOW` common validations, with a
   tolerance of :data:`TOLERANCE`. (A single validation of the notes deviates from the median of its neighbours with a
   standard deviation of up to 0.04.)

IoU means IoU@0.50 with the visibility mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..engine.hooks.health import HealthDetector, Rule
from ..errors import DataError
from . import notes
from .logs import Run

WINDOW = 5
TOLERANCE = 0.02

NOTES_BATCH = 20
NOTES_STEPS = 100_000
#: Number of steps averaged in a training loss of the notes.
NOTES_LOSS_STEPS = 500
LOGGED_RUNS = tuple(notes.validation_curves())

IOU_KEYS = {'iou_050': 'vehicle/IoU@0.50', 'iou_040': 'vehicle/IoU@0.40'}
LOSS_KEY = 'loss'


class Verdict(str, Enum):
    """Result of a comparison; see the module's docstring."""

    AHEAD = 'ahead'
    BEHIND = 'behind'
    LEVEL = 'level'
    COLLAPSED = 'collapsed'
    NOT_LEARNING = 'not learning'
    UNDECIDED = 'undecided'

    __str__ = str.__str__  # the value, as in Python 3.11's StrEnum


@dataclass(frozen=True)
class Curve:
    """Values over steps; both (n,), steps ascending."""

    steps: np.ndarray
    values: np.ndarray

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Interpolates linearly; NaN outside the range of steps."""
        if not self.steps.size:
            return np.full(len(steps), np.nan)
        return np.interp(steps, self.steps, self.values, left=np.nan, right=np.nan)

    def means(self, steps: np.ndarray, width: int) -> Curve:
        """Means over the last ``width`` steps before each of ``steps``, where there are values."""
        means = {}
        for step in steps:
            window = (self.steps > step - width) & (self.steps <= step)
            if window.any():
                means[step] = self.values[window].mean()
        return Curve(np.array([*means], int), np.array([*means.values()], float))


@dataclass(frozen=True)
class Collapse:
    """The last logged step before a collapse (0 if there is none), and the first one after it."""

    after: int
    by: int


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        iou: curves of ``iou_050`` and ``iou_040``, with the visibility mask, in [0, 1].
        loss: training loss.
        collapse: the collapse in which the curves end, if any.
        never_learnt: whether the IoU is still at zero late in the run.
    """

    name: str
    iou: dict[str, Curve]
    loss: Curve
    collapse: Collapse | None
    never_learnt: bool


@dataclass(frozen=True)
class Comparison:
    """A run compared with a run of the notes.

    Attributes:
        run, notes: the two runs.
        samples_per_step: samples per step of the run.
        samples_assumed: whether ``samples_per_step`` is unknown and assumed to be the recipe's.
        verdict: see the module's docstring.
        window: first and last of the common validations that are compared; ``None`` if there are none.
        run_iou, notes_iou: mean IoU@0.50 over these validations.
        notes_collapse: the collapse of the notes' run, if it happened before the last common validation.
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
        """Steps of the notes, and mean losses of the run and the notes over the preceding 500 steps; each (n,)."""
        theirs = self.notes.loss
        ours = self.run.loss.means(theirs.steps, NOTES_LOSS_STEPS)
        return ours.steps, ours.values, theirs.values[np.isin(theirs.steps, ours.steps)]


def compare(run: Run, name: str, samples_per_step: int | None = None) -> Comparison:
    """Compares a run with one of :data:`LOGGED_RUNS`.

    Args:
        run: the log.
        name: name of the notes' run.
        samples_per_step: samples per step of the run; ``None`` takes ``train_cfg.base_batch_size`` of its dumped
            config, or 20.
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
    iou = {field: Curve(points.step + 1, points[field]) for field in IOU_KEYS}
    loss = Curve(losses.step + 1, losses.mean_loss)
    return Side(name, iou, loss, *_judged(iou['iou_050'], loss))


def _side(run: Run, scale: float) -> Side:
    """Args: scale, the number of notes' steps per step of the run."""
    run.curve(IOU_KEYS['iou_050'] if run.validation else LOSS_KEY)  # raises an error that lists the keys
    known = run.keys()

    def curve(key: str) -> Curve:
        steps, values = run.curve(key) if key in known else (np.zeros(0), np.zeros(0))
        return Curve(np.round(steps * scale).astype(int), values)

    iou = {field: curve(key) for field, key in IOU_KEYS.items()}
    loss = curve(LOSS_KEY)
    return Side(run.name, iou, loss, *_judged(iou['iou_050'], loss))


def _verdict(run: Side, difference: float) -> Verdict:
    """Args: difference of the IoUs; NaN without common validations."""
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
    """The collapse in which the curves end, if any, and whether the IoU never rose."""
    detector = HealthDetector(NOTES_STEPS)
    opened: dict[Rule, Collapse] = {}
    for name, curve in (('loss', loss), ('iou', iou)):
        before = 0
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            opened |= {alarm.rule: Collapse(before, step) for alarm in detector.update(step, **{name: value})}
            before = step
    wrong = detector.open
    if Rule.LOSS_JUMP in wrong and iou.steps.size and iou.steps[-1] >= opened[Rule.LOSS_JUMP].by:
        wrong.discard(Rule.LOSS_JUMP)  # there was a later validation
    collapsed = (rule for rule in (Rule.NOT_FINITE, Rule.IOU_FELL, Rule.LOSS_JUMP) if rule in wrong)
    return next((opened[rule] for rule in collapsed), None), Rule.NEVER_LEARNING in wrong
