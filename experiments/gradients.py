"""How the gradients of many lanes are computed: one function for each strategy a task may declare.

All of them return the mean loss of each lane, (L,), and the gradients, each (L, ...); they are tested equal.
Lanes come in seed-major order; `batch` has a leading axis of length `groups` when groups > 1.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from experiments.tasks.task import Batch, Params, Strategy, Task

LaneGradient = Callable[[Task, Params, Batch, int], tuple[Tensor, Params]]


def analytic(task: Task, params: Params, batch: Batch, groups: int) -> tuple[Tensor, Params]:
    """The task's own formula."""
    losses, grads = task.lane_gradient(params, batch)
    return losses.mean(dim=1), grads


def batched(task: Task, params: Params, batch: Batch, groups: int) -> tuple[Tensor, Params]:
    """One backward pass through the sum over lanes, whose gradients do not mix."""
    leaves = {k: v.detach().requires_grad_() for k, v in params.items()}
    with torch.enable_grad():
        over_lanes = torch.vmap(task.losses, in_dims=(0, None))
        if groups == 1:
            means = over_lanes(leaves, batch).mean(dim=1)
        else:
            grouped = {k: v.reshape(groups, -1, *v.shape[1:]) for k, v in leaves.items()}
            means = torch.vmap(over_lanes)(grouped, batch).mean(dim=2).reshape(-1)
        grads = torch.autograd.grad(means.sum(), list(leaves.values()))
    return means.detach(), dict(zip(leaves, grads, strict=True))


def sequential(task: Task, params: Params, batch: Batch, groups: int) -> tuple[Tensor, Params]:
    """Lane after lane, each an ordinary backward pass."""
    lanes = next(iter(params.values())).shape[0]
    means, grads = [], []
    for lane in range(lanes):
        part = batch if groups == 1 else {k: v[lane * groups // lanes] for k, v in batch.items()}
        leaves = {k: v[lane].detach().requires_grad_() for k, v in params.items()}
        with torch.enable_grad():
            mean = task.losses(leaves, part).mean()
            grads.append(torch.autograd.grad(mean, list(leaves.values())))
        means.append(mean.detach())
    stacked = {k: torch.stack([g[i] for g in grads]) for i, k in enumerate(params)}
    return torch.stack(means), stacked


STRATEGIES: dict[Strategy, LaneGradient] = {"analytic": analytic, "batched": batched, "sequential": sequential}
