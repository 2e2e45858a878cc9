"""Where in a model it goes wrong: the first module whose numbers are not finite, or else the largest gradients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import all_gather_object
from mmengine.model import BaseModel
from torch import Tensor, nn


def locate(model: BaseModel, batch: dict) -> str:
    """Looks for the origin of a trouble, with one more forward and backward pass in training mode.

    Nothing is left behind: neither gradients nor running statistics nor drawn random numbers. Of several processes all
    have to call it, and what any of them finds counts.

    Args:
        model: mmengine's, not wrapped.
        batch: of the data loader.

    Returns:
        In words: what of which module; the first of these that applies. A parameter that is not finite; an input; an
        output of a module; a gradient, of those the last in the order of the modules, as gradients travel backwards; a
        running statistic, which any forward pass spoils. When all is finite, the module with the largest gradients.
    """
    with _undisturbed(model), torch.enable_grad():
        data = model.data_preprocessor(batch, True)
        found = _agreed(_broken(model.named_parameters()) or _broken(data['inputs'].items(), 'the input '))
        if found:
            return found
        with _outputs_watched(model) as names:
            loss, _ = model.parse_losses(model(**data, mode='loss'))
        found = _agreed(f'{names[0]} is the first module whose output is not finite' if names else None)
        if found:
            return found
        if not loss.isfinite():
            return 'the loss is not finite, though all outputs of modules are'
        return _worst_gradient(model, loss)


def parameter_norm(model: nn.Module) -> Tensor:
    """Norm of all parameters, a scalar; not finite if one of them is not, or a running statistic."""
    parameters, statistics = (_norm(named) for named in (model.named_parameters(), model.named_buffers()))
    return parameters + 0 * statistics


def _norm(named: Iterable[tuple[str, Tensor]]) -> Tensor:
    values = [value.detach() for _, value in _with_decimals(named)]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(values))) if values else torch.zeros(())


def _with_decimals(named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in named if value.is_floating_point() and value.numel())


def _broken(named: Iterable[tuple[str, Tensor]], prefix: str = '') -> str | None:
    broken = (name for name, value in _with_decimals(named) if not value.isfinite().all())
    return next((f'{prefix}{name} is not finite' for name in broken), None)


def _agreed(found: str | None) -> str | None:
    """What the first process found that found anything."""
    return next(filter(None, all_gather_object(found)), None)


def _worst_gradient(model: nn.Module, loss: Tensor) -> str:
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    grads = torch.autograd.grad(loss, [value for _, value in named], allow_unused=True)
    squares: dict[str, float] = {}
    broken = None
    for (name, _), grad in zip(named, grads, strict=True):
        if grad is not None:
            module = name.rpartition('.')[0]
            squares[module] = squares.get(module, 0.0) + float(grad.double().square().sum())
            broken = broken if grad.isfinite().all() else name
    if broken is not None:
        return f'the gradient of {broken} is not finite'
    statistics = _broken(model.named_buffers())
    if statistics is not None:
        return statistics
    worst, total = max(squares, key=squares.__getitem__), sum(squares.values())
    share = squares[worst] / total if total else 0.0
    return f'largest gradients in {worst}: {share:.0%} of the squared norm'


@contextmanager
def _outputs_watched(model: nn.Module) -> Iterator[list[str]]:
    """While it lasts, names of modules whose output is not finite come into the list, in the order of computing."""
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
    """Afterwards buffers, modes and random numbers are as they were."""
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
