"""The contract of a schedule: a factor on a hyper-parameter, as a function of progress."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Progress:
    """Where a run is when a step is about to be taken.

    step: t = 1, 2, ...; examples: seen before this step; share: of the budget used before this step, in [0, 1).
    """

    step: int
    examples: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Base of schedules: a dataclass whose instances give the factor on the learning rate (float64)."""

    version: ClassVar[int] = 1

    def factor(self, progress: Progress) -> float:
        """The number that the learning rate is multiplied by at this step."""
        raise NotImplementedError
