"""The classical decay of stochastic approximation."""

import math
from dataclasses import dataclass

from optim.schedule import Progress, Schedule


@dataclass(frozen=True, kw_only=True)
class InverseSqrt(Schedule):
    """`lr_t = lr / sqrt(t)`, t = 1, 2, ... the step, from the start of the run whatever the warm-up and its unit."""

    def shape(self, progress: Progress) -> float:
        return 1.0 / math.sqrt(progress.step)
