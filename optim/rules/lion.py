"""Lion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim._equations import sign
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Lion(Rule):
    """`w_{t+1} = w_t - lr (sign(beta1 m_{t-1} + (1 - beta1) g_t) + weight_decay w_t)`,
    `m_t = beta2 m_{t-1} + (1 - beta2) g_t` (Chen et al. 2023, algorithm 2).
    """

    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {"betas": ("beta1", "beta2")}

    lr: float = setting(0.0001, minimum=0.0, lane=True, doc="learning rate: the length of a step in every coordinate")
    beta1: float = setting(0.9, minimum=0.0, below=1.0, lane=True, doc="share of the mean in the sign that is taken")
    beta2: float = setting(0.99, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of gradients")
    weight_decay: float = setting(0.0, minimum=0.0, lane=True, doc="decoupled weight decay: times lr")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        return {
            "beta1": hyper["beta1"],
            "one_minus_beta1": 1 - hyper["beta1"],
            "beta2": hyper["beta2"],
            "one_minus_beta2": 1 - hyper["beta2"],
            "step_size": -hyper["lr"],
            "shrink": hyper["lr"] * hyper["weight_decay"],
        }

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"mean": torch.zeros_like(param)}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        direction = sign(state["mean"] * c["beta1"] + grad * c["one_minus_beta1"])
        mean = state["mean"] * c["beta2"] + grad * c["one_minus_beta2"]
        return direction * c["step_size"] - param * c["shrink"], {"mean": mean}
