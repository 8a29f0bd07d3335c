"""The same number at every step."""

from dataclasses import dataclass
from typing import Any

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import required


@dataclass(frozen=True, kw_only=True)
class Constant(Sequence):
    """The number `at` at every step."""

    at: float = required(lane=True, doc="the number")

    def value(self, t: Any, hyper: Hyper) -> Any:
        return hyper["at"]

    def exponents(self) -> tuple[float | None, float | None]:
        return 0.0, 0.0
