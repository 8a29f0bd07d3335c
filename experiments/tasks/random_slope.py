"""What the counterexamples to Adam have in common: one parameter, and a loss that a draw only scales."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from experiments.tasks.task import Batch, Params, Strategy, Task
from optim.settings import setting


@dataclass(kw_only=True)
class RandomSlope(Task):
    """The loss of a draw with slope c is `c h(x)`, x of shape (1,), with the same h for all draws."""

    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "analytic", "cuda": "analytic"}

    start: float = setting(0.5, doc="x at the start")

    @property
    def mean_slope(self) -> float:
        """Of all draws."""
        raise NotImplementedError

    def height(self, x: Tensor) -> Tensor:
        """h, at every x."""
        raise NotImplementedError

    def steepness(self, x: Tensor) -> Tensor:
        """h', at every x."""
        raise NotImplementedError

    def init(self, generator: torch.Generator | None = None) -> Params:
        device, dtype = self.last_prepared
        return {"x": torch.full((1,), self.start, device=device, dtype=dtype)}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        return batch["slope"].to(params["x"].dtype) * self.height(params["x"])

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        x, slopes = params["x"], torch.atleast_2d(batch["slope"])  # of groups of seeds, (S, B)
        slopes = slopes.repeat_interleave(len(x) // len(slopes), dim=0)
        return slopes * self.height(x), {"x": slopes.mean(dim=1, keepdim=True) * self.steepness(x)}

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        """The objective `loss`, and the parameter itself, `x`."""
        x = params["x"].double().squeeze(-1)
        return {"loss": self.mean_slope * self.height(x), "x": x}

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "examples": self.size, "dimension": 1, "optimum": self.optimum}
