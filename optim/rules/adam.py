"""Adam."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim._equations import quotient
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Adam(Rule):
    """`m_t = beta1 m_{t-1} + (1 - beta1) g_t`, `v_t = beta2 v_{t-1} + (1 - beta2) g_t^2`,
    `w_{t+1} = w_t - lr mhat_t / (sqrt(vhat_t) + eps)` with `mhat_t = m_t / (1 - beta1^t)` and
    `vhat_t = v_t / (1 - beta2^t)` (Kingma and Ba 2015, algorithm 1): `torch.optim.Adam` without weight decay.
    """

    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {"betas": ("beta1", "beta2")}

    lr: float = setting(0.001, minimum=0.0, lane=True, doc="learning rate")
    beta1: float = setting(0.9, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of gradients")
    beta2: float = setting(0.999, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of squared gradients")
    eps: float = setting(1e-8, minimum=0.0, lane=True, doc="added to the root of the second moment")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        correction = 1 - beta2**step
        return {
            "beta1": beta1,
            "one_minus_beta1": 1 - beta1,
            "beta2": beta2,
            "one_minus_beta2": 1 - beta2,
            "step_size": -hyper["lr"] / (1 - beta1**step),
            "root": correction.sqrt() if isinstance(correction, Tensor) else math.sqrt(correction),
            "eps": hyper["eps"],
        }

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"mean": torch.zeros_like(param), "mean_square": torch.zeros_like(param)}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        new = self.moments(grad, state, c)
        return self.direction(new["mean"], new["mean_square"], c), new

    def moments(self, grad: Tensor, state: Tensors, c: Hyper) -> Tensors:
        """m_t and v_t."""
        mean = state["mean"] * c["beta1"] + grad * c["one_minus_beta1"]
        square = state["mean_square"] * c["beta2"] + grad * grad * c["one_minus_beta2"]
        return {"mean": mean, "mean_square": square}

    def direction(self, mean: Tensor, square: Tensor, c: Hyper) -> Tensor:
        """The update, from the moments before their bias is corrected."""
        update: Tensor = quotient(mean, square.sqrt() / c["root"] + c["eps"], c["eps"]) * c["step_size"]
        return update
