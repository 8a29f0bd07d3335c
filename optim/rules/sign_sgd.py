"""Sign descent."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from optim._equations import sign
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class SignSGD(Rule):
    """`w_{t+1} = w_t - lr sign(g_t)`, with sign(0) = 0 (Bernstein et al. 2018, algorithm 1)."""

    still_without_gradient: ClassVar[bool] = True

    lr: float = setting(0.001, minimum=0.0, lane=True, doc="learning rate: the length of a step in every coordinate")

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        return sign(grad) * -c["lr"], state
