"""The contract of a schedule: a factor on the learning rate, as a function of progress."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from optim.settings import SettingError, setting

Axis = Literal["steps", "examples", "seconds"]


@dataclass(frozen=True)
class Progress:
    """Where a run is when a step is about to be taken.

    step: t = 1, 2, ...; examples: seen before this step; share: of the budget used before this step, in [0, 1).
    axis, total: what the budget is counted in, and its amount.
    """

    step: int
    examples: int
    share: float
    axis: Axis
    total: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Base of schedules: a dataclass whose instances give the factor on the learning rate (float64).

    The factor is a linear warm-up times the `shape` that a subclass defines. With a warm-up of W steps it is
    min(1, t / W) at step t; with one of W examples, min(1, (examples seen + 1) / W).
    """

    version: ClassVar[int] = 1
    counts: ClassVar[bool] = False  # whether `shape` uses positions in `unit`

    warmup: int = setting(0, minimum=0, doc="length of a linear warm-up, in `unit`")
    unit: str | None = setting(
        None, choices=("steps", "examples"), doc="what the schedule is counted in (default: as the budget)"
    )

    def factor(self, progress: Progress) -> float:
        """The number that the learning rate is multiplied by at this step."""
        shape = self.shape(progress)
        return shape if not self.warmup else min(1.0, (self.position(progress) + 1) / self.warmup) * shape

    def shape(self, progress: Progress) -> float:
        """The factor without the warm-up."""
        raise NotImplementedError

    def position(self, progress: Progress) -> int:
        """How much of the run lies before this step: t - 1 steps, or the examples seen."""
        return progress.step - 1 if self.unit_for(progress.axis) == "steps" else progress.examples

    def unit_for(self, axis: Axis) -> Axis:
        """What the schedule is counted in when the budget is in `axis`."""
        return axis if self.unit is None else self.unit  # type: ignore[return-value]

    def refuse(self, axis: Axis, total: float, size: int | None = None) -> None:
        """Raise SettingError if the schedule makes no sense in a budget of `total` steps, examples or seconds.

        size: of every batch, if it is always the same.
        """
        unit = self.unit_for(axis)
        if unit == "seconds" and (self.warmup or self.counts):
            raise SettingError(
                "schedule.unit is not given and the budget is in seconds: say what the schedule is counted in, with "
                "schedule.unit=steps or schedule.unit=examples"
            )
        most = total
        if unit == "steps" and axis == "examples":
            most = math.ceil(total / (size or 1))  # a step takes an example at least
        elif unit == "examples" and axis == "steps":
            most = total * size if size else math.inf
        if axis != "seconds" and self.warmup > most:
            which = f"{total:g} {axis}" + (f" ({most:g} {unit})" if most != total else "")
            raise SettingError(
                f"schedule.warmup={self.warmup} is longer than the budget of {which}: shorten it, or raise "
                f"budget.{axis}"
            )
