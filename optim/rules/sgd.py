"""Stochastic gradient descent."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class SGD(Rule):
    """`w_{t+1} = w_t - lr g_t` (Robbins and Monro 1951); `torch.optim.SGD` without momentum."""

    still_without_gradient: ClassVar[bool] = True

    lr: float = setting(0.01, minimum=0.0, lane=True, doc="learning rate")

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        return -c["lr"] * grad, state
