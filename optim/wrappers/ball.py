"""Projection onto a ball."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from optim.mapping import ActsOn, Hyper
from optim.settings import setting
from optim.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Ball(Wrapper):
    """`w min(1, radius / ||w||_2)` after the step: the l2 projection onto the ball around 0, over all parameters."""

    acts_on: ClassVar[ActsOn] = "vector"
    projects: ClassVar[bool] = True

    radius: float = setting(1.0, above=0.0, lane=True, doc="radius of the ball")

    def project(self, param: Tensor, c: Hyper) -> Tensor:
        norm = torch.linalg.vector_norm(param, dtype=torch.float64)  # the square of a large float32 overflows
        scale: Tensor = (c["radius"] / norm).clamp(max=1.0)
        return param * scale.to(param.dtype)
