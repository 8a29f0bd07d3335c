"""The largest eigenvalue of the Hessian along a run: its sharpness."""

from dataclasses import dataclass

from torch import Tensor

from experiments.measure.lanczos import top_eigenvalue
from experiments.measure.probe import Probe, lane, random_examples
from experiments.tasks.task import Params, Task
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class TopEigenvalue(Probe):
    """The top eigenvalue of the Hessian of the objective by Lanczos, and the bound on its residual, lane by lane."""

    tolerance: float = setting(1e-6, above=0.0, doc="stop at this residual, relative to the eigenvalue")
    iterations: int = setting(100, minimum=1, doc="most Lanczos steps; each is a Hessian product")
    examples: int | None = setting(None, minimum=1, doc="of a random subset of so many examples (default: all)")
    seed: int = setting(0, minimum=0, doc="of that subset")

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        batch = random_examples(task, self.examples, self.seed)
        found = [top_eigenvalue(task, lane(params, i), batch, self.tolerance, self.iterations) for i in range(lanes)]
        like = next(iter(params.values()))
        return {
            "top_eigenvalue": like.new_tensor([e.value for e in found]),
            "top_eigenvalue_residual": like.new_tensor([e.residual_bound for e in found]),
        }
