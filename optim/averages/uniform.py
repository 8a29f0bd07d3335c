"""The uniform average of the iterates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from optim.average import Average
from optim.rule import Tensors


@dataclass(frozen=True, kw_only=True)
class Uniform(Average):
    """The mean of the T points where gradients were taken, w_0 to w_{T-1} (arXiv 2406.15244, claim A1)."""

    def init(self, param: Tensor) -> Tensors:
        return {"mean": param.clone()}

    def observe(self, state: Tensors, param: Tensor, step: int) -> Tensors:
        return {"mean": torch.lerp(state["mean"], param, 1.0 / step)}

    def output(self, state: Tensors, param: Tensor) -> Tensor:
        return state["mean"]
