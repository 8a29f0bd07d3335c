"""Sums over examples' gradients from the gradients themselves, for tasks that have a formula for those."""

from collections.abc import Iterator

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
    if task.example_gradients(params, task.part(batch, 0, 1)) is None:
        return None
    count, few = task.count(batch), next(iter(params.values()))
    dimension = sum(p.numel() for p in params.values())
    each = max(1, memory // (2 * dimension * few.element_size()))

    def gradients() -> Iterator[Tensor]:
        for start in range(0, count, each):
            found = task.example_gradients(params, task.part(batch, start, min(start + each, count)))
            assert found is not None
            yield found.double()

    norms, (total, squares) = [], torch.zeros(2, dimension, dtype=torch.float64, device=few.device)
    for some in gradients():
        total += some.sum(dim=0)
        norms.append(some.square().sum(dim=1))
        if wants.squares:
            squares += some.square().sum(dim=0)
    mean = total / count
    sums = ExampleSums(task.losses(params, batch), _like(mean.to(few.dtype), params))
    sums.squared_norms = torch.cat(norms)
    if wants.squares:
        sums.squares = _like(squares, params)
    if wants.products:
        direction = mean if along is None else torch.cat([a.reshape(-1) for a in along.values()]).double()
        sums.products = torch.cat([some @ direction for some in gradients()])
    return sums


def _like(flat: Tensor, params: Params) -> Params:
    """A flat tensor by parameter."""
    parts = flat.split([p.numel() for p in params.values()])
    return {name: part.view(p.shape) for (name, p), part in zip(params.items(), parts, strict=True)}
