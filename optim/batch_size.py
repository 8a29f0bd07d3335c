"""The contract of a batch-size rule: how many examples the next step takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from optim.settings import SettingError


@dataclass(frozen=True)
class Context:
    """What a batch-size rule may look at, just before a step.

    step: t of the step to come, from 1. examples: seen so far. share: of the budget, in [0, 1). size: of the last batch
    (0 before the first). learning_rate: of the step to come, by lane. loss: mean loss of the last batch, by lane (None
    before the first). data_size: number of examples (None for a stream). statistics: what the rule asked for by `needs`
    at the last step.
    """

    step: int
    examples: int
    share: float
    size: int
    learning_rate: tuple[float, ...]
    loss: tuple[float, ...] | None
    data_size: int | None
    statistics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BatchSizeRule:
    """Base of batch-size rules.

    `shared`: the size depends on the step and the budget alone, so that lanes can share batches; a rule that looks at
    losses or gradients sets it to False and runs one lane at a time. `whole`: every step takes the whole data set.
    """

    version: ClassVar[int] = 1
    shared: ClassVar[bool] = True
    whole: ClassVar[bool] = False
    estimate, parts = "exact", 8  # no fields: how statistics are taken, and of how many micro-batches

    def init(self) -> dict[str, Any]:
        """The state before the first step: plain numbers and lists, kept in checkpoints as JSON."""
        return {}

    def content(self) -> dict[str, str]:
        """For the identity of a run: digests that replace the settings which name files."""
        return {}

    def statistics(self) -> tuple[str, ...]:
        """Names of all gradient statistics that the rule may want in a run: by default those of the first step."""
        return self.needs(1)

    def needs(self, step: int, state: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """Names of the gradient statistics that the rule wants of the batch of this step.

        state: what `next` returned for this step; without it, what a run would want that is still growing.
        """
        return ()

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        """The size of the next batch, the new state, and a note for the record (or None)."""
        raise NotImplementedError

    def constant(self, data_size: int | None) -> int | None:
        """The size of every batch, if it is the same throughout."""
        return None

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        """Raise SettingError if the rule cannot work on a data set of this size."""


def refuse_larger(size: int, data_size: int | None, replacement: bool, name: str = "size") -> None:
    """Raise SettingError for a batch that is larger than the data when sampling without replacement.

    `name` is the setting that holds the size.
    """
    if data_size is not None and not replacement and size > data_size:
        raise SettingError(
            f"batch_size.{name}={size} is larger than the data set ({data_size} examples): without replacement use at "
            f"most {data_size}, or sampling=replacement"
        )
