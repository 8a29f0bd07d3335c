"""The slopes against lists and laws, the predictions against sums and drifts worked out without approximation."""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from experiments.theory.counterexamples import (
    CYCLIC,
    FAST,
    STOCHASTIC,
    Cyclic,
    Family,
    FiniteSum,
    Stochastic,
    drift_sum,
    expected_regret,
    flip_batch,
    flip_theta,
    flip_window,
    reversal_time,
)
from experiments.theory.power_sum import power_sum
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne
from optim.settings import SettingError

# Families -------------------------------------------------------------------------------------------------------------


def test_the_families_are_those_of_the_page():
    assert (STOCHASTIC.scale * STOCHASTIC.C, STOCHASTIC.scale) == (1010, 10)
    assert STOCHASTIC.probability == pytest.approx(0.01, rel=1e-15)
    assert STOCHASTIC.mean_slope == pytest.approx(0.2, rel=1e-15)
    assert STOCHASTIC.mean_square == pytest.approx(0.01 * 1010**2 + 0.99 * 100, rel=1e-14)
    assert (FAST.scale * FAST.C, FAST.scale, FAST.probability) == (10, 1, pytest.approx(0.1, rel=1e-15))
    assert FAST.mean_slope == pytest.approx(10 * 0.1 - 0.9, rel=1e-14)
    assert (CYCLIC.scale * CYCLIC.C, CYCLIC.scale, CYCLIC.period) == (1010, 10, 101)
    assert CYCLIC.slope_per_cycle == 1010 - 100 * 10
    assert CYCLIC.mean_slope == pytest.approx(10 / 101, rel=1e-14)
    assert CYCLIC.mean_square == pytest.approx((1010**2 + 100 * 10**2) / 101, rel=1e-14)


@pytest.mark.parametrize(("C", "delta", "scale"), [(101, 0.02, 10), (3, 1.5, 0.1), (50, 0.001, 2)])
def test_a_family_s_moments_are_those_of_its_draws(C, delta, scale):
    family = Family(C, delta, scale)
    slopes = np.array([scale * C, -scale])
    shares = np.array([family.probability, 1 - family.probability])
    assert family.mean_slope == pytest.approx(shares @ slopes, rel=1e-11)
    assert family.mean_square == pytest.approx(shares @ slopes**2, rel=1e-13)


def test_bad_families_are_refused():
    for values in [(0, 0.1, 1), (10, 0, 1), (10, -0.1, 1), (10, 10, 1), (10, 0.1, 0), (math.nan, 0.1, 1)]:
        with pytest.raises(SettingError, match="no counterexample"):
            Family(*values)
    with pytest.raises(SettingError, match="no counterexample"):
        Family.cyclic(101, 102)  # the mean slope would be 0
    with pytest.raises(SettingError, match=r"a cycle would have 9\.99"):
        _ = Family(10, 0.101).period


# Slopes ---------------------------------------------------------------------------------------------------------------


def in_parts(slopes, steps, cuts):
    bounds = [0, *cuts, steps]
    return np.concatenate([slopes(a + 1, b - a) for a, b in itertools.pairwise(bounds)])


def sources(seeds):
    return {
        "stochastic": Stochastic(FAST, seeds),
        "batches": Stochastic(FAST, seeds, batch=7),
        "reshuffled": FiniteSum(12, seeds, batch=3),
        "replacement": FiniteSum(12, seeds, batch=5, sampling="replacement"),
        "cyclic": Cyclic(CYCLIC, seeds, batch=3),
    }


@pytest.mark.parametrize("name", sources([0]))
def test_slopes_depend_on_the_seed_alone(name):
    seeds, steps = [3, 0, 11, 5], 500
    whole = sources(seeds)[name](1, steps)
    assert whole.shape == (steps, 4)
    assert whole.dtype == np.float64
    again = sources(seeds)[name]
    for cuts in ([], [1, 2, 3, 250], [4, 8, 9, 499], [333]):
        assert (in_parts(again, steps, cuts) == whole).all()  # asked for step 1, it starts anew
    for k, seed in enumerate(seeds):
        assert (sources([seed])[name](1, steps)[:, 0] == whole[:, k]).all()
    assert (whole[:, 0] != whole[:, 1]).any()


def test_random_slopes_are_given_in_order():
    slopes = Stochastic(FAST, [0])
    slopes(1, 10)
    with pytest.raises(ValueError, match="step 11 are next, not those of 12"):
        slopes(12, 5)


def law(found, values, shares):
    """Whether numbers have this discrete law (chi-square), and no other values."""
    counts = np.array([np.isclose(found, value, rtol=1e-12).sum() for value in values])
    assert counts.sum() == found.size
    keep = shares * found.size >= 5
    observed = np.append(counts[keep], counts[~keep].sum())
    expected = np.append(shares[keep], shares[~keep].sum()) * found.size
    if expected[-1] == 0:
        observed, expected = observed[:-1], expected[:-1]
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize("batch", [1, 2, 25])
def test_batches_have_binomial_numbers_of_large_draws(batch):
    found = Stochastic(STOCHASTIC, range(8), batch)(1, 50_000)
    large = np.arange(batch + 1)
    law(found, (1010 * large - 10 * (batch - large)) / batch, stats.binom.pmf(large, batch, 0.01))
    found = FiniteSum(6, range(8), batch, "replacement")(1, 20_000)
    law(found, (6 * large - (batch - large)) / batch, stats.binom.pmf(large, batch, 1 / 6))


@pytest.mark.parametrize("batch", [1, 2, 5, 102, 250])
def test_cyclic_batches_are_the_next_draws_of_the_cycle(batch):
    draws = np.array([1010.0 if t % 101 == 1 else -10.0 for t in range(1, 300 * batch + 1)])
    expected = draws.reshape(300, batch).mean(axis=1)
    np.testing.assert_allclose(Cyclic(CYCLIC, batch=batch)(1, 300)[:, 0], expected, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(Cyclic(CYCLIC, batch=batch)(38, 9)[:, 0], expected[37:46], rtol=1e-13, atol=1e-12)
    for start in (5, 100, 106):
        later = np.array([1010.0 if (t + start) % 101 == 1 else -10.0 for t in range(1, 150 * batch + 1)])
        found = Cyclic(CYCLIC, [0, start], batch)(1, 150)
        np.testing.assert_allclose(found[:, 0], expected[:150], rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(found[:, 1], later.reshape(150, batch).mean(axis=1), rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 4, 12])
def test_every_pass_of_a_reshuffled_sum_has_each_function_once(batch):
    per_pass = 12 // batch
    passes = in_parts(FiniteSum(12, [5, 6], batch), 4000 * per_pass, [17, 801]).reshape(4000, per_pass, 2)
    large, small = (12 - (batch - 1)) / batch, -1.0
    assert ((passes == large) | (passes == small)).all()
    assert ((passes == large).sum(axis=1) == 1).all()
    if per_pass > 1:
        places = np.bincount(passes[..., 0].argmax(axis=1), minlength=per_pass)
        assert stats.chisquare(places).pvalue > 1e-4


def test_bad_batches_are_refused():
    for make in (lambda b: Stochastic(FAST, [0], b), lambda b: Cyclic(CYCLIC, [0], b), lambda b: FiniteSum(6, [0], b)):
        with pytest.raises(SettingError, match="batch must be at least 1, not 0"):
            make(0)
    with pytest.raises(SettingError, match=r"batch=4 does not divide n=6.*sampling=replacement"):
        FiniteSum(6, [0], 4)
    with pytest.raises(SettingError, match="n of at least 2"):
        FiniteSum(1, [0])
    with pytest.raises(SettingError, match="no seeds"):
        Stochastic(FAST, [])


# Predictions ----------------------------------------------------------------------------------------------------------


def drift(family, theta):
    """E[g_t/sqrt(v_t)] of RMSProp with a constant theta, v stationary, without approximation (scale 1).

    v = (1 - theta) sum_k theta^k g_{-k}^2, and E[(v + c)^(-1/2)] is 2/sqrt(pi) times the integral over y > 0 of
    exp(-c y^2) E[exp(-y^2 v)], whose last factor is a product over the draws.
    """
    p, large = family.probability, family.C**2
    weights = (1 - theta) * theta ** np.arange(int(40 / (1 - theta)))
    end = 8 / math.sqrt(theta * weights.sum())  # v is at least this sum: the integrand is below exp(-64) from there on
    y = np.linspace(0, end, 400)
    z = theta * y**2
    logs = np.array([np.log(p * np.exp(-s * weights * (large - 1)) + 1 - p).sum() - s * weights.sum() for s in z])

    def mean(c):
        return 2 / math.sqrt(math.pi) * np.trapezoid(np.exp(logs - c * y**2), y)

    return p * family.C * mean((1 - theta) * large) - (1 - p) * mean(1 - theta)


def test_the_exact_drift_is_that_of_a_simulation():
    theta, source = 0.9, np.random.default_rng(1)
    g = np.where(source.random(2_000_000) < FAST.probability, 10.0, -1.0)
    v, total, batches = 10.9, 0.0, []
    for k, slope in enumerate(g.tolist()):
        v = theta * v + (1 - theta) * slope * slope
        total += slope / math.sqrt(v)
        if k % 20_000 == 19_999:
            batches.append(total / 20_000)
            total = 0.0
    error = np.std(batches, ddof=1) / math.sqrt(len(batches))
    assert abs(np.mean(batches) - drift(FAST, theta)) < 4 * error
    assert error < 0.1 * abs(drift(FAST, theta))


def test_the_drift_changes_sign_at_the_flip_window_to_leading_order():
    errors = []
    for C, delta in [(20, 0.1), (80, 0.025)]:
        predicted, family = flip_window(C, delta), Family(C, delta)
        # From below to above 0 (towards -1) as the window grows, or there is no root.
        exact = optimize.brentq(lambda w, f=family: drift(f, 1 - 1 / w), predicted / 4, 4 * predicted, rtol=1e-4)
        assert drift(family, 1 - 1 / (4 * predicted)) > 0
        errors.append(abs(exact / predicted - 1))
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 3  # C and delta are four times nearer their limits


def test_flips_and_reversal_times_are_one_condition():
    C, delta = 101, 0.02
    assert flip_window(C, delta) == pytest.approx(2525)
    assert flip_theta(C, delta) == pytest.approx(1 - 2 * delta / C, rel=1e-15)
    assert flip_batch(C, delta, 0.99) == pytest.approx(C * 0.01 / (2 * delta))
    for r in (0.25, 0.5, 0.75, 1.0):
        turn = reversal_time(C, delta, 0.01, r)
        rest = TowardsOne(r=r, c=0.01).complements(np.array([turn]))[0]
        assert 1 / rest == pytest.approx(flip_window(C, delta), rel=1e-12)
    assert reversal_time(C, delta, 0.01, 1.0) == pytest.approx(2525)
    assert reversal_time(C, delta, 0.01, 0.25) == pytest.approx(((0.01 + 0.99 / 4) * 2525) ** 4)


def test_with_a_constant_theta_it_turns_at_once_or_never():
    assert reversal_time(101, 0.02, 0.01, 0.0) == math.inf
    assert reversal_time(101, 0.02, 1 / 2500, 0.0) == math.inf
    assert reversal_time(101, 0.02, 1 / 2550, 0.0) == 0.0
    assert reversal_time(101, 0.02, 0.01, 1e-4) == math.inf  # beyond a float


@pytest.mark.parametrize(("C", "delta", "c0"), [(101, 0.02, 0.01), (10, 0.1, 0.1), (10, 0.1, 0.001)])
@pytest.mark.parametrize("s", [0.0, 0.3, 0.5, 0.9, 1.0, 1.4])
@pytest.mark.parametrize("r", [0.0, 0.2, 0.5, 0.75, 1.0])
def test_the_drift_sum_is_the_sum(C, delta, c0, s, r):
    steps, family = 30_000, Family(C, delta)
    t = np.arange(1, steps + 1, dtype=np.float64)
    # 1 - (t*/t)^r in terms of the window, which is right for r = 0 as well
    kept = 1 - TowardsOne(r=r, c=c0).complements(t) * flip_window(C, delta)
    terms = 0.7 * Power(s=s).values(t) * kept
    expected = delta / math.sqrt(family.mean_square) * math.fsum(terms[t > reversal_time(C, delta, c0, r)])
    assert drift_sum(C, delta, c0, r, 0.7, s, steps) == pytest.approx(expected, rel=1e-11, abs=1e-14)


def test_power_sums_are_sums():
    for s, (first, last) in itertools.product(
        (0.0, 0.5, 1.0, 1.0 + 1e-9, 2.0), [(1, 1), (1, 64), (1, 65), (7, 5000), (64, 65), (900, 901), (5, 4)]
    ):
        expected = math.fsum(t**-s for t in range(first, last + 1))
        assert power_sum(s, first, last) == pytest.approx(expected, rel=1e-11, abs=0)
    assert power_sum(1.0, 1, 10**7) == pytest.approx(math.log(1e7) + np.euler_gamma + 0.5e-7, rel=1e-14)


def test_expected_regret_is_the_mean_of_the_losses_beyond_the_optimum():
    x = np.array([[0.5, 0.2, -1.0], [1.0, 1.0, 0.0]])
    expected = [np.mean([0.2 * point - 0.2 * -1 for point in row]) for row in x]
    np.testing.assert_allclose(expected_regret(x.mean(axis=1), 0.2), expected, rtol=1e-14)


def test_bad_questions_are_refused():
    for values in [(0, 0.1, 0.1, 1), (10, 0, 0.1, 1), (10, 0.1, 0, 1), (10, 0.1, 1.1, 1), (10, 0.1, 0.1, 1.5)]:
        with pytest.raises(SettingError, match="must be above 0"):
            reversal_time(*values)
        with pytest.raises(SettingError, match="must be above 0"):
            drift_sum(*values, 0.5, 0.5, 100)
