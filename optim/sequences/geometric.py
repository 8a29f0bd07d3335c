"""A geometric decay."""

from dataclasses import dataclass
from typing import Any

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Geometric(Sequence):
    """`first * ratio^t`: AdamNC's first-moment decay."""

    first: float = setting(0.9, minimum=0.0, lane=True, doc="what it would be at t = 0")
    ratio: float = setting(0.999, above=0.0, maximum=1.0, lane=True, doc="of each number to the one before")

    def value(self, t: Any, hyper: Hyper) -> Any:
        return hyper["first"] * hyper["ratio"] ** t
