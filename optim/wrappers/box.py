"""Projection onto a box."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from optim.mapping import Hyper
from optim.settings import SettingError, setting
from optim.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Box(Wrapper):
    """Every coordinate is moved into [lower, upper] after the step: the l2 projection, and the projection in every
    diagonal norm, such as AdaGrad's.
    """

    projects: ClassVar[bool] = True

    lower: float = setting(-1.0, lane=True, doc="least value of a coordinate")
    upper: float = setting(1.0, lane=True, doc="largest value of a coordinate")

    def __post_init__(self) -> None:
        if self.lower >= self.upper:
            raise SettingError(f"lower={self.lower:g} must be less than upper={self.upper:g}")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        # As tensors, so that a bound beyond float32 becomes infinite rather than an error.
        return {k: torch.as_tensor(hyper[k], dtype=torch.float64) for k in ("lower", "upper")}

    def project(self, param: Tensor, c: Hyper) -> Tensor:
        return param.clamp(min=c["lower"]).clamp(max=c["upper"])
