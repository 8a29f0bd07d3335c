"""Generic Adam, AMSGrad and ADOPT on one coordinate, compiled: many methods and seeds for tens of millions of steps.

The recursions of sections 1 and 6 of the page on arXiv 2101.05471, in float64, with the operations of
`optim.rules.generic_adam` and `optim.rules.adopt` in their order. The numbers by step come from the sequences
themselves; only the steps are compiled.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from experiments.theory.scalar_adam_steps import FIELDS, WIDTH, adopt, generic
from optim.sequence import RANGES, in_range
from optim.settings import SettingError

Array = np.ndarray[Any, np.dtype[np.float64]]
Kind = Literal["generic", "largest", "adopt", "adopt, clipped"]
Slopes = Callable[[int, int], Array]
"""From the first step t >= 1 and a count n to the slopes of steps t to t + n - 1, (n, seeds). It is called in order,
for one stretch of steps after the other.
"""

_CHUNK = 1 << 12  # steps at once: their slopes, for 32 seeds, stay in the cache while method after method reads them


class NumbersByStep(Protocol):
    """What is needed of a sequence, such as `optim.sequence.Sequence`."""

    def values(self, t: np.ndarray) -> np.ndarray:
        """At steps t >= 1, float64 (n,)."""

    def complements(self, t: np.ndarray) -> np.ndarray:
        """1 - values, to full precision, float64 (n,)."""


@dataclass(frozen=True)
class Method:
    """Three sequences and what is done with them.

    generic: `x -= lr alpha_t m_t / sqrt(v_t)`, v_t from v_0. largest: by the root of max(v_1, ..., v_t) (AMSGrad).
    adopt: `m_t = beta_t m_{t-1} + (1 - beta_t) g_t / max(sqrt(v_{t-1}), eps)`, `x -= lr alpha_t m_t`, whose first step
    only sets v_1 = g_1^2; clipped: that quotient at (t - 1)^(1/4).
    """

    kind: Kind
    alpha: NumbersByStep
    beta: NumbersByStep
    theta: NumbersByStep
    lr: float = 1.0
    v_0: float = 1e-8
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise SettingError(f"kind={self.kind!r} is none of {', '.join(get_args(Kind))}")
        for name, above in (("lr", False), ("v_0", False), ("eps", True)):
            value = getattr(self, name)
            if not (math.isfinite(value) and (value > 0 if above else value >= 0)):
                raise SettingError(f"{name} must be finite and {'above' if above else 'at least'} 0, not {value}")


@dataclass(frozen=True)
class Problem:
    """A draw with slope c has the gradient `c min(1, x + bend)` at x: the linear c x where bend is infinite; bend = 2
    (`BENT`) is that of section 6, with its minimiser at -2. After every step x is projected onto [lower, upper].
    """

    start: float = 0.5
    lower: float = -1.0
    upper: float = 1.0
    bend: float = math.inf

    def __post_init__(self) -> None:
        if not self.lower <= self.start <= self.upper or not math.isfinite(self.start):
            raise SettingError(f"start={self.start:g} must be finite and in [{self.lower:g}, {self.upper:g}]")


BENT = Problem(lower=-math.inf, upper=math.inf, bend=2.0)


@dataclass(frozen=True)
class Paths:
    """Of M methods at P recorded numbers of steps for S seeds.

    points: x after at[k] steps, (M, P, S). averages: mean of x_1, ..., x_{at[k]}, the iterates before each of these
    steps, (M, P, S). losses: mean of c_1 x_1, ..., c_{at[k]} x_{at[k]}, slopes times these: the realised losses of a
    linear problem, (M, P, S). last_above: the last t for which x after t steps is positive, 0 if there is none, int64
    (M, S). mean_last_above: the same of the mean over the seeds, int64 (M,).
    """

    points: Array
    averages: Array
    losses: Array
    last_above: np.ndarray[Any, np.dtype[np.int64]]
    mean_last_above: np.ndarray[Any, np.dtype[np.int64]]


def simulate(
    methods: Sequence[Method],
    problem: Problem,
    slopes: Slopes,
    steps: int,
    at: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> Paths:
    """Run every method on the same slopes, recorded after each number of steps in `at`; `progress` is told the steps
    done, now and then.

    Raises SettingError for methods or steps that are missing, records that do not increase within 1..steps, and numbers
    of a sequence outside their range: alpha_t finite and at least 0, beta_t and theta_t in [0, 1).
    """
    if not methods:
        raise SettingError("there are no methods: give at least one")
    if steps < 1:
        raise SettingError(f"steps must be at least 1, not {steps}")
    records = np.asarray(at, dtype=np.int64)
    if not len(records) or records[0] < 1 or records[-1] > steps or (np.diff(records) <= 0).any():
        raise SettingError(f"at must be numbers of steps that increase within 1 to {steps}, not {list(at)[:8]}")
    numbers, lanes = _Numbers(methods), None
    numbers.at(1, min(_CHUNK, steps))
    numbers.at(steps, 1)  # before any work: a list may be too short
    for first in range(1, steps + 1, _CHUNK):
        count = min(_CHUNK, steps + 1 - first)
        numbers.at(first, count)
        drawn = np.asarray(slopes(first, count), dtype=np.float64)
        lanes = lanes or _Lanes(methods, problem, drawn.shape[-1], records)
        if drawn.shape != (count, lanes.seeds):
            wanted = (count, lanes.seeds)
            raise SettingError(f"slopes of steps {first} and on must have the shape {wanted}, not {drawn.shape}")
        lanes.advance(numbers, drawn)
        if progress is not None:
            progress(first + count - 1)
    assert lanes is not None
    return lanes.paths()


class _Numbers:
    """The sequences' numbers at some consecutive steps; a sequence that several methods have is evaluated once."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self.methods, self.first, self.t = methods, 0, np.empty(0)
        self._sequences: list[NumbersByStep] = []
        self._places = [{name: self._place(getattr(method, name)) for name in RANGES} for method in methods]
        self._known: list[tuple[Array, Array]] = []

    def _place(self, sequence: NumbersByStep) -> int:
        if sequence not in self._sequences:
            self._sequences.append(sequence)
        return self._sequences.index(sequence)

    def at(self, first: int, count: int) -> None:
        """Evaluate them for these steps. Raises SettingError for a number outside its range."""
        self.first, self.t = first, np.arange(first, first + count, dtype=np.float64)
        self._known = [(each.values(self.t), each.complements(self.t)) for each in self._sequences]
        for name, place in sorted({item for places in self._places for item in places.items()}):
            values = self._known[place][0]
            wrong = np.flatnonzero(~in_range(name, values))
            if len(wrong):
                found = f"{name} is {values[wrong[0]]:g} at step {first + int(wrong[0])}"
                raise SettingError(f"{found}, and must be {RANGES[name]}: change {self._sequences[place]}")

    def coefficients(self, k: int) -> Array:
        """Step size, beta, 1 - beta, theta, 1 - theta and the bound of a quotient of the k-th method, (6, n)."""
        method, places = self.methods[k], self._places[k]
        alpha, beta, theta = (self._known[places[name]] for name in ("alpha", "beta", "theta"))
        bound = (self.t - 1) ** 0.25 if method.kind == "adopt, clipped" else np.full_like(self.t, np.inf)
        made = np.stack([-method.lr * alpha[0], *beta, *theta, bound])
        if self.first == 1 and method.kind.startswith("adopt"):
            made[2, 0], made[4, 0] = 0.0, 1.0
        return made


class _Lanes:
    """The state of every method and seed. Seeds are in blocks of WIDTH; the last one is filled up with copies of the
    last seed, which count for nothing.
    """

    def __init__(self, methods: Sequence[Method], problem: Problem, seeds: int, records: np.ndarray) -> None:
        self.methods, self.problem, self.seeds, self.records = methods, problem, seeds, records
        blocks = -(-seeds // WIDTH)
        self.spare = blocks * WIDTH - seeds
        self.state = np.zeros((len(methods), blocks, FIELDS, WIDTH))
        self.state[:, :, 0] = problem.start
        for state, method in zip(self.state, methods, strict=True):
            state[:, 2] = 0.0 if method.kind.startswith("adopt") else method.v_0
        self.state[:, :, 6] = (np.arange(blocks * WIDTH) < seeds).reshape(blocks, WIDTH)
        self.points, self.sums, self.losses = np.empty((3, len(methods), len(records), blocks * WIDTH))
        self.mean_last_above = np.zeros(len(methods), dtype=np.int64)

    def advance(self, numbers: _Numbers, slopes: Array) -> None:
        """Take the steps that these numbers are for, with their slopes, (n, seeds)."""
        full = np.pad(slopes, ((0, 0), (0, self.spare)), mode="edge") if self.spare else np.ascontiguousarray(slopes)
        first, p = numbers.first, self.problem
        for k, method in enumerate(self.methods):
            c = numbers.coefficients(k)
            state, recorded = self.state[k].reshape(-1), (self.records, self.points[k], self.sums[k], self.losses[k])
            if method.kind.startswith("adopt"):
                last = adopt(first, c, full, state, p.lower, p.upper, p.bend, method.eps, *recorded)
            else:
                largest = method.kind == "largest"
                last = generic(first, c, full, state, p.lower, p.upper, p.bend, largest, *recorded)
            self.mean_last_above[k] = max(self.mean_last_above[k], last)

    def paths(self) -> Paths:
        """What was recorded."""
        last = self.state[:, :, 5].reshape(len(self.methods), -1)[:, : self.seeds].astype(np.int64)
        averages, losses = (sums[:, :, : self.seeds] / self.records[:, None] for sums in (self.sums, self.losses))
        return Paths(self.points[:, :, : self.seeds].copy(), averages, losses, last, self.mean_last_above)
