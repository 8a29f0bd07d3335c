"""Adam's second-moment decay with the correction of its bias folded in."""

from dataclasses import dataclass
from typing import Any

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class BiasCorrected(Sequence):
    """`b (1 - b^(t-1)) / (1 - b^t)`: with v_0 = 0, v_t is Adam's v_t / (1 - b^t) (page on arXiv 2101.05471, section 1).
    The weights w_i = b^-i of a weighted AdaGrad give the same. It is 0 at t = 1 and tends to b.
    """

    b: float = setting(0.999, minimum=0.0, below=1.0, lane=True, doc="decay that it tends to")

    def value(self, t: Any, hyper: Hyper) -> Any:
        b = hyper["b"]
        return b * (1 - b ** (t - 1)) / (1 - b**t)

    def complement(self, t: Any, hyper: Hyper) -> Any:
        b = hyper["b"]
        return (1 - b) / (1 - b**t)

    def exponents(self) -> tuple[float | None, float | None]:
        return 0.0, 0.0
