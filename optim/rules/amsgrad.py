"""AMSGrad."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optim.rule import Hyper, Tensors
from optim.rules.adam import Adam


@dataclass(frozen=True, kw_only=True)
class AMSGrad(Adam):
    """Adam with `max(v_1, ..., v_t)` in place of `v_t`, corrected for bias as v_t is (Reddi, Kale, Kumar 2018, with
    Adam's corrections): `torch.optim.Adam(amsgrad=True)`.
    """

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {**super().init_tensor(param, hyper), "largest": torch.zeros_like(param)}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        new = self.moments(grad, state, c)
        new["largest"] = torch.maximum(state["largest"], new["mean_square"])
        return self.direction(new["mean"], new["largest"], c), new
