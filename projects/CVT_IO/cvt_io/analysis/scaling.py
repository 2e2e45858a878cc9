"""Cost of a model as a function of latents, passes, cameras, image size and batch size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from ..runtime.batches import CAMERAS, image_size, random_batch
from ..runtime.config import build_model
from .complexity import count_complexity
from .latency import Timing, time_in_turn
from .markdown import markdown_table, show
from .steps import inference_step

LATENT_SIZES = (3, 5, 10, 20, 25)
DEPTHS = (1, 6, 12)
CAMERA_COUNTS = (1, 2, 4, 6, 8)
IMAGE_SCALES = (1, 1.5, 2)
BATCH_SIZES = (1, 2, 4, 8)
HEIGHT_COUNTS = (1, 2, 4, 8)
GRID_SIDES = (100, 200, 400)

_NECK_PARTS = ('lift', 'encode', 'process', 'decode')
FIGURES = ('time', 'memory', 'MACs', 'backbone', 'neck', *_NECK_PARTS, 'BEV decoder, head')
_UNITS = {'time': ('{:.0f} ms', 1), 'memory': ('{:.0f} MiB', 1)}
_GIGA = ('{:.3f} G', 1e9)
_LATENT_NECK = 'CVTIOLatentNeck'
_NOT_NECK = ('backbone', 'bev_decoder', 'head')


@dataclass(frozen=True)
class Point:
    """One setting of a model.

    Attributes:
        label: setting as shown in tables: ``5²``, ``448×960``.
        quantity: the varied quantity: latents, passes, cameras, pixels of an image, frames of a batch.
        image_size: (height, width).
        cameras: images per frame.
        batch_size: frames.
        options: overrides of the config.
    """

    label: str
    quantity: float
    image_size: tuple[int, int]
    cameras: int = CAMERAS
    batch_size: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Cost of a point.

    Attributes:
        label: see :class:`Point`.
        quantity: see :class:`Point`.
        median_ms: time of a forward pass.
        peak_mib: its peak memory above the idle size; ``None`` where it cannot be measured.
        macs: multiply-accumulates of the batch by part of the model, see :class:`Complexity`.
    """

    label: str
    quantity: float
    median_ms: float
    peak_mib: float | None
    macs: dict[str, int]

    def figures(self) -> dict[str, float | None]:
        """Time, memory, MACs in total and by part, with the names of :data:`FIGURES`; ``None`` for missing parts."""
        neck = {part: macs for part, macs in self.macs.items() if part not in _NOT_NECK}
        rest = sum(self.macs[part] for part in ('bev_decoder', 'head'))
        parts = (self.macs['backbone'], sum(neck.values()), *map(neck.get, _NECK_PARTS), rest)
        values = (self.median_ms, self.peak_mib, sum(self.macs.values()), *parts)
        return dict(zip(FIGURES, values, strict=True))


@dataclass(frozen=True)
class Growth:
    """Costs of one model along one axis.

    Attributes:
        axis: a key of :data:`AXES`.
        model: name of the config.
        costs: costs in order of increasing quantity.
    """

    axis: str
    model: str
    costs: Sequence[Cost]

    def exponents(self) -> dict[str, float | None]:
        """Log-log slopes of the :data:`FIGURES` over the quantity: 0 is constant, 1 proportional, 2 quadratic."""
        rows = [cost.figures() for cost in self.costs]
        quantities = [cost.quantity for cost in self.costs]
        return {name: _slope(quantities, [row[name] for row in rows]) for name in FIGURES}


def _slope(x: Sequence[float], y: Sequence[float | None]) -> float | None:
    """Least-squares fit in log-log; ``None`` if a value is unknown or zero."""
    if not all(y):
        return None
    return float(np.polyfit(np.log(x), np.log(np.array(y, float)), 1)[0])


def _latents(cfg: Config) -> list[Point]:
    size = image_size(cfg)
    key = 'model.neck.latent_size' if cfg.model.neck.type == _LATENT_NECK else 'model.neck.latents.size'
    return [Point(f'{n}²', n * n, size, options={key: n}) for n in LATENT_SIZES]


def _passes(cfg: Config) -> list[Point]:
    key = 'model.neck.depth' if cfg.model.neck.type == _LATENT_NECK else 'model.neck.latents.depth'
    return [Point(f'{n}', n, image_size(cfg), options={key: n}) for n in DEPTHS]


def _heights(cfg: Config) -> list[Point]:
    key = 'model.neck.lift.heights'
    return [Point(f'{n}', n, image_size(cfg), options={key: [0.5 * i for i in range(n)]}) for n in HEIGHT_COUNTS]


def _cells(cfg: Config) -> list[Point]:
    key = 'model.neck.bev_grid.size'
    return [Point(f'{n}²', n * n, image_size(cfg), options={key: (n, n)}) for n in GRID_SIDES]


def _cameras(cfg: Config) -> list[Point]:
    return [Point(f'{n}', n, image_size(cfg), cameras=n) for n in CAMERA_COUNTS]


def _images(cfg: Config) -> list[Point]:
    height, width = image_size(cfg)
    sizes = [(round(scale * height), round(scale * width)) for scale in IMAGE_SCALES]
    return [Point(f'{h}×{w}', h * w, (h, w)) for h, w in sizes]


def _batch(cfg: Config) -> list[Point]:
    return [Point(f'{n}', n, image_size(cfg), batch_size=n) for n in BATCH_SIZES]


@dataclass(frozen=True)
class Axis:
    """A quantity that is varied while everything else stays as in the config.

    Attributes:
        title: title of the axis.
        unit: the quantity.
        points: config → points of the axis.
        compared: whether to measure other models too.
        needs: part of the neck that the axis requires, ``latents`` or ``lift``; ``None`` for all models.
    """

    title: str
    unit: str
    points: Callable[[Config], list[Point]]
    compared: bool = True
    needs: str | None = None


AXES = {
    'latents': Axis('latents', 'N² latents', _latents, needs='latents'),
    'passes': Axis('passes', 'L passes of self-attention', _passes, needs='latents'),
    'heights': Axis('heights', 'heights of the lift', _heights, needs='lift'),
    'cells': Axis('BEV cells', 'BEV cells', _cells, needs='lift'),
    'cameras': Axis('cameras', 'cameras', _cameras),
    'image': Axis('image', 'pixels of an image', _images),
    'batch': Axis('batch', 'frames of a batch', _batch, compared=False),
}


def measure_growth(
    axis: str, cfgs: Mapping[str, Config], samples: int, device: torch.device, fuse: bool = False
) -> list[Growth]:
    """Measures all points of an axis, interleaving the models.

    Args:
        axis: a key of :data:`AXES`.
        cfgs: configs by name, the main one first.
        samples: timed calls of each point.
        device: device to measure on.
        fuse: whether to fold BatchNorms into convolutions.

    Returns:
        One element for each model to which the axis applies.
    """
    of = AXES[axis]
    chosen = [*cfgs.items()] if of.compared else [*cfgs.items()][:1]
    points = {name: of.points(cfg) for name, cfg in chosen if of.needs is None or _has(cfg, of.needs)}
    steps, macs = {}, {}
    for name, members in points.items():
        for point in members:
            key = f'{name} {point.label}'
            macs[key], steps[key] = _prepare(cfgs[name], point, device, fuse)
    timings = time_in_turn(steps, samples, device, warm_up=1)
    return [
        Growth(axis, name, [_cost(point, timings[key := f'{name} {point.label}'], macs[key]) for point in members])
        for name, members in points.items()
    ]


def _has(cfg: Config, part: str) -> bool:
    neck = cfg.model.neck
    return neck.get(part) is not None or (part == 'latents' and neck.type == _LATENT_NECK)


def _cost(point: Point, timing: Timing, macs: dict[str, int]) -> Cost:
    peak = None if timing.peak_bytes is None else timing.peak_bytes / 2**20
    return Cost(point.label, point.quantity, 1e3 * float(np.median(timing.seconds)), peak, macs)


def _prepare(
    cfg: Config, point: Point, device: torch.device, fuse: bool
) -> tuple[dict[str, int], Callable[[], object]]:
    """Multiply-accumulates and forward pass of a point, on a separate model."""
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(dict(point.options))
    model = build_model(cfg)
    parts = count_complexity(model, point.image_size, point.cameras).parts
    batch = random_batch(cfg, point.batch_size, point.cameras, size=point.image_size)
    step = inference_step(model.to(device), [batch], device, fuse=fuse)
    return {part: point.batch_size * macs for part, macs in parts.items()}, step


def as_data(growths: Sequence[Growth], machine: str, mode: str) -> dict[str, Any]:
    """Unrounded figures for JSON."""
    return dict(machine=machine, mode=mode, growth=[asdict(g) | dict(exponents=g.exponents()) for g in growths])


def markdown(growths: Sequence[Growth], machine: str, mode: str) -> str:
    """Tables of slopes and of the points they are fitted to, with an explanation."""
    slopes = [
        [AXES[growth.axis].unit, growth.model, *(show(value, '{:z.2f}') for value in growth.exponents().values())]
        for growth in growths
    ]
    points = [
        [AXES[growth.axis].title, cost.label, growth.model, *_cost_cells(cost)]
        for growth in growths
        for cost in growth.costs
    ]
    lines = [
        *markdown_table(['exponent over', 'model', *FIGURES], slopes, words=2),
        '',
        *markdown_table(['what grows', 'to', 'model', *FIGURES], points, words=3),
        '',
        f'Time and peak memory (above the idle size): {mode}, medians; {machine}. MACs: multiply-accumulates of the '
        'whole model, then by part. Exponents: slopes of log-log fits; 0 is constant, 1 proportional, 2 quadratic.',
    ]
    return '\n'.join(lines) + '\n'


def _cost_cells(cost: Cost) -> list[str]:
    cells = []
    for name, value in cost.figures().items():
        form, unit = _UNITS.get(name, _GIGA)
        cells.append(show(None if value is None else value / unit, form))
    return cells
