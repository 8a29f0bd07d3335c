"""The finite sum on which Adam's fate depends on its decays (Zhang et al. 2022, arXiv 2208.09632)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from experiments.tasks.random_slope import RandomSlope
from optim.settings import setting


@dataclass(kw_only=True)
class FiniteSum(RandomSlope):
    """The mean of n functions `c_i h(x)` with c_0 = n and the other c_i = -1, where h(x) = x for x >= -1 and
    `((x + 2)^2 - 3)/2` below: x* = -2 (page on arXiv 2101.05471, section 6).
    """

    version: ClassVar[int] = 1

    n: int = setting(10, minimum=2, doc="number of functions")

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        slopes = torch.full((self.n,), -1.0, device=device, dtype=dtype)
        slopes[0] = self.n
        self.tensors = {"slope": slopes}

    @property
    def mean_slope(self) -> float:
        return 1 / self.n

    @property
    def size(self) -> int:
        return self.n

    @property
    def optimum(self) -> float:
        return -1.5 * self.mean_slope

    def height(self, x: Tensor) -> Tensor:
        return torch.where(x >= -1, x, ((x + 2).square() - 3) / 2)

    def steepness(self, x: Tensor) -> Tensor:
        return (x + 2).clamp(max=1.0)
