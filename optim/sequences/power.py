"""A power of the step."""

from dataclasses import dataclass
from typing import Any

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Power(Sequence):
    """`1 / t^s`: the base learning rate of arXiv 2101.05471, times lr."""

    s: float = setting(0.5, minimum=0.0, lane=True, doc="exponent")

    def value(self, t: Any, hyper: Hyper) -> Any:
        return t ** -hyper["s"]

    def exponents(self) -> tuple[float | None, float | None]:
        return self.s, None
