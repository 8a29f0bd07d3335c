"""How the gradients of many lanes are computed: one function for each strategy a task may declare.

All of them return the mean loss of each lane, (L,), and the gradients, each (L, ...); they are tested equal.
Lanes come in seed-major order; `batch` holds what `task.batch` gives for a group of seeds when groups > 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from experiments.tasks.task import Batch, Params, Strategy, Task

LaneGradient = Callable[[Task, Params, Batch, int], tuple[Tensor, Params]]


def choose(task: Task, device: str, lanes: int, sample: Batch) -> Strategy:
    """The strategy for this many lanes: what the task declares for the device, if it can be done.

    One lane without a formula of its own needs nothing but a backward pass. A strategy that maps over lanes is tried
    on `sample`, a small batch for one seed, since a model may hold operations that cannot be mapped; lane after lane
    always works.
    """
    declared = task.strategies[device]
    if declared in ("analytic", "sequential"):
        return declared
    if lanes == 1:
        return "sequential"
    start = {k: torch.stack([v, v]) for k, v in task.init(torch.Generator().manual_seed(0)).items()}
    wanted, _ = sequential(task, start, sample, 1)
    for strategy in dict.fromkeys((declared, "batched", "vmapped")):
        try:
            found, _ = STRATEGIES[strategy](task, start, sample, 1)
        except (RuntimeError, ValueError, NotImplementedError):  # whatever torch says of an operation it cannot map
            continue
        if torch.allclose(found, wanted, rtol=1e-3, atol=1e-5, equal_nan=True):
            return strategy
    return "sequential"


def analytic(task: Task, params: Params, batch: Batch, groups: int) -> tuple[Tensor, Params]:
    """The task's own formula."""
    losses, grads = task.lane_gradient(params, batch)
    return losses.mean(dim=1), grads


def batched(task: Task, params: Params, batch: Batch, groups: int) -> tuple[Tensor, Params]:
    """One backward pass through the sum over lanes, whose gradients do not mix."""
    leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
    with torch.enable_grad():
        over_lanes = torch.vmap(task.losses, in_dims=(0, None))
        means = torch.cat([over_lanes(part, own).mean(dim=1) for part, own in _by_seed(task, leaves, batch, groups)])
        grads = _derivatives(means.sum(), leaves)
    return means.detach(), dict(zip(leaves, grads, strict=True))


def vmapped(task: Task, params: Params, batch: Batch, groups: int) -> tuple[Tensor, Params]:
    """The gradient of one lane, mapped over lanes."""

    def mean(one: Params, own: Batch) -> Tensor:
        return task.losses(one, own).mean()

    over_lanes = torch.vmap(torch.func.grad_and_value(mean), in_dims=(0, None))
    parts = [over_lanes(part, own) for part, own in _by_seed(task, params, batch, groups)]
    return torch.cat([means for _, means in parts]), {k: torch.cat([grads[k] for grads, _ in parts]) for k in params}


def sequential(task: Task, params: Params, batch: Batch, groups: int) -> tuple[Tensor, Params]:
    """Lane after lane, each an ordinary backward pass."""
    means, grads = [], []
    for part, own in _by_seed(task, params, batch, groups):
        for lane in range(len(next(iter(part.values())))):
            leaves = {k: v[lane].detach().requires_grad_() for k, v in part.items()}
            with torch.enable_grad():
                mean = task.losses(leaves, own).mean()
            grads.append(_derivatives(mean, leaves))
            means.append(mean.detach())
    stacked = {k: torch.stack([g[i] for g in grads]) for i, k in enumerate(params)}
    return torch.stack(means), stacked


def _derivatives(value: Tensor, leaves: Params) -> tuple[Tensor, ...]:
    """Zero for parameters that the value does not depend on."""
    return torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)


def _by_seed(task: Task, params: Params, batch: Batch, groups: int) -> list[tuple[Params, Batch]]:
    """The lanes of each seed, with their batch."""
    if groups == 1:
        return [(params, batch)]
    parts = {k: v.chunk(groups) for k, v in params.items()}
    return [({k: v[group] for k, v in parts.items()}, task.of_seed(batch, group)) for group in range(groups)]


STRATEGIES: dict[Strategy, LaneGradient] = {
    "analytic": analytic,
    "batched": batched,
    "vmapped": vmapped,
    "sequential": sequential,
}
