"""The whole data set at every step: the exact gradient."""

from dataclasses import dataclass
from typing import Any, ClassVar

from optim.batch_size import BatchSizeRule, Context
from optim.settings import SettingError


@dataclass(frozen=True, kw_only=True)
class Full(BatchSizeRule):
    """Every example once, at every step."""

    whole: ClassVar[bool] = True

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        assert context.data_size is not None
        return context.data_size, state, None

    def constant(self, data_size: int | None) -> int | None:
        return data_size

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        if data_size is None:
            raise SettingError("batch_size=full needs a task with finitely many examples, not a stream")
