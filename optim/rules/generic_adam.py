"""Generic Adam: three sequences, and the methods that are points of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optim._equations import quotient
from optim.rule import Hyper, Rule, Tensors
from optim.sequence import Sequence, refuse_out_of_range
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne
from optim.settings import setting

_ALL = 1 << 16  # steps that are all looked at beforehand; of later ones, a thousand


@dataclass(frozen=True, kw_only=True)
class GenericAdam(Rule):
    """`v_t = theta_t v_{t-1} + (1 - theta_t) g_t^2`, `m_t = beta_t m_{t-1} + (1 - beta_t) g_t`,
    `x_{t+1} = x_t - lr alpha_t m_t / sqrt(v_t)` with m_0 = 0 and v_0 small (arXiv 2101.05471, section 1 of its page).

    No correction of bias, and eps only as v_0; 0/0 is 0. With `largest` the root is of max(v_1, ..., v_t), as in
    AMSGrad (Reddi, Kale, Kumar 2018). configs/optimizer/generic_adam/ names points of it.
    """

    lr: float = setting(0.001, minimum=0.0, lane=True, doc="learning rate, times alpha_t")
    alpha: Sequence = setting(Power(s=0.5), doc="alpha_t >= 0, the shape of the learning rate")
    beta: Sequence = setting(Constant(at=0.9), doc="beta_t in [0, 1), decay of the mean of gradients")
    theta: Sequence = setting(TowardsOne(), doc="theta_t in [0, 1), decay of the mean of squared gradients")
    v_0: float = setting(1e-8, minimum=0.0, lane=True, doc="second moment at the start")
    largest: bool = setting(False, doc="divide by the root of the largest second moment so far")

    def refuse(self, hyper: Hyper, steps: int) -> None:
        first = np.arange(1, min(steps, _ALL) + 1)
        t = np.concatenate([first, np.geomspace(_ALL, max(steps, _ALL), 1000)[1:].round()]) if steps > _ALL else first
        for name in self.sequences():
            refuse_out_of_range(name, np.broadcast_to(self.at(name, t.astype(np.float64), hyper), t.shape), t)

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        now = {name: self.at(name, step, hyper) for name in ("alpha", "beta", "theta")}
        for name, value in now.items():
            refuse_out_of_range(name, value, step)
        return {
            "step_size": -hyper["lr"] * now["alpha"],
            "beta": now["beta"],
            "one_minus_beta": self.rest_at("beta", step, hyper),
            "theta": now["theta"],
            "one_minus_theta": self.rest_at("theta", step, hyper),
        }

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        start = {"mean": torch.zeros_like(param), "mean_square": torch.zeros_like(param) + hyper["v_0"]}
        return start | ({"largest": torch.zeros_like(param)} if self.largest else {})

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        mean = state["mean"] * c["beta"] + grad * c["one_minus_beta"]
        square = state["mean_square"] * c["theta"] + grad * grad * c["one_minus_theta"]
        new, under = {"mean": mean, "mean_square": square}, square
        if self.largest:
            under = new["largest"] = torch.maximum(state["largest"], square)
        return quotient(mean, under.sqrt(), 0.0) * c["step_size"], new
