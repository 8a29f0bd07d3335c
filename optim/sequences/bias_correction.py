"""Adam's corrections of the step size for bias."""

from dataclasses import dataclass
from typing import Any

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class BiasCorrection(Sequence):
    """`sqrt(1 - b2^t) / (1 - b1^t)`: what Adam's corrections of both moments multiply the step by (Kingma and Ba 2015,
    section 2). With b2 = 0 it is the correction of the first moment alone.
    """

    b1: float = setting(0.9, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of gradients")
    b2: float = setting(0.0, minimum=0.0, below=1.0, lane=True, doc="decay of the mean of squared gradients")

    def value(self, t: Any, hyper: Hyper) -> Any:
        return (1 - hyper["b2"] ** t) ** 0.5 / (1 - hyper["b1"] ** t)

    def exponents(self) -> tuple[float | None, float | None]:
        return 0.0, None
