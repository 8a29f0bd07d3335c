"""Equations that several rules and wrappers share."""

from typing import Any

import torch
from torch import Tensor

from optim.mapping import Hyper


def quotient(numerator: Tensor, root: Tensor, eps: Any) -> Tensor:
    """The ratio numerator / root, where root = sqrt(...) + eps; a coordinate whose root is 0 gives 0 (0/0 := 0)."""
    ratio = numerator / root
    if isinstance(eps, Tensor) or eps < torch.finfo(root.dtype).tiny:  # else no root is 0
        ratio = torch.where(root == 0, torch.zeros_like(ratio), ratio)
    return ratio


def sign(value: Tensor) -> Tensor:
    """-1, 0 or 1; not-a-number stays that (torch makes it 0, and a run that diverged would stand still)."""
    return torch.where(value.isnan(), value, value.sign())


def heavy_ball(hyper: Hyper, step: int) -> Hyper:
    """Coefficients of m_t = momentum m_{t-1} + fresh g_t: fresh is 1 - dampening, but m_1 = g_1 as in torch."""
    return {"momentum": hyper["momentum"], "fresh": 1.0 if step == 1 else 1 - hyper["dampening"]}
