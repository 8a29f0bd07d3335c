"""Decay along half a period of the cosine."""

import math
from dataclasses import dataclass

from optim.schedules._decay import Decay


@dataclass(frozen=True, kw_only=True)
class Cosine(Decay):
    """`final + (1 - final) (1 + cos(pi (t - 1) / T)) / 2` at step t after the warm-up, T the length (Loshchilov and
    Hutter 2017, equation 5); `torch.optim.lr_scheduler.CosineAnnealingLR` up to T, and `final` from there on.
    """

    def decayed(self, share: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * share)) / 2
