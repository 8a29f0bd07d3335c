"""A batch size that grows linearly."""

import sys
from dataclasses import dataclass
from typing import Any

from optim.batch_size import BatchSizeRule, Context, refuse_larger
from optim.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class Linear(BatchSizeRule):
    """`size + (t - 1) increment` at step t, never above `largest`: a ramp made by hand, as the tests are compared with
    in arXiv 2402.11215.
    """

    size: int = setting(256, minimum=1, doc="examples in the first batch")
    increment: int = setting(256, minimum=1, doc="examples that every step adds")
    largest: int | None = setting(None, minimum=1, doc="bound on the size (default: the data set, if it is finite)")

    def __post_init__(self) -> None:
        if self.largest is not None and self.largest < self.size:
            raise SettingError(f"largest={self.largest} must be at least size={self.size}")

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        largest = self.largest or max(self.size, context.data_size or sys.maxsize)
        return min(largest, self.size + (context.step - 1) * self.increment), state, None

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        refuse_larger(self.size, data_size, replacement)
        refuse_larger(self.largest or 1, data_size, replacement, "largest")
