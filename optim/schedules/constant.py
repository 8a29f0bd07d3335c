"""No schedule."""

from dataclasses import dataclass

from optim.schedule import Progress, Schedule


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The learning rate stays as it is."""

    def factor(self, progress: Progress) -> float:
        return 1.0
