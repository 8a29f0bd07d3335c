"""Stochastic gradient descent with momentum."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optim._equations import heavy_ball
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Momentum(Rule):
    """`m_t = momentum m_{t-1} + (1 - dampening) g_t`, `m_1 = g_1`, `w_{t+1} = w_t - lr m_t` (Polyak 1964):
    `torch.optim.SGD` with momentum. (With momentum 0 torch leaves out the dampening too; here it stays.)
    """

    lr: float = setting(0.01, minimum=0.0, lane=True, doc="learning rate")
    momentum: float = setting(0.9, minimum=0.0, maximum=1.0, lane=True, doc="share of m that is kept")
    dampening: float = setting(
        0.0, minimum=0.0, maximum=1.0, lane=True, doc="share of the gradient that is left out, from the second step on"
    )

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        return {"step_size": -hyper["lr"], **heavy_ball(hyper, step)}

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"velocity": torch.zeros_like(param)}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        velocity = state["velocity"] * c["momentum"] + grad * c["fresh"]
        return velocity * c["step_size"], {"velocity": velocity}
