"""The convex bound of AdaGrad on a box, and whether measured gaps have its form `a/T + b/sqrt(M T)`.

M is the batch size and T the number of steps; see section 2 of the page on arXiv 2406.15244.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

_SPAN, _SCAN = 18.0, 121  # of log(b/a) about where both terms are alike, and points on it
_ROUNDS = 4  # how often the scan is repeated around its best point


@dataclass(frozen=True)
class Form:
    """`a/T^bias + b/(M T)^noise` with a, b >= 0. r_squared: 1 - residuals/scatter, of the log of the gaps."""

    a: float
    b: float
    bias: float
    noise: float
    r_squared: float

    def at(self, batch_size: float, steps: float) -> float:
        """The gap that the form gives; an infinite batch size is the exact gradient."""
        return float(self.a * steps**-self.bias + self.b * (batch_size * steps) ** -self.noise)


def fit(
    batch_sizes: Sequence[float],
    steps: Sequence[float],
    gaps: Sequence[float],
    bias: float = 1.0,
    noise: float = 0.5,
) -> Form:
    """Least squares on the log of the gaps. A batch size may be infinite, for the exact gradient.

    Raises ValueError for fewer than three cells, and for values that are not positive, or not finite.
    """
    sizes, times, found = (np.asarray(v, dtype=float) for v in (batch_sizes, steps, gaps))
    if not sizes.shape == times.shape == found.shape or len(found) < 3:
        raise ValueError("the form needs batch sizes, steps and gaps of three cells or more, equally many of each")
    if not ((sizes > 0) & (times > 0) & (found > 0) & np.isfinite(times * found)).all():
        raise ValueError("batch sizes, steps and gaps must be positive, steps and gaps finite")
    terms, logs = (times**-bias, (sizes * times) ** -noise), np.log(found)
    shapes = [(1.0, 0.0)]  # a and b up to a factor, for which there is a formula
    if terms[1].any():
        shapes.append((1.0, _ratio(terms, logs)))
    if terms[1].all():
        shapes.append((0.0, 1.0))
    off = [logs - np.log(a * terms[0] + b * terms[1]) for a, b in shapes]
    best = min(range(len(shapes)), key=lambda k: off[k].var())
    factor, scatter = math.exp(off[best].mean()), float(logs.var())
    r_squared = 1 - float(off[best].var()) / scatter if scatter > 0 else math.nan
    return Form(factor * shapes[best][0], factor * shapes[best][1], bias, noise, r_squared)


def _ratio(terms: tuple[np.ndarray, np.ndarray], logs: np.ndarray) -> float:
    """The best b/a, by a scan that is repeated around its best point."""
    even = math.log(terms[0].mean() / terms[1].mean())
    best, reach = even, _SPAN
    for _ in range(_ROUNDS):
        ratios = np.linspace(best - reach, best + reach, _SCAN)
        off = logs - np.log(terms[0] + np.exp(ratios)[:, None] * terms[1])
        best, reach = float(ratios[off.var(axis=1).argmin()]), 2 * reach / (_SCAN - 1)
    return math.exp(best)


def gap_bound(smoothness_l1: float, noise_l1: float, side: float, batch_size: float, steps: float) -> float:
    """`4 ||L||_1 D^2/T + 2 sqrt(2) ||sigma||_1 D/sqrt(M T)`, which bounds `E f(mean iterate) - f*` for AdaGrad with
    learning rate D/sqrt(2) on a box of side D that holds a minimiser; M = inf for the exact gradient.
    """
    bias = 4 * smoothness_l1 * side**2 / steps
    return bias + 2 * math.sqrt(2) * noise_l1 * side / math.sqrt(batch_size * steps)


def logistic_noise_in_box(rows: Any, half: float) -> np.ndarray:
    """sigma_j, (d,), that no point of the box [-half, half]^d exceeds in logistic regression on `rows` (n, d).

    A margin is at most `half ||x||_1` there, so the slope of its loss is at most `s = 1/(1 + exp(-half ||x||_1))`, and
    the variance of a gradient's coordinate is at most its second moment `mean_i x_ij^2 s_i^2`. Rows may be sparse.
    """
    x = sparse.csr_array(rows, dtype=np.float64)
    slopes = 1 / (1 + np.exp(-half * np.asarray(abs(x).sum(axis=1)).ravel()))
    return np.asarray(np.sqrt(x.power(2).T @ slopes**2 / x.shape[0]))
