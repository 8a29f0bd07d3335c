"""Clipping the gradient by its norm."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from optim.mapping import ActsOn, Hyper, Tensors
from optim.settings import setting
from optim.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class ClipNorm(Wrapper):
    """The rule sees `g_t min(1, max_norm / ||g_t||_2)`, the norm over all parameters (Pascanu, Mikolov, Bengio 2013).

    A zero gradient stays zero. Unlike `torch.nn.utils.clip_grad_norm_`, nothing is added to the norm.
    """

    acts_on: ClassVar[ActsOn] = "vector"
    still_without_gradient: ClassVar[bool] = True

    max_norm: float = setting(1.0, above=0.0, lane=True, doc="largest norm that the rule sees")

    def before(self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper) -> tuple[Tensor, Tensors]:
        # In float64, because the square of a large float32 overflows and the gradient would become zero.
        norm = torch.linalg.vector_norm(grad, dtype=torch.float64)
        return grad * (c["max_norm"] / norm).clamp(max=1.0).to(grad.dtype), state
