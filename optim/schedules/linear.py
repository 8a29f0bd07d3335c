"""Decay along a line."""

from dataclasses import dataclass

from optim.schedules._decay import Decay


@dataclass(frozen=True, kw_only=True)
class Linear(Decay):
    """`1 - (1 - final) (t - 1) / T` at step t after the warm-up, T the length; `final` from there on:
    `torch.optim.lr_scheduler.LinearLR` from 1.
    """

    def decayed(self, share: float) -> float:
        return 1 - (1 - self.final) * share
