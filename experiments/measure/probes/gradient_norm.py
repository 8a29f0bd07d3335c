"""Norms of the gradient of the whole objective."""

from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.gradients import STRATEGIES, choose
from experiments.measure.probe import Probe
from experiments.tasks.task import Params, Task


@dataclass(frozen=True, kw_only=True)
class GradientNorm(Probe):
    """l1, l2 and max norm of the full gradient, over all parameters."""

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        device = next(iter(params.values())).device
        few = task.batch(torch.arange(min(2, task.size or 2), device=device))
        _, grads = STRATEGIES[choose(task, device.type, lanes, few)](task, params, task.batch(None), 1)
        flat = torch.cat([g.reshape(lanes, -1) for g in grads.values()], dim=1)
        return {
            "gradient_norm_l1": flat.abs().sum(dim=1),
            "gradient_norm": flat.norm(dim=1),
            "gradient_norm_max": flat.abs().amax(dim=1),
        }
