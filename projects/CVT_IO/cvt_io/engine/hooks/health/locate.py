"""Locates a failure in a model: the first module whose numbers are not finite, or else the largest gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from mmengine.dist import all_gather_object
from mmengine.model import BaseModel
from torch import Tensor, nn


def locate(
    model: BaseModel, batches: Sequence[dict], context: Callable[[], AbstractContextManager] = nullcontext
) -> str:
    """Searches for the origin of a failure, with one more forward and backward pass per batch in training mode.

    Gradients, running statistics and random number generators are left unchanged. All processes have to call it
    together; a finding of any of them counts.

    Args:
        model: not wrapped.
        batches: of the data loader, all that the step has accumulated.
        context: of the forward passes, such as autocasting.

    Returns:
        In words, the first of these that applies: a parameter that is not finite; an input; an output of a module; a
        gradient, of those the last in the order of the modules, as gradients travel backwards; a running statistic,
        which any forward pass spoils. If all are finite, the module with the largest gradients.
    """
    with _undisturbed(model), torch.enable_grad():
        found = _agreed(_broken(model.named_parameters()))
        total: dict[str, Tensor] = {}
        for batch in batches if found is None else ():
            data = model.data_preprocessor(batch, True)
            with _outputs_watched(model) as names, context():
                loss, _ = model.parse_losses(model(**data, mode='loss'))
            found = _agreed(_broken(data['inputs'].items(), 'the input ') or _of_forward(names, loss))
            if found is not None:
                break
            for name, grad in _gradients(model, loss).items():
                total[name] = total[name] + grad if name in total else grad
        return found or _of_gradients(total) or _broken(model.named_buffers()) or _largest(total)


def _of_forward(names: Sequence[str], loss: Tensor) -> str | None:
    if names:
        return f'{names[0]} is the first module whose output is not finite'
    return None if loss.isfinite() else 'the loss is not finite, though all outputs of modules are'


def _broken(named: Iterable[tuple[str, Tensor]], prefix: str = '') -> str | None:
    broken = (name for name, value in named if value.is_floating_point() and not value.isfinite().all())
    return next((f'{prefix}{name} is not finite' for name in broken), None)


def _agreed(found: str | None) -> str | None:
    """The finding of the first process that has one."""
    return next(filter(None, all_gather_object(found)), None)


def _gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    grads = torch.autograd.grad(loss, [value for _, value in named], allow_unused=True)
    return {name: grad for (name, _), grad in zip(named, grads, strict=True) if grad is not None}


def _of_gradients(grads: dict[str, Tensor]) -> str | None:
    broken = [name for name, grad in grads.items() if not grad.isfinite().all()]
    return f'the gradient of {broken[-1]} is not finite' if broken else None


def _largest(grads: dict[str, Tensor]) -> str:
    squares: dict[str, float] = {}
    for name, grad in grads.items():
        module = name.rpartition('.')[0]
        squares[module] = squares.get(module, 0.0) + float(grad.double().square().sum())
    worst, total = max(squares, key=squares.__getitem__), sum(squares.values())
    share = squares[worst] / total if total else 0.0
    return f'largest gradients in {worst}: {share:.0%} of the squared norm'


@contextmanager
def _outputs_watched(model: nn.Module) -> Iterator[list[str]]:
    """Collects the names of modules whose output is not finite, in the order of computation."""
    found: list[str] = []

    def look(name: str, output: object) -> None:
        values = output if isinstance(output, (list, tuple)) else [output]
        if any(isinstance(value, Tensor) and not value.isfinite().all() for value in values):
            found.append(name)

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: look(name, output))
        for name, module in model.named_modules()
        if name
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Restores buffers, modes and random numbers afterwards."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    devices = {value.device for value in model.parameters() if value.device.type == 'cuda'}
    try:
        with torch.random.fork_rng(devices):
            model.train()
            yield
    finally:
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)
        for module, mode in modes:
            module.training = mode
