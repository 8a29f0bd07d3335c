"""Gradient noise by coordinate along a run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.measure.gradients import gradient_noise
from experiments.measure.probe import Probe, lane, random_examples
from experiments.tasks.task import Params, Task
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class GradientNoise(Probe):
    """l1, l2 and max norm of sigma, the standard deviations of the coordinates of one example's gradient."""

    examples: int | None = setting(None, minimum=2, doc="of a random subset of so many examples (default: all)")
    seed: int = setting(0, minimum=0, doc="of that subset")

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        batch = random_examples(task, self.examples, self.seed)
        noise = [gradient_noise(task, lane(params, i), batch) for i in range(lanes)]
        flat = torch.stack([torch.cat([sigma.reshape(-1) for sigma in each.values()]) for each in noise])
        return {"noise_l1": flat.sum(dim=1), "noise_l2": flat.norm(dim=1), "noise_max": flat.amax(dim=1)}
