"""The counterexample to Adam of Reddi, Kale and Kumar (2018): a rare large slope against many small ones."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from experiments.seeds import derive
from experiments.tasks.noise import normal
from experiments.tasks.random_slope import RandomSlope
from experiments.tasks.task import Batch
from experiments.theory.counterexamples import Family
from optim.settings import SettingError, setting

_POSITION = (1 << 40) - 1  # the bits of a draw's id that are its position: see experiments.order


@dataclass(kw_only=True)
class Counterexample(RandomSlope):
    """The loss of a draw is c x for x in [-1, 1]: c = scale C with probability (1 + delta)/(C + 1), else -scale. Its
    mean is scale delta, so that x* = -1 (page on arXiv 2101.05471, section 3).

    An endless stream: c is a function of the draw's id. With a period it is one of the position alone, the large slope
    first in every cycle. `wrapper=[box]` keeps x in [-1, 1], and the optimum is the one there: without it the loss has
    no bound, and the gap becomes negative.
    """

    version: ClassVar[int] = 1

    C: float = setting(101.0, above=0.0, doc="the large slope, in units of the small one")
    delta: float | None = setting(None, above=0.0, doc="mean slope, in units of the small one")
    period: int | None = setting(None, minimum=2, doc="instead: draws of a cycle, exactly one of them large")
    scale: float = setting(1.0, above=0.0, doc="the small slope")

    def __post_init__(self) -> None:
        if (self.delta is None) == (self.period is None):
            raise SettingError("give either task.delta, for random slopes, or task.period, for a cycle")
        self.family()
        if not -1 <= self.start <= 1:
            raise SettingError(f"task.start={self.start:g} is outside [-1, 1], where the loss is defined")

    def family(self) -> Family:
        """The law of the slopes. Raises SettingError for what is no counterexample."""
        if self.period is not None:
            return Family.cyclic(self.C, self.period, self.scale)
        assert self.delta is not None
        return Family(self.C, self.delta, self.scale)

    @property
    def mean_slope(self) -> float:
        return self.family().mean_slope

    @property
    def size(self) -> None:
        return None

    @property
    def optimum(self) -> float:
        """That of x in [-1, 1]."""
        return -self.mean_slope

    def batch(self, draws: Tensor | None) -> Batch:
        """The slopes of these draws, (B,) or (S, B); of None, a single draw with the mean slope: the objective."""
        device, dtype = self.last_prepared
        if draws is None:
            return {"slope": torch.full((1,), self.mean_slope, device=device, dtype=dtype)}
        if self.period is not None:
            large = (draws & _POSITION) % self.period == 0
        else:
            quantile = float(torch.special.ndtri(torch.tensor(self.family().probability, dtype=torch.float64)))
            large = normal(draws, 1, derive(0, "Counterexample", "slope")).squeeze(-1) < quantile
        slopes = torch.tensor([-self.scale, self.scale * self.C], device=device, dtype=dtype)
        return {"slope": slopes[large.long()]}

    def height(self, x: Tensor) -> Tensor:
        return x

    def steepness(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)
