"""Big-batch SGD: a batch that grows by a share of itself while noise outweighs the gradient."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from optim.adaptive import GradientTest
from optim.batch_size import Context
from optim.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class BigBatch(GradientTest):
    """`b + ceil(increment b)` when `||ghat||^2 <= tr Vhat / b`, else b: the norm test with eta = 1, answered by steps
    in place of a jump (De, Yadav, Jacobs, Goldstein 2017, algorithm 1).

    There the larger batch is drawn before the step is taken, and the increment is left open; here it is the next one's.
    """

    increment: float = setting(0.1, above=0.0, doc="share of the batch that is added when noise outweighs the gradient")

    def __post_init__(self) -> None:
        if self.allow_decrease:
            raise SettingError("allow_decrease=true is not for big_batch, which only says when to grow: use norm_test")

    def numerators(self) -> tuple[str, ...]:
        return ("variance_trace",)

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        return self.quotient(found, "variance_trace", 1.0)

    def target(self, found: Mapping[str, float], context: Context) -> float:
        b = context.size
        # 7% of 100 are 7, though a little more in floats.
        larger = b + max(1, math.ceil(min(self.increment * b, self.bound(context.data_size)) * (1 - 1e-12)))
        return larger if b <= super().target(found, context) else b
