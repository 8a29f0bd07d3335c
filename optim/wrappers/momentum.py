"""Momentum around any rule."""

from dataclasses import dataclass

import torch
from torch import Tensor

from optim._equations import heavy_ball
from optim.mapping import Hyper, Tensors
from optim.settings import setting
from optim.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Momentum(Wrapper):
    """`m_t = momentum m_{t-1} + (1 - dampening) x_t`, `m_1 = x_1` (Polyak 1964; dampening and the start as in torch).

    On the gradient, x_t is the gradient and the rule sees m_t. On the update, x_t is the update of the rule, learning
    rate included, and m_t is added to the parameters.
    """

    momentum: float = setting(0.9, minimum=0.0, maximum=1.0, lane=True, doc="share of m that is kept")
    dampening: float = setting(0.0, minimum=0.0, maximum=1.0, lane=True, doc="share of the new term that is left out")
    on: str = setting("gradient", choices=("gradient", "update"), doc="what is accumulated")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        return heavy_ball(hyper, step)

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"velocity": torch.zeros_like(param)}

    def before(self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper) -> tuple[Tensor, Tensors]:
        return self._accumulated(grad, state, c) if self.on == "gradient" else (grad, state)

    def after(self, update: Tensor, state: Tensors, param: Tensor, c: Hyper) -> tuple[Tensor, Tensors]:
        return self._accumulated(update, state, c) if self.on == "update" else (update, state)

    def _accumulated(self, value: Tensor, state: Tensors, c: Hyper) -> tuple[Tensor, Tensors]:
        velocity = state["velocity"] * c["momentum"] + value * c["fresh"]
        return velocity, {"velocity": velocity}
