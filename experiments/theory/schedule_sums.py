"""One pass over three schedules: sums, extremes and first exceptions, whole and by stretches near the horizon."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from experiments.theory.schedule_numbers import Array, Reader

STRETCHES = 16  # of the last octave (T/2, T], evenly spaced in log t
_PIECE = 1 << 16  # steps
_SLACK = 1e-12  # of a comparison that round-off may spoil, relative
_SEEN = 1e-6  # relative: what chi_t or alpha_t / sqrt(v_t) rises by, where numbers may be known to few digits
_ADDED = 0.01  # relative: what smaller rises of alpha_t / sqrt(v_t) may add up to
_ROUND = 4e-16  # the same of 1 minus a number that was given, absolute


@dataclass(frozen=True)
class Piece:
    """Steps t = after + 1, ..., last, (n,) each. beta_rest and theta_rest are 1 - beta_t and 1 - theta_t.

    late: it is part of a stretch. ends: a stretch ends, or the first one begins, after it.
    """

    after: int
    late: bool
    ends: bool
    t: Array
    alpha: Array
    beta_rest: Array
    theta_rest: Array


@dataclass
class Sums:
    """What the conditions are made of; a step of 0 means that there is none.

    With chi_t = alpha_t / sqrt(1 - theta_t) and u_t = alpha_t sqrt(1 - theta_t): `terms` is the sum of u_t, `alphas`
    of alpha_t, `log_weight` of -log theta_t from t = 2, and `excess` is C_0(T), the largest chi_t by its running
    minimum. Steps with alpha_t = 0 before the first other step have no chi: there are `idle` of them.

    Lists hold one number for each stretch, their means, or one for each of its ends, where T/2 is the first.
    """

    beta_rest: float = math.inf  # the smallest 1 - beta_t
    beta_at: int = 0
    beta_rises: int = 0
    theta_zero: int = 0  # t >= 2
    theta_falls: int = 0
    chi_rises: int = 0
    excess: float = 1.0
    largest_chi: float = 0.0
    step_grows: int = 0  # alpha_t > alpha_{t-1} sqrt(theta_t), t >= 2: at one step, or added up since some step
    step_growth: float = 0.0  # the largest ratio of both at one step
    idle: int = 0
    alpha_zero: int = 0  # after those
    terms: float = 0.0
    alphas: float = 0.0
    log_weight: float = 0.0
    alpha: float = 0.0  # the last one
    theta_rest: float = 0.0
    ends: list[int] = field(default_factory=list)
    excesses: list[float] = field(default_factory=list)
    largest_chis: list[float] = field(default_factory=list)
    beta_rests: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    mean_alpha: list[float] = field(default_factory=list)
    mean_term: list[float] = field(default_factory=list)
    mean_theta_rest: list[float] = field(default_factory=list)
    mean_log_ratio: list[float] = field(default_factory=list)  # of log D(t)
    _least_chi: float = math.inf
    _least_step: float = math.inf  # log of the least alpha_t / sqrt(v_t) at g_t = 0
    _before: tuple[float, float, float] | None = None
    _parts: Array = field(default_factory=lambda: np.zeros(6))

    def take(self, p: Piece) -> None:
        """Add a piece that follows the last one."""
        alpha, rest, n = p.alpha, p.theta_rest, len(p.t)
        before = self._before or (float(alpha[0]), float(p.beta_rest[0]), float(rest[0]))
        with np.errstate(all="ignore"):
            root = np.sqrt(rest)
            terms = alpha * root
            self._take_chi(p, alpha / root)
            self._take_beta(p, np.concatenate(([before[1]], p.beta_rest[:-1])))
            last = np.concatenate(([before[2]], rest[:-1]))
            self.theta_falls = self.theta_falls or _first(rest > last * (1 + _SLACK) + _ROUND, p)
            later = p.t > 1
            self.theta_zero = self.theta_zero or _first((rest >= 1) & later, p)
            allowed = np.concatenate(([before[0]], alpha[:-1])) * np.sqrt(1 - rest)
            ratios = np.where(later & (alpha > 0), alpha / allowed, 0.0)
            self.step_growth = max(self.step_growth, float(ratios.max()))
            logs = np.where(later, -np.log1p(-rest), 0.0)
            steps = np.log(alpha) + (self.log_weight + np.cumsum(logs)) / 2
            least = np.minimum(np.minimum.accumulate(steps), self._least_step)
            grows = (alpha > allowed * (1 + _SEEN)) | (steps > least + _ADDED)
            self.step_grows = self.step_grows or _first(grows & later, p)
            self._least_step = float(least[-1])
            ratio = 0.0
            if p.late:
                ratio = float(np.log((self.terms + np.cumsum(terms)) / (p.t * alpha)).sum())
            added = [n, p.t.sum(), alpha.sum(), terms.sum(), rest.sum(), ratio]
            self._parts = self._parts + np.array(added, dtype=np.float64)
            self.terms += float(terms.sum())
            self.alphas += float(alpha.sum())
            self.log_weight += float(logs.sum())
        self.alpha, self.theta_rest = float(alpha[-1]), float(rest[-1])
        self._before = (self.alpha, float(p.beta_rest[-1]), self.theta_rest)
        if p.ends:
            self._end(p.after + n)

    @property
    def unfitted(self) -> str:
        """Why alpha_t has no exponents near the horizon, or nothing."""
        if self.idle < self.ends[0]:
            return ""
        return f"alpha_t is 0 for the first {self.idle} steps, half the horizon or more, so nothing can be fitted"

    def _take_chi(self, p: Piece, chi: Array) -> None:
        started = np.ones(len(chi), dtype=bool)
        if self._least_chi == math.inf:
            started = np.logical_or.accumulate(p.alpha > 0)
            self.idle += int((~started).sum())
        self.alpha_zero = self.alpha_zero or _first(started & (p.alpha == 0), p)
        least = np.minimum(np.minimum.accumulate(np.where(started, chi, math.inf)), self._least_chi)
        excess = np.where(started & (chi > least), chi / least, 1.0)
        self.chi_rises = self.chi_rises or _first(excess > 1 + _SEEN, p)
        self.excess = max(self.excess, float(excess.max()))
        self.largest_chi = max(self.largest_chi, float(chi.max()))
        self._least_chi = float(least[-1])

    def _take_beta(self, p: Piece, before: Array) -> None:
        self.beta_rises = self.beta_rises or _first(p.beta_rest < before * (1 - _SLACK) - _ROUND, p)
        k = int(np.argmin(p.beta_rest))
        if p.beta_rest[k] < self.beta_rest:
            self.beta_rest, self.beta_at = float(p.beta_rest[k]), p.after + 1 + k

    def _end(self, at: int) -> None:
        count, *sums = self._parts
        if self.ends:
            names = (self.times, self.mean_alpha, self.mean_term, self.mean_theta_rest, self.mean_log_ratio)
            for means, total in zip(names, sums, strict=True):
                means.append(float(total / count))
        self._parts = np.zeros(6)
        self.ends.append(at)
        self.excesses.append(self.excess)
        self.largest_chis.append(self.largest_chi)
        self.beta_rests.append(self.beta_rest)


def _first(where: Any, piece: Piece) -> int:
    """The first step of a piece at which it is so, or 0."""
    return piece.after + 1 + int(np.argmax(where)) if where.any() else 0


def pieces(
    alpha: Reader, beta_rest: Reader, theta_rest: Reader, horizon: int, told: Callable[[int], object] | None
) -> Iterator[Piece]:
    """All steps up to the horizon; `told` hears how many of them were just taken."""
    middle = horizon // 2
    ends = {middle, *(round(middle * (horizon / middle) ** (k / STRETCHES)) for k in range(1, STRETCHES + 1))}
    for after, last in pairwise(sorted({*range(0, horizon, _PIECE), *ends})):
        t = np.arange(after + 1, last + 1, dtype=np.float64)
        numbers = alpha(after, last), beta_rest(after, last), theta_rest(after, last)
        yield Piece(after, after >= middle, last in ends, t, *numbers)
        if told:
            told(last - after)
