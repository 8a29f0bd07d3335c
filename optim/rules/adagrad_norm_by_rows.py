"""AdaGrad-Norm with one accumulator for each output row of a tensor."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim._equations import quotient
from optim.mapping import ActsOn
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class AdaGradNormByRows(Rule):
    """`v_{r,t} = v_{r,t-1} + ||g_{r,t}||^2`, `w_{r,t+1} = w_{r,t} - lr g_{r,t} / (sqrt(v_{r,t}) + eps)` for every row r
    of a tensor: what the released code of arXiv 2402.11215 calls AdaGrad-Norm. That of the theory is `adagrad_norm`.

    A row is what belongs to one index of the first dimension, such as the weights of one output; the entries of a
    vector, such as biases, are rows of one number. A row that never had a gradient stays (0/0 := 0).
    """

    acts_on: ClassVar[ActsOn] = "tensors"
    still_without_gradient: ClassVar[bool] = True  # an accumulator belongs to no coordinate, or to one alone

    lr: float = setting(0.01, minimum=0.0, lane=True, doc="learning rate")
    eps: float = setting(1e-10, minimum=0.0, lane=True, doc="added to the root of the accumulator")
    initial_accumulator_value: float = setting(0.0, minimum=0.0, lane=True, doc="v_0, the same for every row")

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        """{"sum": v_0} of shape (rows, 1, ..., 1)."""
        return {"sum": torch.zeros_like(_squared_norms(param)) + hyper["initial_accumulator_value"]}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        total = state["sum"] + _squared_norms(grad)
        return quotient(grad, total.sqrt() + c["eps"], c["eps"]) * -c["lr"], {"sum": total}


def _squared_norms(tensor: Tensor) -> Tensor:
    """The squared norm of every row, in dimensions that broadcast."""
    squares = tensor * tensor
    return squares if tensor.dim() < 2 else squares.sum(dim=tuple(range(1, tensor.dim())), keepdim=True)
