"""What schedules that decay to a final factor over a length have in common."""

from dataclasses import dataclass
from typing import ClassVar

from optim.schedule import Axis, Progress, Schedule
from optim.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class Decay(Schedule):
    """From 1 to `final` over `length`, counted from the end of the warm-up; it stays at `final` afterwards."""

    counts: ClassVar[bool] = True

    final: float = setting(0.0, minimum=0.0, doc="factor at the end")
    length: int | None = setting(
        None, minimum=1, doc="length of the decay, in `unit` (default: the rest of the budget after the warm-up)"
    )

    def shape(self, progress: Progress) -> float:
        length = progress.total - self.warmup if self.length is None else self.length
        done = self.position(progress) - self.warmup
        return 1.0 if done <= 0 else self.decayed(min(1.0, done / length))

    def decayed(self, share: float) -> float:
        """The factor after this share of the decay, in (0, 1]."""
        raise NotImplementedError

    def refuse(self, axis: Axis, total: float, size: int | None = None) -> None:
        super().refuse(axis, total, size)
        unit = self.unit_for(axis)
        if self.length is None and unit != axis:
            raise SettingError(
                f"schedule.length is not given, and the rest of a budget in {axis} cannot be counted in {unit}: set "
                "schedule.length"
            )
