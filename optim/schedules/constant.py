"""No schedule."""

from dataclasses import dataclass

from optim.schedule import Progress, Schedule


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The learning rate stays as it is, after the warm-up if there is one."""

    def shape(self, progress: Progress) -> float:
        return 1.0
