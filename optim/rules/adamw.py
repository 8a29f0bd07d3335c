"""AdamW."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from optim.rule import Hyper, Tensors
from optim.rules.adam import Adam
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam, and `-lr weight_decay w_t` added to its update (Loshchilov and Hutter 2019): `torch.optim.AdamW`."""

    weight_decay: float = setting(0.01, minimum=0.0, lane=True, doc="decoupled weight decay: times lr")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        return {**super().coefficients(hyper, step), "shrink": hyper["lr"] * hyper["weight_decay"]}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        update, state = super().update_tensor(grad, state, param, c, extra)
        return update - param * c["shrink"], state
