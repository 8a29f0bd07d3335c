"""AdaGrad with one accumulator per coordinate."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim._equations import quotient
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class AdaGrad(Rule):
    """`v_t = v_{t-1} + g_t^2`, `w_{t+1} = w_t - lr_t g_t / (sqrt(v_t) + eps)` (Duchi, Hazan, Singer 2011; the method of
    arXiv 2406.15244, section 1), with `lr_t = lr / (1 + (t - 1) lr_decay)`: `torch.optim.Adagrad`.

    The current gradient is in `v_t`, eps is outside the root. A coordinate that never had a gradient stays (0/0 := 0).
    """

    still_without_gradient: ClassVar[bool] = True

    lr: float = setting(0.01, minimum=0.0, lane=True, doc="learning rate")
    eps: float = setting(1e-10, minimum=0.0, lane=True, doc="added to the root of the accumulator")
    lr_decay: float = setting(0.0, minimum=0.0, lane=True, doc="lr is divided by 1 + (t - 1) lr_decay")
    initial_accumulator_value: float = setting(0.0, minimum=0.0, lane=True, doc="v_0, the same for every coordinate")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        return {"step_size": -hyper["lr"] / (1 + (step - 1) * hyper["lr_decay"]), "eps": hyper["eps"]}

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"sum": torch.zeros_like(param) + hyper["initial_accumulator_value"]}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        total = torch.addcmul(state["sum"], grad, grad)
        root = total.sqrt().add_(c["eps"])
        return quotient(grad, root, c["eps"]).mul_(c["step_size"]), {"sum": total}
