"""The mean over the steps of the norm of the gradient."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from experiments.measure.probe import Probe
from experiments.tasks.task import Params, Task


@dataclass(frozen=True, kw_only=True)
class MeanGradientNorm(Probe):
    """Means of the l1 and l2 norms of the gradients that the steps so far took, at w_0 to w_{t-1}; 0 before the first.

    They are gradients of the objective only where batch_size=full; otherwise they are those of the batches, noise
    included.
    """

    follows: ClassVar[bool] = True

    def init(self, params: Params) -> dict[str, Tensor]:
        lanes = len(next(iter(params.values())))
        empty = torch.zeros(lanes, dtype=torch.float64, device=next(iter(params.values())).device)
        return {"l1": empty, "l2": empty}

    def observe(self, state: dict[str, Tensor], params: Params, grads: Params, step: int) -> dict[str, Tensor]:
        flat = torch.cat([g.reshape(len(g), -1) for g in grads.values()], dim=1)
        norms = {"l1": flat.abs().sum(dim=1), "l2": flat.norm(dim=1)}
        return {name: state[name] + (norm.double() - state[name]) / step for name, norm in norms.items()}

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        return {"mean_gradient_norm_l1": state["l1"], "mean_gradient_norm": state["l2"]}
