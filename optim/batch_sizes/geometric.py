"""A batch size that grows geometrically."""

import math
import sys
from dataclasses import dataclass
from typing import Any

from optim.batch_size import BatchSizeRule, Context, refuse_larger
from optim.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class Geometric(BatchSizeRule):
    """`floor(size growth^k)` after k times `every` steps or examples, never above `largest` (Friedlander and Schmidt
    2012; Byrd, Chin, Nocedal, Wu 2012).
    """

    size: int = setting(32, minimum=1, doc="examples in the first batch")
    growth: float = setting(2.0, above=1.0, doc="factor at every growth")
    every: int = setting(100, minimum=1, doc="how much of the run lies between two growths, in `unit`")
    unit: str = setting("steps", choices=("steps", "examples"), doc="what `every` counts")
    largest: int | None = setting(None, minimum=1, doc="bound on the size (default: the data set, if it is finite)")

    def __post_init__(self) -> None:
        if self.largest is not None and self.largest < self.size:
            raise SettingError(f"largest={self.largest} must be at least size={self.size}")

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        position = context.step - 1 if self.unit == "steps" else context.examples
        largest = self.largest or max(self.size, context.data_size or sys.maxsize)
        times = position // self.every
        if times * math.log(self.growth) > math.log(largest / self.size) + 1:  # growth^times may be beyond floats
            return largest, state, None
        # 100 times 1.15 is 115, though a little less in floats.
        return min(largest, math.floor(self.size * self.growth**times * (1 + 1e-12))), state, None

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        refuse_larger(self.size, data_size, replacement)
        refuse_larger(self.largest or 1, data_size, replacement, "largest")
