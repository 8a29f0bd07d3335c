"""The trace of the Hessian along a run."""

from dataclasses import dataclass

from torch import Tensor

from experiments.measure.hessian import hessian_trace
from experiments.measure.probe import Probe, lane, random_examples
from experiments.tasks.task import Params, Task
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class HessianTrace(Probe):
    """The trace of the Hessian of the objective by Hutchinson's estimator, and its standard error, lane by lane."""

    samples: int = setting(100, minimum=2, doc="Hessian products; exact where the dimension is at most that")
    examples: int | None = setting(None, minimum=1, doc="of a random subset of so many examples (default: all)")
    seed: int = setting(0, minimum=0, doc="of the random vectors and of that subset")

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        batch = random_examples(task, self.examples, self.seed)
        found = [hessian_trace(task, lane(params, i), batch, self.samples, self.seed) for i in range(lanes)]
        like = next(iter(params.values()))
        return {
            "hessian_trace": like.new_tensor([e.value for e in found]),
            "hessian_trace_error": like.new_tensor([e.standard_error for e in found]),
        }
