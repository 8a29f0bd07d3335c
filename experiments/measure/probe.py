"""The contract of a probe: named numbers about a point, taken at the recording points of a run."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from experiments.tasks.task import Params, Task


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Base of probes. Their time is never training time.

    A probe with `follows = True` is also shown every step, and its state goes into the checkpoints.
    """

    version: ClassVar[int] = 1
    follows: ClassVar[bool] = False

    def init(self, params: Params) -> dict[str, Tensor]:
        """State before the first step, for a probe that follows; `params` have a leading lane axis."""
        return {}

    def observe(self, state: dict[str, Tensor], params: Params, grads: Params, step: int) -> dict[str, Tensor]:
        """The state after seeing the point w_{t-1} and the gradient that step t takes there."""
        return state

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        """Numbers about the point, each (lanes,)."""
        raise NotImplementedError
