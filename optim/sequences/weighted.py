"""Second-moment decays that make a weighted mean of the squares."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import setting

_KNOWN = 1 << 12  # steps whose sums are added up; later ones are expanded, to 1e-13


@dataclass(frozen=True, kw_only=True)
class Weighted(Sequence):
    """`W_{t-1} / W_t` with `W_t = 1^p + ... + t^p`: v_t is then the mean of the squares with weights i^p (page on arXiv
    2101.05471, section 1, weighted AdaGrad). About 1 - (p + 1)/t, and 1 - 1/t for p = 0.
    """

    p: float = setting(0.0, minimum=0.0, maximum=100.0, doc="exponent of the weights")

    def value(self, t: Any, hyper: Hyper) -> Any:
        return 1 - self.complement(t, hyper)

    def complement(self, t: Any, hyper: Hyper) -> Any:
        steps, known = np.asarray(t, dtype=np.float64), _over_last(self.p)
        early = known[np.minimum(steps, _KNOWN).astype(np.int64) - 1]
        later = np.maximum(steps, _KNOWN)
        rest = (known[-1] - _expanded(self.p, _KNOWN)) * (_KNOWN / later) ** self.p
        share = 1 / np.where(steps <= _KNOWN, early, _expanded(self.p, later) + rest)
        return share if share.ndim else float(share)

    def exponents(self) -> tuple[float | None, float | None]:
        return 0.0, 1.0


@functools.lru_cache(maxsize=16)
def _over_last(p: float) -> np.ndarray:
    """W_t / t^p for the first steps: 1, then 1 + W_{t-1}/(t-1)^p (1 - 1/t)^p, which does not overflow as W_t does."""
    found = [1.0]
    for t in range(2, _KNOWN + 1):
        found.append(1.0 + found[-1] * (1 - 1 / t) ** p)
    return np.array(found)


def _expanded(p: float, t: Any) -> Any:
    """W_t / t^p by the formula of Euler and Maclaurin, but for a constant over t^p."""
    return t / (p + 1) + 0.5 + p / (12 * t) - p * (p - 1) * (p - 2) / (720 * t**3)
