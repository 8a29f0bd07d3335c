"""A batch size that grows, or shrinks, by stages."""

import bisect
from dataclasses import dataclass
from typing import Any

from optim.batch_size import BatchSizeRule, Context, refuse_larger
from optim.settings import SettingError, refuse_unordered, setting, short


@dataclass(frozen=True, kw_only=True)
class Stages(BatchSizeRule):
    """`sizes[k]` from position `at[k - 1]` on: stage k begins with the first step that has that much behind it."""

    sizes: list[int] = setting([], doc="examples in a batch, by stage")
    at: list[float] = setting([], doc="where each stage but the first begins, in `unit`")
    unit: str = setting(
        "examples", choices=("steps", "examples", "share"), doc="what `at` counts; share: of the budget"
    )

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.sizes):
            raise SettingError(f"sizes={short(self.sizes)} must be whole numbers of at least 1")
        if len(self.at) != max(0, len(self.sizes) - 1):
            raise SettingError(
                f"at must have one position less than there are sizes: {len(self.sizes)} sizes need "
                f"{max(0, len(self.sizes) - 1)}, not {len(self.at)}"
            )
        refuse_unordered("at", self.at)
        if self.unit == "share" and self.at and self.at[-1] >= 1:
            raise SettingError(f"at={short(self.at)} must be shares of the budget, below 1, where unit=share")

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        position = {"steps": context.step - 1, "examples": context.examples, "share": context.share}[self.unit]
        return self.sizes[bisect.bisect_right(self.at, position)], state, None

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        if not self.sizes:
            raise SettingError(
                "batch_size.sizes is empty: give the sizes and where they begin, such as batch_size.sizes=[32,256] "
                "batch_size.at=[10000]"
            )
        refuse_larger(max(self.sizes), data_size, replacement, "sizes")
