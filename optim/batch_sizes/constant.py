"""The same batch size at every step."""

from dataclasses import dataclass
from typing import Any

from optim.batch_size import BatchSizeRule, Context, refuse_larger
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Constant(BatchSizeRule):
    """`size` examples at every step."""

    size: int = setting(256, minimum=1, doc="examples in a batch")

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        return self.size, state, None

    def constant(self, data_size: int | None) -> int | None:
        return self.size

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        refuse_larger(self.size, data_size, replacement)
