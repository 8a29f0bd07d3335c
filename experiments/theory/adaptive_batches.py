"""AdaGrad with batch sizes that a test asks for, on a problem whose gradient and noise are known exactly at every step.

Section 3 of the page on arXiv 2402.11215. The problem is the mean over n examples of (sigmoid(x_i . w) - y_i)^2, not
convex; a batch is b draws with replacement. With V the covariance of one draw's gradient at w and g the gradient, the
exact test keeps, at every step,

    norm              tr V/b <= eta^2 ||g||^2           AdaGrad-Norm: one accumulator
    by coordinate     V_jj/b <= eta^2 g_j^2, all j      AdaGrad: one for each coordinate

and the sample test asks the same of the batch itself, as a user must. Everything is float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Scheme = Literal["exact test", "sample test", "constant", "full"]

MOST = 1e12  # draws; a larger demand means the exact gradient


@dataclass(frozen=True)
class Problem:
    """rows: (n, d). labels: (n,), 0 or 1."""

    rows: Array
    labels: Array

    @cached_property
    def signed(self) -> Array:
        """Rows times 2 y_i - 1: the loss is sigmoid(-m_i)^2 of the margin m_i = signed_i . w."""
        return np.asarray((2 * self.labels - 1)[:, None] * self.rows)

    @cached_property
    def squares(self) -> Array:
        """(n, d): x_ij^2."""
        return np.asarray(self.rows**2)


@dataclass(frozen=True)
class Method:
    """AdaGrad-Norm, or AdaGrad if by_coordinate; also says which of the two tests goes with it.

    The update is `-alpha ghat / (sqrt(v) + eps)`, v the sum of initial and of all ||ghat||^2, or of all ghat_j^2.
    """

    by_coordinate: bool
    initial: float
    eps: float

    def moment(self, gradients: Array) -> Array:
        """Of gradients (L, d), what a test and an accumulator look at: ||g||^2, (L, 1), or every g_j^2, (L, d)."""
        squares = gradients**2
        return squares if self.by_coordinate else squares.sum(axis=1, keepdims=True)

    def columns(self, problem: Problem) -> Array:
        """The same of the rows, (n, 1) or (n, d)."""
        return problem.squares if self.by_coordinate else problem.squares.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Lane:
    """One run. size: the first batch size of a test, which is also its least, or the constant one."""

    alpha: float
    scheme: Scheme
    eta: float = 0.0
    size: int = 2


@dataclass(frozen=True)
class Paths:
    """What runs of L lanes were like, at P numbers of steps K.

    mean_squares: A_K, the mean of ||grad F||^2 over the first K points, (L, P). sizes: batch size of the K-th step.
    examples: draws so far. An exact gradient counts as n examples under "full" and as MOST draws where a test asks for
    more. points: w after K steps, (L, P, d). sampled: number of steps with a batch, (L,). kept: at how many of them the
    exact test's inequality held, (L,); it means nothing without a test.
    """

    mean_squares: Array
    sizes: Array
    examples: Array
    points: Array
    sampled: Array
    kept: Array


def draw_problem(source: np.random.Generator, examples: int, dimension: int, flipped: float) -> Problem:
    """Gaussian rows and the labels x_i . w > 0 of a hidden Gaussian w, this share of them flipped."""
    rows = source.standard_normal((examples, dimension))
    labels = (rows @ source.standard_normal(dimension) > 0).astype(np.float64)
    wrong = source.permutation(examples)[: round(flipped * examples)]
    labels[wrong] = 1 - labels[wrong]
    return Problem(rows, labels)


def slopes(problem: Problem, points: Array) -> Array:
    """Derivative of each example's loss by its margin at points (L, d), (L, n): g_i = slopes_i signed_i."""
    margins = points @ problem.signed.T
    small = np.exp(-np.abs(margins))
    large = 1 / (1 + small)  # sigmoid(|m|)
    # -2 sigmoid(-m)^2 sigmoid(m), without the difference 1 - sigmoid, which is 0 far out
    return np.asarray(-2 * small * large * large * large * np.where(margins > 0, small, 1.0))


def exact(problem: Problem, method: Method, found: Array) -> tuple[Array, Array]:
    """The gradient, (L, d), and the variance of one draw, tr V (L, 1) or V_jj (L, d), from `slopes`."""
    gradients = found @ problem.signed / len(problem.rows)
    second = found**2 @ method.columns(problem) / len(problem.rows)
    return gradients, np.maximum(second - method.moment(gradients), 0.0)


def demand(variance: Array, moment: Array, eta: Array) -> Array:
    """The batch size a test asks for, (L,): the largest of variance/(eta^2 moment) over the columns; 0/0 asks for 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        asked = np.where(variance > 0, variance / (eta[:, None] ** 2 * moment), 0.0)
    return np.asarray(np.ceil(asked.max(axis=1)))


def draw_batch(source: np.random.Generator, size: int, examples: int) -> Array:
    """How often each example is in a batch of so many draws with replacement, (n,)."""
    if size < 8 * examples:  # the same law, cheaper
        return np.bincount(source.integers(examples, size=size), minlength=examples).astype(np.float64)
    return source.multinomial(size, np.full(examples, 1 / examples)).astype(np.float64)


def simulate(
    problem: Problem, method: Method, lanes: Sequence[Lane], at: Sequence[int], sources: Sequence[np.random.Generator]
) -> Paths:
    """Run all lanes from w = 0 for max(at) steps, recorded after each of `at`, with a source of draws for each lane.

    The exact test's batch size follows the demand up and down; the sample test's is never smaller than before, and its
    demand is met at the next step, as in the paper's release.
    """
    n, d = problem.rows.shape
    count, columns = len(lanes), method.columns(problem)
    alpha, eta = (np.array([getattr(lane, name) for lane in lanes]) for name in ("alpha", "eta"))
    least = np.array([float(n) if lane.scheme == "full" else float(lane.size) for lane in lanes])
    by_exact, by_sample, full = (
        np.array([lane.scheme == name for lane in lanes]) for name in ("exact test", "sample test", "full")
    )
    tested = by_exact | by_sample
    points, sizes = np.zeros((count, d)), least.copy()
    accumulated = np.full((count, d if method.by_coordinate else 1), method.initial)
    total, examples, sampled, kept = (np.zeros(count) for _ in range(4))
    recorded: dict[int, tuple[Array, ...]] = {}
    for step in range(1, max(at) + 1):
        found = slopes(problem, points)
        gradients, variance = exact(problem, method, found)
        total += (gradients**2).sum(axis=1)
        wanted = demand(variance, method.moment(gradients), np.where(tested, eta, 1.0))
        sizes = np.where(by_exact, np.maximum(least, wanted), sizes)
        drawn = np.flatnonzero(~full & (sizes <= MOST))
        sampled[drawn] += 1
        kept[drawn] += wanted[drawn] <= sizes[drawn]
        used = np.minimum(sizes, MOST)
        examples += used
        if len(drawn):
            b = sizes[drawn, None]
            weighted = np.stack([draw_batch(sources[k], int(sizes[k]), n) for k in drawn.tolist()]) * found[drawn]
            gradients[drawn] = weighted @ problem.signed / b
            asking = by_sample[drawn]
            if asking.any():
                b, own, where = b[asking], gradients[drawn][asking], drawn[asking]
                second = (weighted[asking] * found[where]) @ columns / b
                spread = np.maximum(second - method.moment(own), 0.0) * b / (b - 1)
                sizes[where] = np.maximum(sizes[where], demand(spread, method.moment(own), eta[where]))
        accumulated += method.moment(gradients)
        points = points - alpha[:, None] * gradients / (np.sqrt(accumulated) + method.eps)
        if step in at:
            recorded[step] = (total / step, used, examples.copy(), points)
    means, used, seen, at_points = (np.stack([recorded[step][k] for step in at], axis=1) for k in range(4))
    return Paths(means, used, seen, at_points, sampled, kept)


def second_moments(
    problem: Problem, method: Method, point: Array, eta: float, least: int, draws: int, source: np.random.Generator
) -> tuple[float, Array, Array]:
    """At a fixed point, (d,): the batch size that the exact test asks for, E[moment of ghat]/(moment of g), (k,), and
    samples of it, (draws, k): of ||.||^2 (k = 1), or of every coordinate. The test promises at most 1 + eta^2.

    A demand above MOST gives ones: the gradient is exact.
    """
    found = slopes(problem, point[None])
    gradient, variance = exact(problem, method, found)
    moment = method.moment(gradient)
    size = max(float(least), float(demand(variance, moment, np.array([eta]))[0]))
    if size > MOST:
        return MOST, np.ones(moment.shape[1]), np.ones((draws, moment.shape[1]))
    counts = np.stack([draw_batch(source, int(size), len(problem.rows)) for _ in range(draws)])
    batches = (counts * found) @ problem.signed / size
    return size, (1 + variance / (size * moment))[0], method.moment(batches) / moment
