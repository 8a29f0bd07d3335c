"""Second-moment decays that make a weighted mean of the squares."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import setting

_LEAST = 1 << 12


@dataclass(frozen=True, kw_only=True)
class Weighted(Sequence):
    """`W_{t-1} / W_t` with `W_t = 1^p + ... + t^p`: v_t is then the mean of the squares with weights i^p (page on arXiv
    2101.05471, section 1, weighted AdaGrad). About 1 - (p + 1)/t, and 1 - 1/t for p = 0.
    """

    p: float = setting(0.0, minimum=0.0, doc="exponent of the weights")

    def value(self, t: Any, hyper: Hyper) -> Any:
        return 1 - self.complement(t, hyper)

    def complement(self, t: Any, hyper: Hyper) -> Any:
        index = np.asarray(t, dtype=np.int64)
        most = int(index.max())
        sums = _sums(self.p, max(_LEAST, 1 << (most - 1).bit_length()))
        share = index.astype(np.float64) ** self.p / sums[index - 1]
        return share if index.ndim else float(share)

    def exponents(self) -> tuple[float | None, float | None]:
        return 0.0, 1.0


@functools.lru_cache(maxsize=4)
def _sums(p: float, count: int) -> np.ndarray:
    """W_1, ..., W_count."""
    return np.cumsum(np.arange(1, count + 1, dtype=np.float64) ** p)
