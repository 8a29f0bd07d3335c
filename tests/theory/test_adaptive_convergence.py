"""AdaGrad under the exact and the sample test, against autograd, enumeration and a plain loop over steps and rows."""

import itertools
import math

import numpy as np
import pytest
import torch

from experiments.theory import adaptive_batches
from experiments.theory.adaptive_batches import (
    MOST,
    Lane,
    Method,
    demand,
    draw_batch,
    draw_problem,
    exact,
    second_moments,
    simulate,
    slopes,
)

NORM, COORDINATES = Method(False, 1e-10, 0.0), Method(True, 0.0, 1e-10)
BOTH = pytest.mark.parametrize("method", [NORM, COORDINATES], ids=["norm", "coordinates"])


def small(seed=0, examples=60, dimension=4):
    return draw_problem(np.random.default_rng(seed), examples, dimension, 0.25)


def source():
    return np.random.default_rng(11)


# The problem ---------------------------------------------------------------------------------------------------------


def test_a_quarter_of_the_labels_is_flipped():
    made = draw_problem(np.random.default_rng(3), 500, 20, 0.25)
    again = np.random.default_rng(3)
    rows, hidden = again.standard_normal((500, 20)), again.standard_normal(20)
    assert (made.rows == rows).all()
    assert ((rows @ hidden > 0) != made.labels).sum() == 125
    assert set(made.labels) == {0.0, 1.0}


@BOTH
@pytest.mark.parametrize("scale", [0.0, 1.0, 8.0])
def test_gradient_and_variance_are_those_of_autograd(method, scale):
    made = small()
    points = scale * np.random.default_rng(5).standard_normal((3, 4))
    found = slopes(made, points)
    gradients, variance = exact(made, method, found)
    x, y = torch.tensor(made.rows), torch.tensor(made.labels)
    for k, point in enumerate(points):
        w = torch.tensor(point)
        loss = torch.func.vmap(torch.func.grad(lambda w, x, y: (torch.sigmoid(x @ w) - y) ** 2), in_dims=(None, 0, 0))
        each = loss(w, x, y).numpy()
        # Beside a slope of size 1 the formula of autograd is only known to the rounding of 1 - sigmoid.
        assert found[k][:, None] * made.signed == pytest.approx(each, rel=1e-12, abs=1e-15)
        assert gradients[k] == pytest.approx(each.mean(axis=0), rel=1e-12, abs=1e-16)
        wanted = each.var(axis=0) if method.by_coordinate else [np.trace(np.cov(each.T, bias=True))]
        assert variance[k] == pytest.approx(wanted, rel=1e-12)


def test_slopes_far_out_are_small_and_not_zero():
    made = adaptive_batches.Problem(np.array([[1.0], [1.0]]), np.array([1.0, 0.0]))
    right, wrong = slopes(made, np.array([[50.0]]))[0]  # in terms of the margins 50 and -50
    assert right == pytest.approx(-2 * math.exp(-100), rel=1e-12)
    assert wrong == pytest.approx(-2 * math.exp(-50), rel=1e-12)


# Batches and demands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 79, 80, 4000, 10**9])
def test_batches_have_the_multinomial_law(size):
    n, times, own = 10, 4000, source()
    counts = np.stack([draw_batch(own, size, n) for _ in range(times)])
    assert (counts.sum(axis=1) == size).all()
    variance = size / n * (1 - 1 / n)
    assert (np.abs(counts.mean(axis=0) - size / n) < 5 * math.sqrt(variance / times)).all()
    off = (counts.var(axis=0) / variance - 1) * math.sqrt(times / 2)
    assert (np.abs(off) < 6).all()
    together = np.cov(counts.T)[~np.eye(n, dtype=bool)].mean()
    assert together == pytest.approx(-size / n**2, rel=0.1)


def test_demands_by_hand():
    variance = np.array([[4.0, 1.0], [0.0, 3.0], [0.0, 0.0], [1.0, 1.0]])
    moment = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    assert demand(variance, moment, np.array([0.5, 0.7, 0.5, 0.5])).tolist() == [16.0, 7.0, 0.0, math.inf]


# The simulation ------------------------------------------------------------------------------------------------------


def plainly(made, method, lane, steps):
    """One run, one example and one coordinate after the other: A_K, sizes, draws, points, sampled and kept."""
    own, (n, d) = source(), made.rows.shape
    w, size, total, seen, sampled, kept = np.zeros(d), lane.size, 0.0, 0.0, 0, 0
    v = np.zeros(d) if method.by_coordinate else 1e-10
    series = []
    for step in range(1, steps + 1):
        p = 1 / (1 + np.exp(-made.rows @ w))
        each = [2 * (p[i] - made.labels[i]) * p[i] * (1 - p[i]) * made.rows[i] for i in range(n)]
        g = sum(each) / n
        spread = sum((e - g) ** 2 for e in each) / n  # V_jj
        total += float(g @ g)
        if method.by_coordinate:
            population = max(spread[j] / (lane.eta**2 * g[j] ** 2) for j in range(d)) if lane.eta else 0.0
        else:
            population = sum(spread) / (lane.eta**2 * (g @ g)) if lane.eta else 0.0
        if lane.scheme == "full":
            ghat, used = g, n
        else:
            if lane.scheme == "exact test":
                size = max(lane.size, math.ceil(population))
            counts = draw_batch(own, size, n)
            ghat, used = sum(m * e for m, e in zip(counts, each, strict=True)) / size, size
            sampled, kept = sampled + 1, kept + (population <= size)
            if lane.scheme == "sample test":
                hat = sum(m * (e - ghat) ** 2 for m, e in zip(counts, each, strict=True)) / (size - 1)
                if method.by_coordinate:
                    asked = max(hat[j] / (lane.eta**2 * ghat[j] ** 2) if hat[j] > 0 else 0.0 for j in range(d))
                else:
                    asked = sum(hat) / (lane.eta**2 * (ghat @ ghat))
                size = max(size, math.ceil(asked))
        seen += used
        v = v + (ghat**2 if method.by_coordinate else ghat @ ghat)
        w = w - lane.alpha * ghat / (np.sqrt(v) + (1e-10 if method.by_coordinate else 0.0))
        series.append((total / step, used, seen, w))
    return series, sampled, kept


LANES = [
    Lane(0.7, "full"),
    Lane(0.3, "constant", size=2),
    Lane(2.0, "constant", size=70),
    *(Lane(alpha, scheme, eta, 3) for scheme in ("exact test", "sample test") for alpha, eta in ((0.2, 0.9), (1, 2))),
]


@BOTH
def test_the_simulation_is_a_plain_loop(method):
    made, at = small(), [1, 2, 5, 14]
    found = simulate(made, method, LANES, at, [source() for _ in LANES])
    moved = set()
    for k, lane in enumerate(LANES):
        series, sampled, kept = plainly(made, method, lane, max(at))
        for p, step in enumerate(at):
            mean, size, seen, w = series[step - 1]
            assert (found.sizes[k, p], found.examples[k, p]) == (size, seen)
            assert found.mean_squares[k, p] == pytest.approx(mean, rel=1e-10)
            assert found.points[k, p] == pytest.approx(w, rel=1e-9, abs=1e-12)
        assert found.sampled[k] == sampled
        if lane.eta:
            assert found.kept[k] == kept
            moved.add((lane.scheme, len(set(found.sizes[k])) > 1, kept < sampled))
    assert ("exact test", True, False) in moved
    assert ("sample test", True, True) in moved, "a sample test that always kept the inequality would prove little"


@BOTH
def test_a_lane_is_itself_in_any_company(method):
    made = small(1)
    together = simulate(made, method, LANES, [10], [source() for _ in LANES])
    for k, lane in enumerate(LANES):
        alone = simulate(made, method, [lane], [10], [source()])
        assert alone.points[0] == pytest.approx(together.points[k], rel=1e-10)
        assert alone.sizes[0] == together.sizes[k]


@BOTH
@pytest.mark.parametrize("eta", [0.3, 0.9])
def test_the_exact_test_is_enforced_and_asks_for_no_more(method, eta):
    made, steps = small(2), list(range(1, 31))
    lane = Lane(0.5, "exact test", eta, 2)
    found = simulate(made, method, [lane], steps, [source()])
    assert found.kept[0] == found.sampled[0]
    points = np.concatenate([np.zeros((1, 4)), found.points[0][:-1]])  # before each step
    exactly = [exact(made, method, slopes(made, point[None])) for point in points]  # one by one, for the same bits
    ratio = np.concatenate([variance / (eta**2 * method.moment(gradient)) for gradient, variance in exactly])
    sizes = found.sizes[0]
    sampled = sizes < MOST
    assert sampled.sum() > 5
    assert (ratio[sampled] <= sizes[sampled, None]).all(), "V/b <= eta^2 g^2 in every column"
    binding = sampled & (sizes > lane.size)
    assert binding.any()
    assert (ratio[binding].max(axis=1) > sizes[binding] - 1).all(), "one draw less is too few"


@BOTH
def test_sizes_of_the_sample_test_never_fall_and_those_of_the_exact_one_do(method):
    made, steps = small(3), list(range(1, 26))
    lanes = [Lane(3.0, "sample test", 0.9, 2), Lane(3.0, "exact test", 0.9, 2)]
    found = simulate(made, method, lanes, steps, [source(), source()])
    assert (np.diff(found.sizes[0]) >= 0).all()
    assert (np.diff(found.sizes[1]) < 0).any()


@BOTH
@pytest.mark.parametrize("scheme", ["exact test", "sample test"])
def test_a_demand_above_the_most_is_the_exact_gradient(method, scheme):
    made = small()
    full = simulate(made, method, [Lane(0.7, "full")], [1, 6], [source()])
    tested = simulate(made, method, [Lane(0.7, scheme, 1e-9, 2)], [1, 6], [source()])
    if scheme == "exact test":  # from the first step
        assert tested.points == pytest.approx(full.points, rel=1e-13)
        assert tested.sampled[0] == 0
        assert tested.examples[0].tolist() == [MOST, 6 * MOST]
    else:
        assert tested.sizes[0].tolist() == [2, MOST]
        assert tested.sampled[0] == 1
    assert full.examples[0].tolist() == [60, 360]


# The enforced inequality ---------------------------------------------------------------------------------------------


@BOTH
def test_expected_moments_are_those_of_all_batches(method):
    made = small(4, examples=12, dimension=3)
    point = np.array([0.3, -0.2, 0.5])
    size, expected, samples = second_moments(made, method, point, 100.0, 2, 20_000, source())
    assert size == 2
    each = slopes(made, point[None])[0][:, None] * made.signed
    means = np.array([(each[i] + each[j]) / 2 for i, j in itertools.product(range(12), repeat=2)])
    wanted = (method.moment(means) / method.moment(each.mean(axis=0, keepdims=True))).mean(axis=0)
    assert expected == pytest.approx(wanted, rel=1e-12)
    error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
    assert (np.abs(samples.mean(axis=0) - wanted) < 5 * error).all()


@BOTH
@pytest.mark.parametrize("eta", [0.1, 0.5, 0.9])
def test_the_second_moment_is_at_most_what_the_test_promises(method, eta):
    made = draw_problem(np.random.default_rng(0), 500, 20, 0.25)
    size, expected, samples = second_moments(made, method, np.full(20, 0.1), eta, 2, 400, source())
    assert 2 < size < MOST
    assert (expected <= (1 + eta**2) * (1 + 1e-12)).all()
    assert expected.max() > 1 + eta**2 * (1 - 1 / size) - 1e-12, "no more draws than it takes"
    error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
    assert (samples.mean(axis=0) < 1 + eta**2 + 5 * error).all()


def test_an_exact_gradient_has_its_own_moment():
    size, expected, samples = second_moments(small(), COORDINATES, np.zeros(4), 1e-9, 2, 5, source())
    assert (size, expected.tolist(), samples.min(), samples.max()) == (MOST, [1.0] * 4, 1.0, 1.0)
