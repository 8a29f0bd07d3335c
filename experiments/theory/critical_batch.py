"""The critical batch size: how many examples a target costs as the batch grows, and where that begins to rise.

Bounds of the form `gap = A M/N + B/sqrt(N)` (batch size M, N examples) need `N(M) ~ N_0 (1 + M/M*)` examples for a gap
eps, with the critical batch `M* = B^2/(A eps)`; see section 2 of docs/adagrad-anisotropic.md (arXiv 2406.15244).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_BEYOND = 1000.0  # a critical batch farther than this factor outside the batch sizes cannot be told from none
_SCAN, _ROUNDS = 400, 4  # points of a scan, and how often it is repeated around its best one
_FINE = 4000  # points of the one scan of `criticals`: half a percent apart for sizes within a factor of 1,000
LEAST_GAP = 1e-12  # f* is not known any better, so that rounding may even make a gap negative


@dataclass(frozen=True)
class Fit:
    """`N(M) = examples (1 + M/critical)`, by least squares on log N.

    examples: N_0, the cost of small batches. critical: M*; 0 where N grows like M from the smallest batch size on (N_0
    is then NaN), inf where N does not grow. error: root mean square of the residuals of log N.
    """

    examples: float
    critical: float
    error: float

    def at(self, batch_size: float) -> float:
        """N at this batch size; NaN where M* is 0."""
        return self.examples * (1 + batch_size / self.critical) if self.critical else math.nan


def fit(batch_sizes: ArrayLike, examples: ArrayLike) -> Fit:
    """Fit the law to N examples at batch sizes M. Raises ValueError for fewer than three sizes or N that are not
    positive and finite.
    """
    sizes, needed = np.asarray(batch_sizes, dtype=float), np.asarray(examples, dtype=float)
    if len(set(sizes.tolist())) < 3 or sizes.shape != needed.shape:
        raise ValueError("the law has two parameters: it needs N at three batch sizes or more")
    if not ((sizes > 0) & np.isfinite(sizes) & (needed > 0) & np.isfinite(needed)).all():
        raise ValueError("batch sizes and numbers of examples must be positive and finite")
    x, y = np.log(sizes), np.log(needed)
    first, last = x.min() - math.log(_BEYOND), x.max() + math.log(_BEYOND)
    best, width = (first + last) / 2, (last - first) / 2
    for _ in range(_ROUNDS):  # in log M*; log N_0 is then a mean
        centers = np.linspace(max(best - width, first), min(best + width, last), _SCAN)
        off = y[:, None] - np.log1p(np.exp(x[:, None] - centers))
        best = float(centers[off.var(axis=0).argmin()])
        width = centers[1] - centers[0]
    if best <= first:
        return Fit(math.nan, 0.0, float((y - x).std()))
    if best >= last:
        return Fit(math.exp(y.mean()), math.inf, float(y.std()))
    off = y - np.log1p(np.exp(x - best))
    return Fit(math.exp(off.mean()), math.exp(best), float(off.std()))


def criticals(batch_sizes: ArrayLike, examples: np.ndarray) -> np.ndarray:
    """M* of each row of `examples` (rows, sizes), as `fit` finds it but to half a percent: 0 and inf where it does."""
    x, y = np.log(np.asarray(batch_sizes, dtype=float)), np.log(examples)
    centers = np.linspace(x.min() - math.log(_BEYOND), x.max() + math.log(_BEYOND), _FINE)
    law = np.log1p(np.exp(x[:, None] - centers))
    law -= law.mean(axis=0)
    best = ((law**2).sum(axis=0) - 2 * (y @ law)).argmin(axis=1)  # the squared error, up to what does not depend on M*
    found = np.exp(centers[best])
    found[best == 0], found[best == _FINE - 1] = 0.0, np.inf
    return np.asarray(found)


def slope(batch_sizes: ArrayLike, examples: ArrayLike) -> float:
    """Least-squares slope of log N against log M: 0 where a batch costs no examples, 1 where N grows like M."""
    return float(np.polyfit(np.log(batch_sizes), np.log(examples), 1)[0])


def predicted(noise: float, smoothness: float, gap: float) -> float:
    """The critical batch `noise^2/(smoothness gap)` up to a constant, in which the size of the domain cancels.

    For AdaGrad noise = ||sigma||_1 and smoothness = ||L||_1, for SGD ||sigma||_2 and the largest eigenvalue; gap: the
    target, as a difference of objective values. inf for a target of 0.
    """
    return noise**2 / (smoothness * gap) if smoothness * gap > 0 else math.inf


def steps_to(steps: ArrayLike, gaps: ArrayLike, target: float) -> float:
    """The first step after which the gap is at most `target`, from a record at some steps; inf if none is.

    steps: increasing. Between two recorded steps the gap is taken to be a line in log-log, and the crossing is rounded
    up to a whole step, so that it is exact where every step is recorded. Gaps below LEAST_GAP count as that.
    """
    at, values = np.asarray(steps, dtype=float), np.maximum(np.asarray(gaps, dtype=float), LEAST_GAP)
    below = np.flatnonzero(values <= target)
    if not len(below):
        return math.inf
    k = int(below[0])
    if k == 0 or at[k - 1] <= 0:
        return float(at[k])
    before, after = values[k - 1], values[k]
    share = math.log(before / target) / math.log(before / after)
    crossing = at[k - 1] * (at[k] / at[k - 1]) ** share
    return float(min(math.ceil(crossing - 1e-9), at[k]))
