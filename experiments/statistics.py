"""Intervals and verdicts.

Comparisons are paired by seed and made on logarithms; intervals are Student's t, medians by order statistics. A verdict
needs at least five seeds: with fewer it is never "holds" or "fails".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

LEVEL = 0.95
LEAST_SEEDS = 5
_ALMOST_ONE = 1 - 1e-15  # a correlation that has a finite arctanh

Answer = Literal["holds", "fails", "inconclusive", "not testable at this scale"]


@dataclass(frozen=True)
class Interval:
    """An estimate from n independent samples, with its confidence interval."""

    value: float
    low: float
    high: float
    n: int


UNKNOWN = Interval(math.nan, -math.inf, math.inf, 0)  # of no sample


def mean_interval(samples: Sequence[float], level: float = LEVEL) -> Interval:
    """The mean with Student's t interval. One sample, or one that is not finite, gives an interval without bounds."""
    values = np.asarray(samples, dtype=float)
    n = len(values)
    if n == 0:
        return UNKNOWN
    mean = float(values.mean())
    if n == 1 or not np.isfinite(values).all():
        return Interval(mean, -math.inf, math.inf, n)
    half = float(special.stdtrit(n - 1, 0.5 + level / 2) * values.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def paired_ratio(numerator: Sequence[float], denominator: Sequence[float], level: float = LEVEL) -> Interval:
    """The geometric mean of numerator_i / denominator_i, with the t interval of the mean of its logarithm.

    Raises ValueError for lists of different lengths or values that are not positive.
    """
    top, bottom = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    if top.shape != bottom.shape:
        raise ValueError(f"paired samples must be equally many, not {top.size} and {bottom.size}")
    if not ((top > 0) & (bottom > 0)).all():
        raise ValueError("ratios need positive values")
    with np.errstate(invalid="ignore"):  # inf - inf: both methods diverged
        return exp_interval(mean_interval(np.log(top) - np.log(bottom), level))


def exp_interval(logs: Interval) -> Interval:
    """The interval of a quantity whose logarithm has this interval."""
    return Interval(_exp(logs.value), _exp(logs.low), _exp(logs.high), logs.n)


def median_interval(samples: Sequence[float], level: float = LEVEL) -> Interval:
    """The median with the interval between two order statistics that covers it with at least this confidence.

    Too few samples for that (fewer than six at 95%) give an interval without bounds.
    """
    values = np.sort(np.asarray(samples, dtype=float))
    n = len(values)
    if n == 0:
        return UNKNOWN
    below = 0  # order statistics that may be left out on either side
    while special.bdtr(below, n, 0.5) <= (1 - level) / 2:
        below += 1
    middle = float(np.median(values))
    if below == 0:
        return Interval(middle, -math.inf, math.inf, n)
    return Interval(middle, float(values[below - 1]), float(values[n - below]), n)


def decide(interval: Interval, at_least: float, seeds: int | None = None) -> Answer:
    """Is the quantity at least the threshold? "holds" if the whole interval is, "fails" if none of it is.

    seeds: independent repetitions behind the interval, its n by default.
    """
    enough = (interval.n if seeds is None else seeds) >= LEAST_SEEDS
    if enough and interval.low >= at_least:
        return "holds"
    if enough and interval.high < at_least:
        return "fails"
    return "inconclusive"


def decide_at_most(interval: Interval, at_most: float) -> Answer:
    """Is the quantity at most the threshold? As `decide`, from the other side."""
    return decide(Interval(-interval.value, -interval.high, -interval.low, interval.n), -at_most)


def decide_share(answers: Sequence[Answer], at_least: float) -> tuple[Answer, Interval]:
    """Do at least this share of the cases hold, whatever the inconclusive ones turn out to be?

    The interval runs from the share that holds to the share that does not fail.
    """
    if not answers:
        return "not testable at this scale", Interval(math.nan, 0.0, 1.0, 0)
    n = len(answers)
    sure, failed = answers.count("holds"), answers.count("fails")
    interval = Interval(sure / n, sure / n, (n - failed) / n, n)
    if interval.low >= at_least:
        return "holds", interval
    return ("fails" if interval.high < at_least else "inconclusive"), interval


def all_of(answers: Sequence[Answer]) -> Answer:
    """One answer from several that must all hold: cases that cannot be tested do not count."""
    tested = [a for a in answers if a != "not testable at this scale"]
    if not tested:
        return "not testable at this scale"
    if "fails" in tested:
        return "fails"
    return "inconclusive" if "inconclusive" in tested else "holds"


def expected_best(values: Sequence[float], tried: int) -> float:
    """Median of the lowest of `tried` values drawn without replacement from the given ones, infinite ones included.

    What a search of so many trials finds, as in Dodge et al. (2019, arXiv 1909.03004), with the median in place of the
    mean because values may be infinite.
    """
    if not 1 <= tried <= len(values):
        raise ValueError(f"tried must be from 1 to the {len(values)} values, not {tried}")
    total, below = math.comb(len(values), tried), 0
    for rank, value in enumerate(sorted(values)):
        below += math.comb(len(values) - 1 - rank, tried - 1)  # draws whose lowest value is this one
        if 2 * below >= total:
            return float(value)
    raise AssertionError("all draws have been counted")


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN if either is constant or there are fewer than three points."""
    if len(x) < 3 or len(set(x)) == 1 or len(set(y)) == 1 or any(math.isnan(v) for v in (*x, *y)):
        return math.nan
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def rank_correlation_interval(x: Sequence[float], y: Sequence[float], level: float = LEVEL) -> Interval:
    """Spearman's rank correlation with the interval of Bonett and Wright (2000); n is the number of points.

    Without bounds for fewer than five points or where the correlation has no value.
    """
    value, n = rank_correlation(x, y), len(x)
    if n < 5 or math.isnan(value):
        return Interval(value, -math.inf, math.inf, n)
    middle = math.atanh(max(-_ALMOST_ONE, min(_ALMOST_ONE, value)))
    half = float(special.ndtri(0.5 + level / 2)) * math.sqrt((1 + value**2 / 2) / (n - 3))
    return Interval(value, math.tanh(middle - half), math.tanh(middle + half), n)


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks, equal values sharing the mean of theirs."""
    _, group, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf
