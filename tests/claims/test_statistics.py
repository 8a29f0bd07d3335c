"""Intervals, ranks and decisions against scipy.stats, exact binomial sums and cases made by hand."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from experiments.statistics import (
    LEAST_SEEDS,
    Answer,
    Interval,
    all_of,
    decide,
    decide_share,
    exp_interval,
    expected_best,
    mean_interval,
    median_interval,
    paired_ratio,
    rank_correlation,
    rank_correlation_interval,
)

DRAWS = np.random.default_rng(5)
SAMPLES = {n: DRAWS.normal(3.0, 2.0, n) for n in (2, 3, 5, 10, 19, 40)}
NOTHING: Answer = "not testable at this scale"


def pair(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


# Means ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", SAMPLES)
def test_the_mean_has_students_interval(n: int, level: float) -> None:
    found = mean_interval(SAMPLES[n], level)
    wanted = stats.t.interval(level, n - 1, loc=SAMPLES[n].mean(), scale=stats.sem(SAMPLES[n]))
    np.testing.assert_allclose(pair(found), wanted, rtol=1e-12)
    np.testing.assert_allclose(pair(found), stats.ttest_1samp(SAMPLES[n], 0).confidence_interval(level), rtol=1e-12)
    assert found.value == pytest.approx(SAMPLES[n].mean(), rel=1e-15)
    assert found.n == n


def test_a_mean_by_hand() -> None:
    found = mean_interval([1, 2, 3, 4, 5])  # s = sqrt(2.5), t(4, 0.975) = 2.776445
    assert found.value == 3
    assert found.high - 3 == pytest.approx(2.7764451051977987 * math.sqrt(2.5 / 5), rel=1e-13)
    assert found.low + found.high == pytest.approx(6, rel=1e-15)


def test_means_that_say_nothing() -> None:
    assert mean_interval([4.0]) == Interval(4.0, -math.inf, math.inf, 1)
    assert mean_interval([1.0, math.inf]) == Interval(math.inf, -math.inf, math.inf, 2)
    assert mean_interval([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 3)
    nothing, undefined = mean_interval([]), mean_interval([1.0, math.nan])
    assert math.isnan(nothing.value)
    assert math.isnan(undefined.value)
    assert pair(nothing) == pair(undefined) == (-math.inf, math.inf)
    assert (nothing.n, undefined.n) == (0, 2)


# Ratios --------------------------------------------------------------------------------------------------------------


def test_paired_ratios_are_a_paired_test_of_logarithms() -> None:
    top, bottom = np.exp(DRAWS.normal(1, 1, 12)), np.exp(DRAWS.normal(0, 1, 12))
    found = paired_ratio(top, bottom)
    wanted = stats.ttest_rel(np.log(top), np.log(bottom))
    np.testing.assert_allclose(pair(found), np.exp(wanted.confidence_interval(0.95)), rtol=1e-12)
    assert found.value == pytest.approx(stats.gmean(top / bottom), rel=1e-13)
    other = paired_ratio(bottom, top)
    np.testing.assert_allclose([1 / other.high, 1 / other.value, 1 / other.low], [found.low, found.value, found.high])


def test_pairing_removes_what_the_pairs_share() -> None:
    shared = np.exp(DRAWS.normal(0, 5, 8))
    found = paired_ratio(2 * shared, shared)
    np.testing.assert_allclose([found.low, found.value, found.high], 2.0, rtol=1e-12)


def test_ratios_of_diverged_runs_are_open() -> None:
    one = paired_ratio([1.0, 1.0, math.inf], [1.0, 1.0, 1.0])
    assert (one.value, one.low, one.high) == (math.inf, 0.0, math.inf)
    other = paired_ratio([1.0, 1.0], [1.0, math.inf])
    assert (other.value, other.low, other.high) == (0.0, 0.0, math.inf)
    both = paired_ratio([1.0, math.inf], [1.0, math.inf])
    assert math.isnan(both.value)
    assert pair(both) == (0.0, math.inf)


@pytest.mark.parametrize(("top", "bottom"), [([1, 2], [1]), ([1.0, 0.0], [1, 1]), ([1, 1], [1, -1]), ([math.nan], [1])])
def test_ratios_that_cannot_be_formed(top: list[float], bottom: list[float]) -> None:
    with pytest.raises(ValueError, match=r"paired samples|positive"):
        paired_ratio(top, bottom)


def test_exponentials_that_overflow() -> None:
    assert exp_interval(Interval(0.0, -1e6, 1e6, 3)) == Interval(1.0, 0.0, math.inf, 3)
    assert exp_interval(Interval(800.0, -math.inf, math.inf, 3)) == Interval(math.inf, 0.0, math.inf, 3)


# Medians -------------------------------------------------------------------------------------------------------------


def coverage(n: int, left_out: int) -> Fraction:
    """P(x_(left_out) <= median <= x_(n + 1 - left_out)) for a continuous distribution, exactly."""
    return Fraction(sum(math.comb(n, k) for k in range(left_out, n - left_out + 1)), 2**n)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_of_the_median_covers_it_and_no_shorter_one_does(level: float) -> None:
    for n in range(1, 80):
        found = median_interval(range(1, n + 1), level)  # values are their ranks
        assert found.value == (n + 1) / 2
        assert found.n == n
        if math.isinf(found.low):
            assert coverage(n, 1) < level
            assert found.high == math.inf
            continue
        rank = int(found.low)
        assert found.high == n + 1 - rank
        assert coverage(n, rank) >= level
        assert coverage(n, rank + 1) < level


def test_the_first_number_of_samples_that_bounds_a_median() -> None:
    assert [n for n in range(1, 12) if math.isinf(median_interval(range(n)).low)] == [1, 2, 3, 4, 5]
    assert pair(median_interval([6, 1, 5, 2, 4, 3])) == (1, 6)  # covers with 1 - 2/64 = 0.969
    assert pair(median_interval(range(1, 11))) == (2, 9)  # 0.979; (3, 8) would have 0.891


def test_the_interval_of_the_median_is_scipys() -> None:
    for n, sample in ((11, DRAWS.normal(size=11)), (40, SAMPLES[40])):
        wanted = stats.quantile_test(sample, q=0, p=0.5).confidence_interval(0.95)
        np.testing.assert_array_equal(pair(median_interval(sample)), wanted, err_msg=str(n))


def test_medians_of_odd_samples() -> None:
    assert median_interval([math.inf] * 3 + [1.0] * 7).value == 1.0
    assert median_interval([1.0] * 10) == Interval(1.0, 1.0, 1.0, 10)
    assert math.isnan(median_interval([]).value)


# Ranks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 4, 7, 20])
def test_rank_correlation_is_spearmans(n: int, ties: bool) -> None:
    x, y = DRAWS.normal(size=n), DRAWS.normal(size=n)
    if ties:
        x, y = np.append(np.round(x), [9, 9]), np.append(np.round(y), [9, -9])
    assert rank_correlation(list(x), list(y)) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_rank_correlations_by_hand() -> None:
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.8)
    assert rank_correlation([1, 2, 3], [1, 5, math.inf]) == pytest.approx(1), "a diverged run is the worst of all"


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2], [1, 2]),
        ([1, 1, 1], [1, 2, 3]),
        ([1, 2, 3], [5, 5, 5]),
        ([1, 2, 3], [math.inf] * 3),
        ([], []),
        ([1, 2, 3], [1.0, float("nan"), 2.0]),
        ([1, 2, 3], [float("nan"), float("nan"), float("nan")]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_rank_correlations_that_do_not_exist(x: list[float], y: list[float]) -> None:
    assert math.isnan(rank_correlation(x, y))


def test_the_interval_of_a_rank_correlation_by_hand() -> None:
    found = rank_correlation_interval(range(10), [2, 1, 4, 3, 6, 5, 8, 7, 10, 9])
    r = 1 - 6 * 10 / (10 * 99)  # ten squared differences of 1: 31/33, and (1 + r)/(1 - r) = 32
    half = 1.959963984540054 * math.sqrt((1 + r * r / 2) / 7)
    assert found.value == pytest.approx(r, rel=1e-14)
    for end, sign in ((found.low, -1), (found.high, 1)):
        odds = 32 * math.exp(2 * sign * half)
        assert end == pytest.approx((odds - 1) / (odds + 1), rel=1e-12)
    assert found.n == 10


def test_the_interval_of_a_rank_correlation_covers_it_as_often_as_it_says() -> None:
    source, true = np.random.default_rng(8), 6 / math.pi * math.asin(0.7 / 2)  # of normal pairs of correlation 0.7
    pairs = source.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], size=(1500, 15))
    found = [rank_correlation_interval(list(p[:, 0]), list(p[:, 1])) for p in pairs]
    assert sum(one.low <= true <= one.high for one in found) / 1500 == pytest.approx(0.95, abs=0.017)  # three errors


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_rank_correlation_has_an_interval(sign: int) -> None:
    found = rank_correlation_interval(range(5), [sign * 2.0**i for i in range(5)])
    assert [found.value, found.low, found.high] == pytest.approx([sign] * 3, abs=1e-12)
    assert max(abs(found.low), abs(found.high)) <= 1


@pytest.mark.parametrize("x", [[1.0, 2.0, 3.0, 4.0], [1.0] * 6])
def test_few_or_equal_points_have_no_bounds(x: list[float]) -> None:
    assert pair(rank_correlation_interval(x, range(len(x)))) == (-math.inf, math.inf)


# Decisions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (1.21, 1.5, "holds"),
        (1.2, 1.5, "holds"),
        (1.19, 1.5, "inconclusive"),
        (1.0, 1.2, "inconclusive"),
        (1.0, 1.19, "fails"),
        (0.0, math.inf, "inconclusive"),
        (-math.inf, math.inf, "inconclusive"),
        (1.3, math.inf, "holds"),
        (0.0, 1.1, "fails"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_decisions(low: float, high: float, answer: str) -> None:
    assert decide(Interval(1.3, low, high, 5), 1.2) == answer
    assert decide(Interval(1.3, low, high, 1), 1.2, seeds=5) == answer
    for few in range(LEAST_SEEDS):
        assert decide(Interval(1.3, low, high, few), 1.2) == "inconclusive"
        assert decide(Interval(1.3, low, high, 100), 1.2, seeds=few) == "inconclusive"


def test_five_seeds_are_the_least() -> None:
    assert LEAST_SEEDS == 5


@pytest.mark.parametrize(
    ("holds", "fails", "open_", "answer", "low", "high"),
    [
        (8, 2, 0, "holds", 0.8, 0.8),
        (4, 1, 0, "holds", 0.8, 0.8),
        (7, 2, 1, "inconclusive", 0.7, 0.8),
        (7, 3, 0, "fails", 0.7, 0.7),
        (0, 3, 7, "fails", 0.0, 0.7),
        (0, 2, 8, "inconclusive", 0.0, 0.8),
        (10, 0, 0, "holds", 1.0, 1.0),
        (0, 0, 3, "inconclusive", 0.0, 1.0),
        (79, 21, 0, "fails", 0.79, 0.79),
        (12, 3, 0, "holds", 0.8, 0.8),
    ],
)
def test_shares(holds: int, fails: int, open_: int, answer: str, low: float, high: float) -> None:
    answers: list[Answer] = [*["holds"] * holds, *["fails"] * fails, *["inconclusive"] * open_]  # type: ignore[list-item]
    found, interval = decide_share(answers, 0.8)
    assert found == answer
    assert (interval.value, interval.low, interval.high) == pytest.approx((low, low, high))
    assert interval.n == len(answers)


def test_a_share_of_nothing() -> None:
    answer, interval = decide_share([], 0.8)
    assert answer == NOTHING
    assert math.isnan(interval.value)
    assert (interval.low, interval.high, interval.n) == (0.0, 1.0, 0)


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        (["holds", "holds"], "holds"),
        (["holds", NOTHING], "holds"),
        (["holds", "inconclusive"], "inconclusive"),
        (["holds", "inconclusive", "fails"], "fails"),
        ([NOTHING, "fails"], "fails"),
        ([NOTHING, NOTHING], NOTHING),
        ([], NOTHING),
    ],
)
def test_one_answer_from_several(answers: list[Answer], answer: Answer) -> None:
    assert all_of(answers) == answer
    assert all_of(answers[::-1]) == answer


@pytest.mark.parametrize("tried", [1, 2, 3, 5, 6])
def test_the_best_of_a_few_is_the_median_over_all_draws(tried: int) -> None:
    values = [3.0, 1.0, np.inf, 2.0, 5.0, 4.0]
    lowest = sorted(min(draw) for draw in itertools.combinations(values, tried))
    assert expected_best(values, tried) == lowest[(len(lowest) - 1) // 2]
    for wrong in (0, 7):
        with pytest.raises(ValueError, match="tried must be from 1 to the 6 values"):
            expected_best(values, wrong)
