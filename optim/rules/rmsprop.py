"""RMSProp."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optim._equations import quotient
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class RMSProp(Rule):
    """`v_t = alpha v_{t-1} + (1 - alpha) g_t^2`, `b_t = momentum b_{t-1} + g_t / (sqrt(v_t) + eps)`,
    `w_{t+1} = w_t - lr b_t` (Tieleman and Hinton 2012): `torch.optim.RMSprop`.

    Centered (Graves 2013): the root is of `v_t - a_t^2` with `a_t = alpha a_{t-1} + (1 - alpha) g_t`.
    """

    lr: float = setting(0.01, minimum=0.0, lane=True, doc="learning rate")
    alpha: float = setting(0.99, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of squared gradients")
    eps: float = setting(1e-8, minimum=0.0, lane=True, doc="added to the root of the second moment")
    momentum: float = setting(0.0, minimum=0.0, maximum=1.0, lane=True, doc="share of b that is kept")
    centered: bool = setting(False, doc="whether to divide by the standard deviation instead")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        return {**hyper, "one_minus_alpha": 1 - hyper["alpha"]}

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        slots = ["mean_square", "velocity", *(["mean"] if self.centered else [])]
        return {slot: torch.zeros_like(param) for slot in slots}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        new = {"mean_square": state["mean_square"] * c["alpha"] + grad * grad * c["one_minus_alpha"]}
        spread = new["mean_square"]
        if self.centered:
            new["mean"] = state["mean"] * c["alpha"] + grad * c["one_minus_alpha"]
            spread = (spread - new["mean"] * new["mean"]).clamp(min=0.0)  # rounding makes it negative, and torch NaN
        ratio = quotient(grad, spread.sqrt() + c["eps"], c["eps"])
        new["velocity"] = state["velocity"] * c["momentum"] + ratio
        return new["velocity"] * -c["lr"], new
