"""The largest gradient noise by coordinate along a run."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from experiments.measure.gradients import gradient_noise
from experiments.measure.probe import Probe, lane
from experiments.tasks.task import Params, Task


@dataclass(frozen=True, kw_only=True)
class NoiseSupremum(Probe):
    """l1 and l2 norm of the largest sigma_j by coordinate, sigma as in `gradient_noise`, over the points so far.

    The supremum that arXiv 2406.15244 asks for, from below: it is taken at recording points only, the start included.
    """

    follows: ClassVar[bool] = True

    def init(self, params: Params) -> dict[str, Tensor]:
        return {"largest": torch.cat([torch.zeros_like(p).reshape(len(p), -1) for p in params.values()], dim=1)}

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        noise = [gradient_noise(task, lane(params, i)) for i in range(lanes)]
        flat = torch.stack([torch.cat([sigma.reshape(-1) for sigma in each.values()]) for each in noise])
        state["largest"] = torch.maximum(state["largest"], flat)  # goes into the checkpoints with the rest of the run
        return {"noise_supremum_l1": state["largest"].sum(dim=1), "noise_supremum_l2": state["largest"].norm(dim=1)}
