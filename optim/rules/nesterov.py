"""Stochastic gradient descent with Nesterov's momentum."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Nesterov(Rule):
    """`m_t = momentum m_{t-1} + g_t`, `w_{t+1} = w_t - lr (g_t + momentum m_t)` (Nesterov 1983 in the form of Sutskever
    et al. 2013, seen at the points where gradients are taken): `torch.optim.SGD(nesterov=True)`.
    """

    lr: float = setting(0.01, minimum=0.0, lane=True, doc="learning rate")
    momentum: float = setting(0.9, minimum=0.0, maximum=1.0, lane=True, doc="share of m that is kept")

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"velocity": torch.zeros_like(param)}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        velocity = state["velocity"] * c["momentum"] + grad
        return (grad + velocity * c["momentum"]) * -c["lr"], {"velocity": velocity}
