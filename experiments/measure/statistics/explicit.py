"""Sums over examples' gradients from the gradients themselves, for tasks that have a formula for those."""

import torch
from torch import Tensor

from experiments.tasks.example_sums import ExampleSums, Wants
from experiments.tasks.task import Batch, Params, Task


def explicit_sums(
    task: Task, params: Params, batch: Batch, wants: Wants, along: Params | None, memory: int
) -> ExampleSums | None:
    """What is wanted of the examples' gradients, a few at a time; None if the task has no formula for them.

    memory: bytes, about, that they may take. Products are along `along` or, without it, the mean gradient.
    """
    count, size = task.count(batch), sum(p.numel() * p.element_size() for p in params.values())
    each = max(1, min(count, memory // max(1, 2 * size)))
    spans = [(start, min(start + each, count)) for start in range(0, count, each)]

    def gradients(span: tuple[int, int]) -> Tensor | None:
        return task.example_gradients(params, task.part(batch, *span))

    if task.example_gradients(params, task.part(batch, 0, 1)) is None:
        return None
    norms, total, squares = [], torch.zeros(size // _item(params), dtype=torch.float64, device=_device(params)), None
    for span in spans:
        found = gradients(span)
        assert found is not None
        double = found.double()
        total += double.sum(dim=0)
        norms.append(double.square().sum(dim=1))
        if wants.squares:
            squares = double.square().sum(dim=0) + (0.0 if squares is None else squares)
    mean = total / count
    sums = ExampleSums(task.losses(params, batch), _like(mean, params, keep=False))
    sums.squared_norms = torch.cat(norms)
    if squares is not None:
        sums.squares = _like(squares, params, keep=True)
    if wants.products:
        direction = mean if along is None else torch.cat([a.reshape(-1) for a in along.values()]).double()
        sums.products = torch.cat([_rows(gradients(span)) @ direction for span in spans])
    return sums


def _rows(found: Tensor | None) -> Tensor:
    assert found is not None
    return found.double()


def _item(params: Params) -> int:
    return next(iter(params.values())).element_size()


def _device(params: Params) -> torch.device:
    return next(iter(params.values())).device


def _like(flat: Tensor, params: Params, keep: bool) -> Params:
    """A flat tensor by parameter, in float64 (keep) or in the type of the parameters."""
    parts = flat.split([p.numel() for p in params.values()])
    pairs = zip(params.items(), parts, strict=True)
    return {name: part.view(p.shape).to(part.dtype if keep else p.dtype) for (name, p), part in pairs}
