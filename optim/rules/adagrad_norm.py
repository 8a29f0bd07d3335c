"""AdaGrad-Norm: AdaGrad with one scalar accumulator."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim.mapping import ActsOn
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class AdaGradNorm(Rule):
    """`v_t = v_{t-1} + ||g_t||^2`, `w_{t+1} = w_t - lr g_t / (sqrt(v_t) + eps)`, the norm over all parameters
    (Ward, Wu, Bottou 2019; arXiv 2402.11215, section 2).

    The theory takes `v_0 > 0`. With `v_0 = 0` the first step has length lr, and eps only guards a zero gradient.
    """

    acts_on: ClassVar[ActsOn] = "vector"
    still_without_gradient: ClassVar[bool] = True  # the accumulator belongs to no coordinate

    lr: float = setting(0.01, minimum=0.0, lane=True, doc="learning rate")
    eps: float = setting(1e-10, above=0.0, lane=True, doc="added to the root of the accumulator")
    initial_accumulator_value: float = setting(0.0, minimum=0.0, lane=True, doc="v_0")

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"sum": param.new_zeros(()) + hyper["initial_accumulator_value"]}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        total = state["sum"] + torch.dot(grad, grad)
        return grad * (-c["lr"] / (total.sqrt() + c["eps"])), {"sum": total}
