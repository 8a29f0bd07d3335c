"""From below towards one, by a power of the step."""

from dataclasses import dataclass
from typing import Any

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class TowardsOne(Sequence):
    """`1 - (c + (1 - c) r) / t^r`: the second-moment decay of arXiv 2101.05471's experiments. r = 0 is the constant
    1 - c, r = 1 is 1 - 1/t, under which v_t is the mean of the squares so far.
    """

    r: float = setting(1.0, minimum=0.0, maximum=1.0, lane=True, doc="exponent")
    c: float = setting(0.001, above=0.0, maximum=1.0, lane=True, doc="what r = 0 leaves below one")

    def value(self, t: Any, hyper: Hyper) -> Any:
        return 1 - self.complement(t, hyper)

    def complement(self, t: Any, hyper: Hyper) -> Any:
        r, c = hyper["r"], hyper["c"]
        return (c + (1 - c) * r) * t**-r

    def exponents(self) -> tuple[float | None, float | None]:
        return 0.0, self.r
