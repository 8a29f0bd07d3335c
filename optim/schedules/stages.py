"""Decay by stages."""

import bisect
from dataclasses import dataclass
from typing import ClassVar

from optim.schedule import Axis, Progress, Schedule
from optim.settings import SettingError, refuse_unordered, setting


@dataclass(frozen=True, kw_only=True)
class Stages(Schedule):
    """Times `decay` at each position of `at`, counted from the start of the run, warm-up included: the first smaller
    step is the one with `at` steps (or examples) before it, as in `torch.optim.lr_scheduler.MultiStepLR`.
    """

    counts: ClassVar[bool] = True

    at: list[int] = setting([], doc="positions in `unit`, increasing")
    decay: float = setting(0.1, above=0.0, doc="the rate is multiplied by it at each position")

    def __post_init__(self) -> None:
        refuse_unordered("at", self.at)

    def shape(self, progress: Progress) -> float:
        return float(self.decay ** bisect.bisect_right(self.at, self.position(progress)))

    def refuse(self, axis: Axis, total: float, size: int | None = None) -> None:
        super().refuse(axis, total, size)
        if not self.at:
            raise SettingError("schedule.at is empty: give the positions of the stages, such as schedule.at=[500,800]")
