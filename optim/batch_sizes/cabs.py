"""CABS: the batch size coupled to the learning rate and the loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from optim.adaptive import AdaptiveRule, Undecided, ratio
from optim.batch_size import Context
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Cabs(AdaptiveRule):
    """`b = ceil(lr tr Vhat / F)` with the mean loss F of the last batch and the learning rate of the step to come
    (Balles, Romero, Hennig 2017). It takes 0 for the smallest loss there can be, and may shrink.

    The numerator's smoothing is of tr Vhat, the denominator's of F.
    """

    denominators: ClassVar[tuple[str, ...]] = ("loss",)

    allow_decrease: bool = setting(True, doc="let the size fall again, down to the first one")

    def statistics(self) -> tuple[str, ...]:
        return ("variance_trace",)

    def measured(self, context: Context) -> dict[str, float]:
        assert context.loss is not None
        return {**super().measured(context), "loss": context.loss[0]}

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        if found["loss"] < 0:
            raise Undecided("the loss is negative, and CABS is for losses of at least 0")
        return context.learning_rate[0] * ratio(found["variance_trace"], found["loss"])
