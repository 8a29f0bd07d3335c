"""The contract of a probe: named numbers about a point, taken at the recording points of a run."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from experiments.seeds import generator
from experiments.tasks.task import Batch, Params, Task
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Base of probes. Their time is never training time.

    A probe with `follows = True` is also shown every step, and its state goes into the checkpoints.
    """

    version: ClassVar[int] = 1
    follows: ClassVar[bool] = False

    every: int = setting(1, minimum=1, doc="measure at every k-th recording point, and at the last")

    def due(self, point: int, last: bool) -> bool:
        """Whether to measure at this recording point; the start is point 0."""
        return last or point % self.every == 0

    def init(self, params: Params) -> dict[str, Tensor]:
        """State before the first step, for a probe that follows; `params` have a leading lane axis."""
        return {}

    def observe(self, state: dict[str, Tensor], params: Params, grads: Params, step: int) -> dict[str, Tensor]:
        """The state after seeing the point w_{t-1} and the gradient that step t takes there."""
        return state

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        """Numbers about the point, each (lanes,)."""
        raise NotImplementedError


def random_examples(task: Task, count: int | None, seed: int) -> Batch | None:
    """A batch of so many different examples, drawn from the seed alone; None, for all the data, if that is meant."""
    if count is None:
        return None
    source = generator(seed, "probe")
    if task.size is None:
        draws = torch.randint(1 << 62, (count,), generator=source)
    elif count < task.size:
        draws = torch.randperm(task.size, generator=source)[:count]
    else:
        return None
    return task.batch(draws.to(task.last_prepared[0]))


def lane(params: Params, index: int) -> Params:
    """The parameters of one lane."""
    return {name: p[index] for name, p in params.items()}
