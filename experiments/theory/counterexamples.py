"""One-dimensional problems on which Adam goes to the wrong end, their slopes step by step, and when it should turn.

Sections 1, 3 and 6 of the page on arXiv 2101.05471. A draw with slope c has the loss c x on [-1, 1] (Reddi, Kale, Kumar
2018) or, in the finite sum of Zhang et al. (arXiv 2208.09632), c x bent round to a minimum at -2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from experiments.theory.power_sum import power_sum
from optim.settings import SettingError

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Family:
    """A draw has slope `scale C` with probability `p = (1 + delta)/(C + 1)`, else `-scale`; x* = -1 on [-1, 1].

    Its mean slope is scale delta, so that in units of the small slope C is the large one and delta the mean.
    """

    C: float
    delta: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (self.C > 0 and 0 < self.delta < self.C and self.scale > 0):
            raise SettingError(
                f"C={self.C:g}, delta={self.delta:g}, scale={self.scale:g} are no counterexample: all must be above 0, "
                "and delta less than C"
            )

    @property
    def probability(self) -> float:
        """Of the large slope."""
        return (1 + self.delta) / (self.C + 1)

    @property
    def mean_slope(self) -> float:
        """E g: the slope of the objective."""
        return self.scale * self.delta

    @property
    def mean_square(self) -> float:
        """E g^2."""
        return self.scale**2 * (self.probability * self.C**2 + 1 - self.probability)

    @property
    def period(self) -> int:
        """Draws in a cycle, one of them large, where the cyclic form has this mean slope. Raises SettingError if that
        is no whole number.
        """
        period = round(1 / self.probability)
        if abs(period * self.probability - 1) > 1e-9:
            raise SettingError(f"a cycle would have {1 / self.probability:g} draws: use Family.cyclic(C, period)")
        return period

    @property
    def slope_per_cycle(self) -> float:
        """Of one large and period - 1 small draws."""
        return self.scale * (self.C - (self.period - 1))

    @classmethod
    def cyclic(cls, C: float, period: int, scale: float = 1.0) -> "Family":
        """The one whose cycle has so many draws, delta = (C + 1)/period - 1."""
        return cls(C, (C + 1) / period - 1, scale)


STOCHASTIC = Family(101, 0.02, 10)  # 1010 with probability 0.01, else -10
CYCLIC = Family.cyclic(101, 101, 10)  # 1010 when t mod 101 = 1, else -10
FAST = Family(10, 0.1)  # 10 with probability 0.1, else -1


# Slopes --------------------------------------------------------------------------------------------------------------


class _Drawn:
    """Slopes with a generator for each seed: those of a seed do not depend on the other seeds. Asked for step 1, it
    starts anew.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        if not len(seeds):
            raise SettingError("there are no seeds: give at least one")
        self.seeds, self._next = tuple(seeds), 0
        self._sources: list[np.random.Generator] = []

    def __call__(self, first: int, count: int) -> Array:
        """Of steps first to first + count - 1, (count, seeds)."""
        if first == 1:
            self._sources = [np.random.default_rng(seed) for seed in self.seeds]
        elif first != self._next:
            raise ValueError(f"the slopes of step {self._next} are next, not those of {first}")
        self._next = first + count
        return np.stack([self.draw(k, source, first, count) for k, source in enumerate(self._sources)], axis=1)

    def draw(self, k: int, source: np.random.Generator, first: int, count: int) -> Array:
        """Of the k-th seed, (count,)."""
        raise NotImplementedError


class Stochastic(_Drawn):
    """Means of batches of independent draws from a family."""

    def __init__(self, family: Family, seeds: Sequence[int], batch: int = 1) -> None:
        super().__init__(seeds)
        _refuse_batch(batch)
        self.family, self.batch = family, batch

    def draw(self, k: int, source: np.random.Generator, first: int, count: int) -> Array:
        p, large, small = self.family.probability, self.family.scale * self.family.C, -self.family.scale
        if self.batch == 1:
            return np.where(source.random(count) < p, large, small)
        return _means(source.binomial(self.batch, p, count), self.batch, large, small)


class Cyclic:
    """One large draw in every cycle; a batch is the next draws. A seed is the place in the cycle at which it begins:
    0, the large one, is the page's.
    """

    def __init__(self, family: Family, seeds: Sequence[int] = (0,), batch: int = 1) -> None:
        _refuse_batch(batch)
        self.family, self.starts, self.batch = family, np.asarray(seeds) % family.period, batch

    def __call__(self, first: int, count: int) -> Array:
        """Of steps first to first + count - 1, (count, seeds)."""
        bounds = np.arange(first - 1, first + count)[:, None] * self.batch + self.starts
        large = np.diff(-(-bounds // self.family.period), axis=0)  # of cycles begun before each bound
        return _means(large, self.batch, self.family.scale * self.family.C, -self.family.scale)


Sampling = Literal["reshuffled", "replacement"]


class FiniteSum(_Drawn):
    """Batch means over n functions, one of slope n, the others of -1: the problem `scalar_adam.BENT` (section 6).

    reshuffled: every pass over the functions is a fresh permutation, and the batch divides n. Raises SettingError.
    """

    def __init__(self, n: int, seeds: Sequence[int], batch: int = 1, sampling: Sampling = "reshuffled") -> None:
        super().__init__(seeds)
        _refuse_batch(batch)
        if n < 2:
            raise SettingError(f"a finite sum needs n of at least 2, not {n}")
        if sampling == "reshuffled" and n % batch:
            raise SettingError(f"batch={batch} does not divide n={n}: give one that does, or sampling=replacement")
        self.n, self.batch, self.sampling = n, batch, sampling
        self._large = [0] * len(self.seeds)  # by seed, the step of the pass under way that has the large slope

    def draw(self, k: int, source: np.random.Generator, first: int, count: int) -> Array:
        if self.sampling == "replacement":
            return _means(source.binomial(self.batch, 1 / self.n, count), self.batch, self.n, -1.0)
        per_pass = self.n // self.batch
        passes = np.arange(first - 1, first + count - 1) // per_pass
        # The pass under way was drawn with its first step.
        begun = (first - 1) % per_pass == 0
        fresh = int(passes[-1] - passes[0]) + begun
        drawn = source.integers(per_pass, size=fresh)
        large = drawn if begun else np.concatenate([[self._large[k]], drawn])
        self._large[k] = int(large[-1])
        at = (np.arange(first - 1, first + count - 1) % per_pass) == large[passes - passes[0]]
        return _means(at.astype(np.int64), self.batch, self.n, -1.0)


def _refuse_batch(batch: int) -> None:
    if batch < 1:
        raise SettingError(f"batch must be at least 1, not {batch}")


def _means(large: np.ndarray, batch: int, large_slope: float, small_slope: float) -> Array:
    """Of batches with so many large draws, (n,)."""
    return np.asarray((large * large_slope + (batch - large) * small_slope) / batch)


# Predictions, to leading order in delta ------------------------------------------------------------------------------


def flip_window(C: float, delta: float) -> float:
    """`W* = C/(2 delta)`: with a constant theta, Adam goes to x* once its window 1/(1 - theta) is longer than this
    (section 3, to leading order). theta* = 1 - 1/W*.
    """
    return C / (2 * delta)


def flip_theta(C: float, delta: float) -> float:
    """`theta* = 1 - 2 delta/C`, the same as a decay (section 3, to leading order)."""
    return 1 - 1 / flip_window(C, delta)


def flip_batch(C: float, delta: float, theta: float) -> float:
    """`b* = C (1 - theta)/(2 delta)`: the batch size above which Adam with a constant theta goes to x* (section 3, to
    leading order).
    """
    return flip_window(C, delta) * (1 - theta)


def reversal_time(C: float, delta: float, c0: float, r: float) -> float:
    """`t*(r) = [(c0 + (1 - c0) r) C/(2 delta)]^(1/r)`: with theta_t = 1 - (c0 + (1 - c0) r)/t^r the drift points to x*
    from this step on (section 3, to leading order). Where r = 0, its limit: inf if the window 1/c0 is below W*, else 0;
    inf beyond what a float holds.
    """
    ratio = math.log(_ratio(C, delta, c0, r))
    if r == 0:
        return math.inf if ratio >= 0 else 0.0
    return math.exp(ratio / r) if ratio / r < 700 else math.inf


def drift_sum(C: float, delta: float, c0: float, r: float, lr: float, s: float, steps: int) -> float:
    """`(delta/sqrt(E g^2)) sum_{t* < t <= steps} alpha_t (1 - (t*/t)^r)`: how far the drift carries after it has turned
    (section 3, to leading order). alpha_t = lr/t^s, t*(r) as above, E g^2 in units of the small slope. x* should be
    reached from 3 on.
    """
    turn, family = reversal_time(C, delta, c0, r), Family(C, delta)
    if turn >= steps:
        return 0.0
    first = math.floor(turn) + 1
    # (t*/t)^r = ratio t^-r, which is right for r = 0 too
    kept = power_sum(s, first, steps) - _ratio(C, delta, c0, r) * power_sum(s + r, first, steps)
    return delta / math.sqrt(family.mean_square) * lr * kept


def expected_regret(mean_of_x: Array, mean_slope: float) -> Array:
    """Average expected regret `mean slope (mean of x_1..x_t + 1)` against x* = -1: for means of the iterates, any shape
    (section 3).
    """
    return np.asarray(mean_slope * (np.asarray(mean_of_x) + 1))


def _ratio(C: float, delta: float, c0: float, r: float) -> float:
    """W* over the window that theta_t has at t = 1."""
    if not (C > 0 and delta > 0 and 0 < c0 <= 1 and 0 <= r <= 1):
        raise SettingError(f"C={C:g} and delta={delta:g} must be above 0, c0={c0:g} in (0, 1] and r={r:g} in [0, 1]")
    return (c0 + (1 - c0) * r) * flip_window(C, delta)
