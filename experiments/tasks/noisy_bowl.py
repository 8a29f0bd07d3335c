"""A non-convex bowl with additive gradient noise."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from experiments.seeds import derive
from experiments.tasks.noise import normal
from experiments.tasks.task import Batch, Params, Strategy, Task
from optim.settings import setting

_LARGEST = 1_000_000  # coordinates


@dataclass(kw_only=True)
class NoisyBowl(Task):
    """`f(w) = sum_i w_i^2/(1 + w_i^2)` (page on arXiv 2101.05471, section 5); the gradient of one draw is
    `grad f(w) + xi`, xi ~ N(0, noise^2 I).

    An endless stream: the loss of a draw is `f(w) + xi . w`, and xi is a function of the draw's id. The bowl is smooth
    and bounded, convex for |w_i| < 1/sqrt(3) only, and flat far out.
    """

    version: ClassVar[int] = 1
    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "analytic", "cuda": "analytic"}

    dimension: int = setting(200, minimum=1, maximum=_LARGEST, doc="number of coordinates")
    noise: float = setting(5.0, minimum=0.0, doc="standard deviation of xi in each coordinate")
    start: float = setting(1.0, doc="every coordinate of w_0")

    @property
    def size(self) -> None:
        return None

    def init(self, generator: torch.Generator | None = None) -> Params:
        device, dtype = self.last_prepared
        return {"weight": torch.full((self.dimension,), self.start, device=device, dtype=dtype)}

    def batch(self, draws: Tensor | None) -> Batch:
        """The noise of these draws, (B, D) or (S, B, D); of None, a single draw without any: the objective itself."""
        device, dtype = self.last_prepared
        if draws is None or self.noise == 0:
            shape = (1,) if draws is None else tuple(draws.shape)
            return {"noise": torch.zeros(*shape, self.dimension, device=device, dtype=dtype)}
        key = derive(0, type(self).__name__, "noise")
        return {"noise": normal(draws, self.dimension, key).mul_(self.noise).to(dtype)}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        weight = params["weight"]
        return _bowl(weight) + batch["noise"].to(weight.dtype) @ weight

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        weight, noise = params["weight"], batch["noise"]
        values, grad = _bowl(weight).unsqueeze(1), _gradient(weight)
        if noise.dim() == 2:
            return values + weight @ noise.T, {"weight": grad + noise.mean(dim=0)}
        groups, size, width = noise.shape
        products = torch.bmm(weight.reshape(groups, -1, width), noise.transpose(1, 2)).reshape(-1, size)
        shifted = grad.reshape(groups, -1, width) + noise.mean(dim=1, keepdim=True)
        return values + products, {"weight": shifted.reshape(weight.shape)}

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        weight = params["weight"].double()
        return {"loss": _bowl(weight), "gradient_norm": _gradient(weight).norm(dim=-1)}

    @property
    def optimum(self) -> float:
        return 0.0

    def gradient_moments(self, params: Params) -> tuple[Params, Params]:
        weight = params["weight"]
        return {"weight": _gradient(weight)}, {"weight": torch.full_like(weight, self.noise**2)}

    def describe(self) -> dict[str, Any]:
        start = abs(_gradient(torch.tensor(self.start, dtype=torch.float64)).item()) * math.sqrt(self.dimension)
        return {
            "examples": None,
            "dimension": self.dimension,
            "optimum": 0.0,
            "optimum_is_attained": True,
            "gradient_norm_at_start": start,
        }


def _bowl(weight: Tensor) -> Tensor:
    """The bowl at points (..., D), (...)."""
    squares = weight * weight
    return (squares / (1 + squares)).sum(dim=-1)


def _gradient(weight: Tensor) -> Tensor:
    root = 1 + weight * weight
    return 2 * weight / (root * root)
