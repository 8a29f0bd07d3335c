"""Generic Adam on a non-convex bowl with additive noise, without a network and without the engine.

Section 5 of the page on arXiv 2101.05471: `f(x) = sum_i x_i^2/(1 + x_i^2)`, whose gradient has N(0, noise^2/b) noise in
each coordinate for batches of b. A replica is one sequence of standard normal numbers; all lanes see it, whatever their
batch size and method. The recursion is compiled, float64, and equal to `optim.rules.generic_adam` step by step; the
three sequences come from `optim.sequences` in blocks of steps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from optim.sequence import Sequence as Numbers
from optim.sequence import refuse_out_of_range
from optim.settings import SettingError

Array = np.ndarray[Any, np.dtype[np.float64]]

_BLOCK = 1024  # steps: the noise of a block stays in the cache while all lanes go through it
_EXPONENT = 4 / 3  # of the gradient norm in the bound


@dataclass(frozen=True)
class Lane:
    """One run of Generic Adam for so many steps, from v_0: m_0 = 0, x_1 = start in every coordinate."""

    batch_size: int
    steps: int
    lr: float
    alpha: Numbers
    beta: Numbers
    theta: Numbers
    v_0: float = 1e-8

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.steps < 1:
            raise SettingError(f"a lane needs a batch and a step at least, not {self.batch_size} and {self.steps}")
        if not (0 <= self.lr < math.inf and 0 <= self.v_0 < math.inf):
            raise SettingError(f"lr and v_0 must be finite and at least 0, not {self.lr:g} and {self.v_0:g}")


@dataclass(frozen=True)
class Path:
    """What a lane was like, at the P recorded numbers of steps K that it reached, each (P,), and by target.

    steps: K. norms: ||grad f|| after K steps. losses: f after K steps. mean_squares: the mean of ||grad f||^2 over the
    first K points x_1, ..., x_K, exact at every step. mean_powers: the same of ||grad f||^(4/3), as in the bound.
    first, settled: the first number of steps after which the norm is below each target, and after which it stays below
    it to the end (T,); inf where there is none.
    """

    steps: np.ndarray
    norms: Array
    losses: Array
    mean_squares: Array
    mean_powers: Array
    first: Array
    settled: Array

    def recent_norms(self) -> Array:
        """Root mean square of the gradient norm over the points between each recorded K and the one before, (P,)."""
        sums = np.concatenate([[0.0], self.steps * self.mean_squares])
        return np.asarray(np.sqrt(np.diff(sums) / np.diff(np.concatenate([[0], self.steps]))))

    def bound_norms(self) -> Array:
        """`(mean of ||grad f||^(4/3))^(3/4)`, the root of what the bound is about, over the first K points, (P,)."""
        return np.asarray(self.mean_powers ** (1 / _EXPONENT))


def normals(source: np.random.Generator, dimension: int) -> Iterator[Array]:
    """Blocks of standard normal numbers, each (1024, dimension), without end."""
    while True:
        yield source.standard_normal((_BLOCK, dimension))


def follow(
    lanes: Sequence[Lane],
    blocks: Iterator[Array],
    dimension: int,
    noise: float,
    start: float,
    at: Sequence[int],
    targets: Sequence[float],
) -> list[Path]:
    """Run all lanes of one replica. `blocks` holds the standardised noise, (steps, dimension) in all, in any blocks.

    noise: the standard deviation of one draw's gradient. at: numbers of steps K >= 1 at which to record; a lane records
    those up to its own. Raises ValueError for noise that ends before a lane does.
    """
    last, done = max(lane.steps for lane in lanes), 0
    states = [_State.of(lane, dimension, start, at, len(targets)) for lane in lanes]
    limits = np.square(np.asarray(targets, dtype=np.float64))
    while done < last:
        z = next(blocks, None)
        if z is None:
            raise ValueError(f"the noise ends after {done} steps and a lane has {last}")
        for lane, state in zip(lanes, states, strict=True):
            count = min(len(z), lane.steps - done)
            if count > 0:
                t = np.arange(done + 1, done + count + 1)
                numbers = _numbers(lane, t)
                scale = noise / math.sqrt(lane.batch_size)
                _advance(*state.arrays(), done, numbers, np.ascontiguousarray(z[:count]), scale, state.at, limits)
        done += len(z)
    for state in states:
        _look(*state.arrays(), state.steps, state.at, limits)
    return [state.path() for state in states]


@dataclass(frozen=True)
class _State:
    """What the compiled loop reads and writes. seen: norm squared, loss and both sums at the recorded steps, (P, 4)."""

    steps: int
    at: np.ndarray
    moments: Array  # x, m, v: (3, d)
    totals: Array  # sums of ||grad||^2 and of its power: (2,)
    seen: Array
    first: Array = field(repr=False)
    settled: Array = field(repr=False)

    @classmethod
    def of(cls, lane: Lane, dimension: int, start: float, at: Sequence[int], targets: int) -> "_State":
        reached = np.array([k for k in sorted(at) if 1 <= k <= lane.steps], dtype=np.int64)
        moments = np.zeros((3, dimension))
        moments[0], moments[2] = start, lane.v_0
        first, settled = np.full(targets, np.inf), np.zeros(targets)
        return cls(lane.steps, reached, moments, np.zeros(2), np.zeros((len(reached), 4)), first, settled)

    def arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        return self.moments, self.totals, self.seen, self.first, self.settled

    def path(self) -> Path:
        square, loss, sum_of_squares, sum_of_powers = self.seen.T
        settled = np.where(self.settled <= self.steps, self.settled, np.inf)
        means = sum_of_squares / self.at, sum_of_powers / self.at
        return Path(self.at, np.sqrt(square), loss, *means, self.first, settled)


def _numbers(lane: Lane, t: np.ndarray) -> Array:
    """-lr alpha_t, beta_t, 1 - beta_t, theta_t and 1 - theta_t, (steps, 5)."""
    for name, sequence in (("alpha", lane.alpha), ("beta", lane.beta), ("theta", lane.theta)):
        refuse_out_of_range(name, sequence.values(t), t)
    columns = (
        -lane.lr * lane.alpha.values(t),
        lane.beta.values(t),
        lane.beta.complements(t),
        lane.theta.values(t),
        lane.theta.complements(t),
    )
    return np.ascontiguousarray(np.stack(columns, axis=1))


@numba.njit(cache=True, fastmath={"reassoc"})
def _square_sum(values: Array) -> float:
    """The order of this sum is free, so that it can be done several at a time."""
    total = 0.0
    for i in range(len(values)):
        total += values[i] * values[i]
    return total


@numba.njit(cache=True, error_model="numpy")
def _observe(
    x: Array, square: float, steps: int, totals: Array, seen: Array, first: Array, settled: Array, at: np.ndarray,
    limits: Array, place: int,
) -> int:  # fmt: skip
    """Write down the point after so many steps; the new place in `at`."""
    for k in range(len(limits)):
        if not square < limits[k]:  # not-a-number never gets there
            settled[k] = steps + 1
        elif first[k] == np.inf:
            first[k] = steps
    if place < len(at) and at[place] == steps:
        loss = 0.0
        for i in range(len(x)):
            loss += x[i] * x[i] / (1 + x[i] * x[i])
        seen[place] = (square, loss, totals[0], totals[1])
        place += 1
    return place


@numba.njit(cache=True, error_model="numpy")
def _gradient(x: Array, out: Array) -> None:
    for i in range(len(x)):
        q = 1 + x[i] * x[i]
        out[i] = 2 * x[i] / (q * q)


@numba.njit(cache=True, error_model="numpy")
def _advance(
    moments: Array, totals: Array, seen: Array, first: Array, settled: Array, done: int, numbers: Array, z: Array,
    scale: float, at: np.ndarray, limits: Array,
) -> None:  # fmt: skip
    """Steps done + 1, ..., done + len(z) of one lane, in place."""
    x, m, v = moments[0], moments[1], moments[2]
    gradient = np.empty_like(x)
    place = int(np.searchsorted(at, done))
    for t in range(len(z)):
        _gradient(x, gradient)
        square = _square_sum(gradient)
        place = _observe(x, square, done + t, totals, seen, first, settled, at, limits, place)
        totals[0] += square
        totals[1] += square ** (2 / 3)
        step, beta, fresh, theta, new = numbers[t]
        draw = z[t]
        for i in range(len(x)):
            g = gradient[i] + scale * draw[i]
            m[i] = m[i] * beta + g * fresh
            v[i] = v[i] * theta + g * g * new
            x[i] += (m[i] / math.sqrt(v[i]) if v[i] > 0 else 0.0) * step


@numba.njit(cache=True, error_model="numpy")
def _look(
    moments: Array, totals: Array, seen: Array, first: Array, settled: Array, steps: int, at: np.ndarray, limits: Array
) -> None:
    """Write down the last point."""
    gradient = np.empty_like(moments[0])
    _gradient(moments[0], gradient)
    place = int(np.searchsorted(at, steps))
    _observe(moments[0], _square_sum(gradient), steps, totals, seen, first, settled, at, limits, place)
