"""ADOPT."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim._equations import quotient
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class ADOPT(Rule):
    """`m_t = beta1 m_{t-1} + (1 - beta1) g_t / max(sqrt(v_{t-1}), eps)`, `w_{t+1} = w_t - lr m_t`,
    `v_t = beta2 v_{t-1} + (1 - beta2) g_t^2`: the root leaves out the current gradient, and divides before the mean is
    taken (Taniguchi et al. 2024, arXiv 2411.02853). The first step only sets v_1 = g_1^2.

    A coordinate whose divisor is 0, which takes eps = 0, stays (0/0 := 0). With `clip` the quotient is clipped at
    (t - 1)^(1/4), as in the version for practice.
    """

    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {"betas": ("beta1", "beta2")}

    lr: float = setting(0.001, minimum=0.0, lane=True, doc="learning rate")
    beta1: float = setting(0.9, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of quotients")
    beta2: float = setting(0.9999, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of squared gradients")
    eps: float = setting(1e-6, minimum=0.0, lane=True, doc="least root of the second moment")
    clip: bool = setting(False, doc="clip the quotient at (t - 1)^(1/4)")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        first = step == 1
        return {
            "beta1": hyper["beta1"],
            "one_minus_beta1": 0.0 if first else 1 - hyper["beta1"],
            "beta2": hyper["beta2"],
            "one_minus_beta2": 1.0 if first else 1 - hyper["beta2"],
            "step_size": -hyper["lr"],
            "least": torch.as_tensor(hyper["eps"], dtype=torch.float64),
            "bound": (step - 1) ** 0.25,
        }

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"mean": torch.zeros_like(param), "mean_square": torch.zeros_like(param)}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        ratio = quotient(grad, state["mean_square"].sqrt().clamp(min=c["least"]), 0.0)
        if self.clip:
            ratio = ratio.clamp(-c["bound"], c["bound"])
        mean = state["mean"] * c["beta1"] + ratio * c["one_minus_beta1"]
        square = state["mean_square"] * c["beta2"] + grad * grad * c["one_minus_beta2"]
        return mean * c["step_size"], {"mean": mean, "mean_square": square}
