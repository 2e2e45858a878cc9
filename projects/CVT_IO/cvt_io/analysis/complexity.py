"""Counts parameters and multiply-accumulates, in total and by the notes' convention.

Both are counted on the *reference* forward pass, in which every attention block projects queries, keys and values for
each camera, even if they are the same. The counts therefore describe the architecture, not its optimised
implementation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..models import CVTIOCrossViewNeck, CVTIOSegmentor
from ..models.layers import CrossAttention, plain_forward

_PARTS = ('backbone', 'neck', 'bev_decoder', 'head')


@dataclass(frozen=True)
class Complexity:
    """Counts of one forward pass.

    Attributes:
        params: all parameters.
        macs: multiply-accumulates of all convolutions and matrix products, attention included.
        params_notes: parameters by the notes' convention, see :class:`_NotesCounter`.
        macs_notes: multiply-accumulates by the notes' convention.
        parts: ``macs`` by part: ``backbone``; the neck's submodules with nonzero cost, such as ``encode``, or ``neck``
            for the baseline; ``bev_decoder``; ``head``.
    """

    params: int
    macs: int
    params_notes: int
    macs_notes: int
    parts: dict[str, int]


def count_complexity(model: CVTIOSegmentor, image_size: tuple[int, int], cameras: int = 6) -> Complexity:
    """Counts the cost of one sample from tensor shapes alone.

    Args:
        model: set to evaluation mode, with gradients disabled.
        image_size: (height, width) of the model's input.
        cameras: number of images.
    """
    model.eval().requires_grad_(False)
    notes, flops = _NotesCounter(model), FlopCounterMode(display=False)
    shapes = FakeTensorMode(allow_non_fake_inputs=True)
    # The only attention kernel whose products PyTorch's counter sees on every device.
    with shapes, sdpa_kernel(SDPBackend.MATH), plain_forward(), _every_camera(model), notes.counting(), flops:
        calibration = dict(intrinsics=torch.empty(1, cameras, 3, 3), cam_from_ego=torch.empty(1, cameras, 4, 4))
        model(dict(imgs=torch.empty(1, cameras, 3, *image_size), **calibration), mode='tensor')
    by_module = flops.get_flop_counts()
    # PyTorch counts a multiply-accumulate as two operations.
    macs = {name: sum(operations.values()) // 2 for name, operations in by_module.items()}
    return Complexity(
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=macs['Global'],
        params_notes=notes.params,
        macs_notes=notes.macs,
        parts={name.split('.')[-1]: found for name in _part_names(model) if (found := _macs_of(macs, model, name))},
    )


def _part_names(model: CVTIOSegmentor) -> list[str]:
    names = []
    for part in _PARTS:
        split = part == 'neck' and not isinstance(model.neck, CVTIOCrossViewNeck)  # whose children are scales
        names += [f'neck.{name}' for name, _ in model.neck.named_children()] if split else [part]
    return names


def _macs_of(macs: dict[str, int], model: nn.Module, name: str) -> int:
    return macs.get(f'{type(model).__name__}.{name}', 0)


@contextmanager
def _every_camera(model: nn.Module) -> Iterator[None]:
    """Makes attention blocks compute queries, keys and values for every camera, even if they are the same."""

    def expand(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        query, key, value, *skip = args
        cameras = max(query.shape[1], key.shape[1])
        return (*(x.expand(-1, cameras, -1, -1, -1) for x in (query, key, value)), *skip)

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, CrossAttention):
                hooks.enter_context(module.register_forward_pre_hook(expand))
        yield


class _NotesCounter:
    """Counts by the convention of the notes, which used ``thop`` with its default rules.

    thop matches modules by exact type. The original backbone's convolutions were a padded subclass, so they are not
    counted, and neither are bare parameters (latents, BEV prior) and attention products. Normalisations cost 4
    operations per input element, bilinear upsampling 11 per output element. A module called several times has its
    parameters counted once and its operations for each call.
    """

    def __init__(self, model: CVTIOSegmentor) -> None:
        in_backbone = set(model.backbone.modules())
        self._counted = [
            module
            for module in model.modules()
            if type(module) in _NOTES_RULES and (module not in in_backbone or type(module) is nn.BatchNorm2d)
        ]
        self.params = sum(parameter.numel() for module in self._counted for parameter in module.parameters())
        self.macs = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Adds the operations of forward passes within the context to ``macs``."""
        with ExitStack() as hooks:
            for module in self._counted:
                hooks.enter_context(module.register_forward_hook(self._add))
            yield

    def _add(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self.macs += _NOTES_RULES[type(module)](module, args[0], output)


_NOTES_RULES: dict[type[nn.Module], Any] = {
    nn.Conv2d: lambda module, _, output: output.numel() * module.weight[0].numel(),
    nn.Linear: lambda module, _, output: output.numel() * module.in_features,
    nn.BatchNorm2d: lambda _, x, __: 4 * x.numel(),
    nn.LayerNorm: lambda _, x, __: 4 * x.numel(),
    nn.Upsample: lambda _, __, output: 11 * output.numel(),
}
