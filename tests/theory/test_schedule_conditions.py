"""The checker of schedules: against formulas, sums one by one, and the same schedules given in other ways."""

import json
import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from experiments.theory import schedule_numbers
from experiments.theory.schedule_conditions import check, limit
from optim.sequences.bias_corrected import BiasCorrected
from optim.sequences.bias_correction import BiasCorrection
from optim.sequences.constant import Constant
from optim.sequences.geometric import Geometric
from optim.sequences.listed import Listed
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne
from optim.sequences.weighted import Weighted
from optim.settings import SettingError

LONG = 10**7
OWN = "D's own exponent"


def powers(s, r, c=0.01):
    return Power(s=s), 0.9, TowardsOne(r=r, c=c)


def verdicts(report):
    return tuple(tuple(item.passed for item in conditions.items) for conditions in report.conditions)


def sufficient(report):
    return "".join("+" if item.passed else "-" for item in report.conditions[0].items)


def adafom(report):
    return "".join("+" if item.passed else "-" for item in report.conditions[1].items)


def defossez(report):
    return "".join("+" if item.passed else "-" for item in report.conditions[2].items)


def item(report, k):
    return report.conditions[0].items[k - 1]


def sgd(lr=0.1):
    return torch.optim.SGD([torch.zeros(2)], lr=lr)


# Exponents -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("s", "r", "exact"),
    [
        (0.3, 1.0, 0.5),  # s + r/2 = 0.8
        (0.5, 0.5, 0.25),
        (0.5, 0.2, 0.1),
        (0.25, 0.25, 0.125),
        (0.3, 0.5, 0.25),
        (0.4, 0.75, 0.375),
        (0.7, 1.0, 0.3),  # s + r/2 = 1.2
        (0.9, 1.0, 0.1),
        (0.95, 0.5, 0.05),
        (1.0, 0.4, 0.0),
        (0.8, 0.9, 0.2),
        (0.5, 1.0, 0.5),  # the line: with a factor log T
        (0.75, 0.5, 0.25),
        (0.9, 0.2, 0.1),
    ],
)
def test_both_fits_of_the_decay_are_near_the_exact_exponent(s, r, exact):
    found = item(check(*powers(s, r), LONG), 4)
    assert limit(s, r) == pytest.approx(exact, abs=1e-15)
    assert found.exact == pytest.approx(exact, abs=1e-15)
    assert found.fitted == pytest.approx(exact, abs=1e-6)
    assert found.numbers[OWN] == pytest.approx(exact, abs=0.02)
    assert found.passed == (exact > 0)
    assert ("log T" in found.sentence) == (s + r / 2 == 1)


@pytest.mark.parametrize("horizon", [100, 1000, 30_000])
def test_the_region_where_the_condition_holds(horizon):
    for s in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0):
        for r in (0.0, 0.25, 0.5, 0.75, 1.0):
            report = check(*powers(s, r), horizon)
            assert [i.passed for i in report.conditions[0].items] == [True, True, r <= 2 * s, r > 0 and s < 1], (s, r)
            assert report.conditions[0].passed == (0 < r <= 2 * s < 2)
            assert item(report, 3).fitted == pytest.approx(max(0.0, r / 2 - s), abs=1e-9)
            assert (report.alpha_exponent, report.theta_exponent) == pytest.approx((s, r), abs=2e-4)
            assert not any(i.remark for i in report.conditions[0].items if "limit" in i.remark)


@pytest.mark.parametrize("s", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("r", [0.0, 0.5, 1.0])
def test_adafoms_conditions_on_powers(s, r):
    report = check(*powers(s, r), 20_000)
    momentum, step, vanishing = report.conditions[1].items
    assert momentum.passed
    assert step.passed == (r == 1 and s >= 0.5)
    exact = max(1 - s, 0) - max(1 - r, 0) - max(r - 2 * s, 0)
    assert vanishing.exact == pytest.approx(exact)
    assert vanishing.fitted == pytest.approx(exact, abs=1e-3)
    assert vanishing.passed == (exact > 0)


# Numbers -------------------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_sums_one_by_one():
    horizon, source = 150_000, np.random.default_rng(0)  # several pieces
    t = np.arange(1, horizon + 1)
    alpha = source.uniform(0.5, 1.5, horizon) / np.sqrt(t)
    beta = source.uniform(0.1, 0.9, horizon)
    theta = 1 - source.uniform(0.2, 0.9, horizon) / t**0.7
    report = check(alpha, beta, theta, horizon)
    least, excess, chi_max, terms, log_weight, growth, rises, falls = math.inf, 1.0, 0.0, 0.0, 0.0, 0.0, [], []
    for k in range(horizon):
        chi = alpha[k] / math.sqrt(1 - theta[k])
        least, chi_max = min(least, chi), max(chi_max, chi)
        excess = max(excess, chi / least)
        terms += alpha[k] * math.sqrt(1 - theta[k])
        if k:
            log_weight -= math.log(theta[k])
            growth = max(growth, alpha[k] / (alpha[k - 1] * math.sqrt(theta[k])))
            falls += [k + 1] * int(theta[k] < theta[k - 1])
            rises += [k + 1] * int(alpha[k] > alpha[k - 1] * math.sqrt(theta[k]))
    close = {"rel": 1e-11}
    assert item(report, 1).numbers == {"sup beta": pytest.approx(beta.max()), "at step": beta.argmax() + 1}
    assert item(report, 2).first_violation == falls[0]
    assert item(report, 3).numbers["C_0"] == pytest.approx(excess, **close)
    assert item(report, 4).numbers["D(T)"] == pytest.approx(terms / (horizon * alpha[-1]), **close)
    assert item(report, 4).numbers["1/(T alpha_T)"] == pytest.approx(1 / (horizon * alpha[-1]), **close)
    _, step, vanishing = report.conditions[1].items
    assert step.first_violation == rises[0]
    assert step.numbers["largest ratio"] == pytest.approx(growth, **close)
    assert vanishing.numbers["log W_T"] == pytest.approx(log_weight, **close)
    assert vanishing.numbers["ratio"] == pytest.approx(chi_max**2 * (1 + log_weight) / alpha.sum(), **close)


def test_adafoms_worst_case_is_reached_at_gradients_of_zero_and_its_sum_is_bounded():
    source, steps = np.random.default_rng(1), 400
    t = np.arange(1, steps + 1)
    alpha, theta = t**-0.6, 1 - 0.9 / t**0.8
    report = check(alpha, 0.9, theta, steps)
    numbers = report.conditions[1].items[1].numbers, report.conditions[1].items[2].numbers
    ratio, log_weight = numbers[0]["largest ratio"], numbers[1]["log W_T"]
    gradients = source.standard_normal(steps)
    gradients[steps // 2 :] = 0
    v, before, total, largest = 0.0, math.inf, 0.0, 0.0
    for k in range(steps):
        v = (theta[k] if k else 0.0) * v + (1 - (theta[k] if k else 0.0)) * gradients[k] ** 2
        step = alpha[k] / math.sqrt(v)
        largest, before = max(largest, step / before), step
        total += (step * gradients[k]) ** 2
    assert largest <= ratio * (1 + 1e-12)
    bounded = max(alpha**2 / (1 - theta)) * (1 + log_weight + math.log(max(gradients**2) / gradients[0] ** 2))
    assert total <= bounded


# One schedule, given in several ways ---------------------------------------------------------------------------------


def ways(sequence, horizon):
    """A sequence as a function of arrays, one of single steps, a list, an array, a tensor and a scheduler."""
    numbers = sequence.values(np.arange(1, horizon + 1))
    yield lambda t: sequence.values(np.asarray(t)) if np.ndim(t) else float(sequence.values(np.array([t]))[0])
    yield lambda t: float(numbers[t - 1])
    yield numbers.tolist()
    yield numbers
    yield torch.tensor(numbers)
    yield Listed(numbers=numbers.tolist())
    yield lr_scheduler.LambdaLR(sgd(1.0), lambda k: numbers[min(k, horizon - 1)])


@pytest.mark.parametrize(
    ("alpha", "beta", "theta"),
    [
        (Power(s=0.5), Constant(at=0.9), TowardsOne(r=1.0)),
        (Power(s=0.3), Constant(at=0.0), TowardsOne(r=0.75)),
        (Power(s=0.9), Geometric(), TowardsOne(r=0.0)),
        (BiasCorrection(b1=0.9), Constant(at=0.9), BiasCorrected(b=0.99)),
        (Power(s=0.5), TowardsOne(r=0.5), Weighted(p=2.0)),
    ],
)
def test_a_formula_a_list_and_a_scheduler_get_the_same_verdicts(alpha, beta, theta):
    horizon = 3000
    report = check(alpha, beta, theta, horizon)
    for given in zip(*(ways(sequence, horizon) for sequence in (alpha, beta, theta)), strict=True):
        other = check(*given, horizon)
        assert verdicts(other) == verdicts(report)
        for a, b in zip(report.conditions[0].items, other.conditions[0].items, strict=True):
            assert a.fitted == (None if b.fitted is None else pytest.approx(b.fitted, abs=1e-9))
            assert a.first_violation == b.first_violation
            assert a.numbers == pytest.approx(b.numbers, rel=1e-9, abs=1e-9)
            assert b.exact is None


def test_a_scheduler_is_left_as_it_is_and_read_from_where_it_stands():
    optimizer = sgd(0.4)
    scheduler = lr_scheduler.StepLR(optimizer, step_size=70, gamma=0.5)
    optimizer.step()
    scheduler.step()
    before = scheduler.state_dict()
    report = check(scheduler, 0.9, 0.99, 140)  # 69 steps at 0.4, 70 at 0.2, 1 at 0.1
    assert scheduler.state_dict() == before
    assert optimizer.param_groups[0]["lr"] == 0.4
    wanted = math.sqrt(0.01) * (69 * 0.4 + 70 * 0.2 + 0.1) / (140 * 0.1)
    assert item(report, 4).numbers["D(T)"] == pytest.approx(wanted)


def test_a_number_is_a_constant():
    wanted = check(Constant(at=0.001), Constant(at=0.9), Constant(at=0.999), 500)
    assert check(0.001, 0.9, 0.999, 500) == wanted
    assert check(torch.tensor(0.001, dtype=torch.float64), np.array(0.9), np.float64(0.999), 500) == wanted


@pytest.mark.parametrize(
    "rounded",
    [
        lambda numbers: numbers.astype(np.float32),
        lambda numbers: torch.tensor(numbers, dtype=torch.float32),
        lambda numbers: [float(f"{number:.8g}") for number in numbers],
        lambda numbers: lr_scheduler.LambdaLR(
            sgd(torch.tensor(1.0)), lambda k: torch.tensor(numbers[min(k, len(numbers) - 1)], dtype=torch.float32)
        ),
    ],
)
def test_numbers_of_few_digits_get_the_verdicts_of_their_formula(rounded):
    """alpha_t = alpha_{t-1} sqrt(theta_t) at every step, exactly."""
    t = np.arange(1, 5001)
    alpha, theta = t**-0.5, 1 - 1 / t
    wanted = verdicts(check(Power(s=0.5), 0.9, TowardsOne(r=1.0), len(t)))
    assert wanted[1] == (True, True, True)
    assert verdicts(check(rounded(alpha), 0.9, theta, len(t))) == wanted
    assert verdicts(check(rounded(alpha), 0.9, rounded(theta), len(t))) == wanted


def test_rises_too_small_for_few_digits_are_seen_where_they_add_up():
    horizon = 10**6
    for alpha in (0.001, [0.001] * horizon):
        found = check(alpha, 0.9, 1 - 1 / horizon, horizon).conditions[1].items[1]
        assert not found.passed
        assert found.numbers["largest ratio"] == pytest.approx(1 + 0.5 / horizon, rel=1e-9)
        assert found.first_violation == pytest.approx(0.02 * horizon, abs=3)  # a rise by a hundredth


def test_a_function_of_single_steps_is_not_called_with_what_it_cannot_take():
    def stepwise(t):
        assert isinstance(t, int)
        return 0.1 if t < 50 else 0.05

    largest = lambda t: 1 / np.sqrt(np.max(t))  # noqa: E731  # of an array it gives one number
    found, wanted = (item(check(alpha, 0.9, 0.99, 200), 4).numbers for alpha in (stepwise, [0.1] * 49 + [0.05] * 151))
    assert found == wanted
    found, wanted = (item(check(alpha, 0.9, 0.99, 200), 4).numbers for alpha in (largest, Power(s=0.5)))
    assert found == pytest.approx(wanted)


# Known methods -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [100, 1000, 100_000])
def test_adagrad_with_momentum_satisfies_all_three(horizon):
    report = check(Power(s=0.5), 0.9, TowardsOne(r=1.0), horizon)
    assert verdicts(report) == ((True,) * 4, (True,) * 3, (True,) * 3)
    assert all(conditions.passed for conditions in report.conditions)


def test_adamnc_has_a_momentum_that_only_defossez_does_not_treat():
    report = check(Power(s=0.5), Geometric(first=0.9, ratio=0.999), Weighted(), 5000)
    assert (sufficient(report), adafom(report), defossez(report)) == ("++++", "+++", "-++")
    assert report.conditions[2].items[0].first_violation == 2


@pytest.mark.parametrize(
    ("alpha", "theta", "form"),
    [
        (0.001, 0.999, True),
        (0.001, BiasCorrected(b=0.999), True),
        (BiasCorrection(b1=0.9), BiasCorrected(b=0.999), True),
        (BiasCorrection(b1=0.9, b2=0.999), 0.999, True),
        (BiasCorrection(b1=0.0, b2=0.999), 0.999, True),
        (BiasCorrection(b1=0.8), BiasCorrected(b=0.999), False),
        (BiasCorrection(b1=0.9, b2=0.99), 0.999, False),
        (Power(s=0.5), 0.999, False),
        (0.001, TowardsOne(r=1.0), False),
    ],
)
def test_adam_in_its_forms_has_a_plateau(alpha, theta, form):
    report = check(alpha, 0.9, theta, 50_000)
    assert not report.conditions[0].passed
    assert defossez(report) == ("++-" if form else "+--")


def test_momentum_above_the_decay_of_squares_is_outside_defossez():
    assert defossez(check(0.001, 0.9, 0.8, 1000)) == "-+-"


def test_constants_chosen_for_the_horizon_have_a_small_bound_and_a_plateau():
    horizon = 10_000
    report = check(horizon**-0.5, 0.9, 1 - 1 / horizon, horizon)
    assert sufficient(report) == "+++-"
    found = item(report, 4)
    assert found.numbers["D(T)"] == pytest.approx(0.01)
    assert found.numbers["1/(T alpha_T)"] == pytest.approx(0.01)
    assert "chosen anew for every horizon" in found.remark
    assert "chosen anew" not in item(check(horizon**-0.5, 0.9, 0.99, horizon), 4).remark
    assert defossez(report) == "++-"


def test_a_horizon_that_is_too_short_is_said_to_be():
    report = check(0.001, 0.9, BiasCorrected(b=0.9999), 1000)
    assert sufficient(report) == "++-+"
    assert "the horizon is too short" in item(report, 3).remark
    assert "the horizon is too short" in item(report, 4).remark
    assert sufficient(check(0.001, 0.9, BiasCorrected(b=0.9999), 200_000)) == "+++-"


# Awkward schedules ---------------------------------------------------------------------------------------------------


def test_momentum_that_tends_to_one_fails():
    found = item(check(Power(s=0.5), TowardsOne(r=0.25), TowardsOne(), 1000), 1)
    assert not found.passed
    assert found.fitted == pytest.approx(0.25)
    slowly = item(check(Power(s=0.5), lambda t: 1 - 1 / math.log(t + 2), TowardsOne(), 1000), 1)
    assert not slowly.passed
    assert item(check(Power(s=0.5), 1 - 1e-9, TowardsOne(), 1000), 1).passed


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("first", [0, 1])
def test_a_warm_up_passes(share, first):
    horizon = 5000
    warm = share * horizon
    alpha = [min(1.0, (t - 1 + first) / warm) * min(1.0, warm / t) ** 0.5 for t in range(1, horizon + 1)]
    report = check(alpha, 0.9, TowardsOne(), horizon)
    assert sufficient(report) == "++++"
    assert ("without the first 1 steps" in item(report, 3).remark) == (first == 0)


def test_a_cosine_to_zero_has_no_vanishing_bound():
    horizon = 1000
    report = check([1 + math.cos(math.pi * t / horizon) for t in range(1, horizon + 1)], 0.9, TowardsOne(), horizon)
    assert sufficient(report) == "+++-"
    assert item(report, 4).first_violation == horizon
    assert item(report, 4).numbers["D(T)"] is None
    json.dumps(report.plain(), allow_nan=False)
    nearly = check(lr_scheduler.CosineAnnealingLR(sgd(), horizon), 0.9, TowardsOne(), horizon)
    assert sufficient(nearly) == "+++-"
    beyond = check(lr_scheduler.CosineAnnealingLR(sgd(), 500), 0.9, TowardsOne(), horizon)
    assert sufficient(beyond) == "++--"
    assert item(beyond, 3).sentence == "chi_t rises from 0"


@pytest.mark.parametrize("at", [300, 500, 777, 998])
def test_a_single_dip_of_theta_is_found_and_is_no_growth(at):
    theta = np.full(1000, 0.999)
    theta[at] = 0.9  # at step at + 1
    report = check(Power(s=0.5), 0.9, theta, 1000)
    assert sufficient(report) == "+-+-"
    assert item(report, 2).first_violation == at + 1
    assert item(report, 3).numbers["C_0"] == pytest.approx(math.sqrt(100 * (at + 1) / (at + 2)))


def test_a_theta_of_zero_is_allowed_at_the_first_step_only():
    numbers = [0.0, *[0.99] * 499]
    assert item(check(Power(), 0.9, numbers, 500), 2).passed
    numbers[1] = 0.0
    found = item(check(Power(), 0.9, numbers, 500), 2)
    assert (found.passed, found.first_violation) == (False, 2)


def test_a_rate_that_fell_in_stages_before_has_a_plateau():
    scheduler = lr_scheduler.MultiStepLR(sgd(), [300, 450])
    found = item(check(scheduler, 0.9, 0.999, 1000), 4)
    assert not found.passed  # though D itself still falls, as 1/T
    assert found.numbers[OWN] > 0.9


def test_a_sum_of_1_over_t_grows_like_a_logarithm():
    found = item(check(Power(s=1.0), 0.9, 0.99, 1000), 4)
    assert not found.passed
    assert found.sentence == "D(T) = 0.749, which grows like log T"  # 0.1 (1 + 1/2 + ... + 1/1000)


@pytest.mark.parametrize("idle", [500, 800])
def test_nothing_is_fitted_where_alpha_is_zero_up_to_half_the_horizon(idle):
    report = check([0.0] * idle + [1.0] * (1000 - idle), 0.9, TowardsOne(), 1000)
    assert (sufficient(report), adafom(report)) == ("++--", "+--")
    said = f"alpha_t is 0 for the first {idle} steps, half the horizon or more, so nothing can be fitted"
    for found in (item(report, 3), item(report, 4), report.conditions[1].items[2]):
        assert (found.sentence, found.fitted, found.remark) == (said, None, "")
    assert item(report, 4).numbers["D(T)"] == pytest.approx(sum(t**-0.5 for t in range(idle + 1, 1001)) / 1000)
    json.dumps(report.plain(), allow_nan=False)
    fewer = check([0.0] * 499 + [1.0] * 501, 0.9, TowardsOne(), 1000)
    assert sufficient(fewer) == "++-+"
    assert item(fewer, 3).fitted == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("alpha", [5e-324, 1e-310, 1e200, 1e305, 1e308])
@pytest.mark.parametrize("theta", [0.0, 0.999, TowardsOne()])
def test_numbers_beyond_double_precision_are_none_and_said_to_be(alpha, theta):
    report = check(alpha, 0.9, theta, 1000)
    json.dumps(report.plain(), allow_nan=False)
    if alpha == 1e308:
        found = (item(report, 4), report.conditions[1].items[2])
        assert [i.sentence for i in found] == ["its numbers leave the range of double precision"] * 2
        assert [i.remark for i in found] == ["", ""]
        assert found[1].numbers["sum alpha_t"] is None


def test_a_form_whose_scale_is_infinite_does_not_fit_everything():
    assert defossez(check([1e308] + [1.0] * 199, 0.9, 0.999, 200)) == "+--"


@pytest.mark.parametrize(
    ("s", "r", "k", "said", "sentence"),
    [
        (0.495, 1.0, 3, "the exponent 0.005 is below what is told from 0 (0.01)", "SC holds; "),
        (0.5, 0.015, 4, "the exponent 0.0075 is below what is told from 0 (0.01)", "SC does not hold (item 4 fails)"),
        (0.992, 0.5, 4, "the exponent 0.008 is below what is told from 0 (0.01)", "SC does not hold (item 4 fails)"),
    ],
)
def test_verdicts_near_the_borders_are_said_to_be(s, r, k, said, sentence):
    report = check(*powers(s, r), 10_000)
    assert item(report, k).remark == said
    assert report.conditions[0].sentence.startswith(sentence)
    assert report.conditions[0].sentence.endswith("; near the border: exact exponents say otherwise")
    assert "border" not in report.conditions[1].sentence  # item b fails whatever the exponents are
    assert "border" not in check(*powers(0.4, 1.0), 10_000).conditions[0].sentence


def test_what_vanishes_only_like_a_logarithm_passes():
    found = item(check(Power(s=0.5), 0.9, lambda t: 1 - 1 / math.log(t + 2), 20_000), 4)
    assert found.passed
    assert 0.01 < found.fitted < 0.1


def test_where_chi_begins_to_grow_is_not_spoilt_by_round_off():
    t = np.arange(1.0, 20_001)
    alpha = np.where(t <= 5000, t**-0.5, 5000**-0.1 * t**-0.4)
    found = item(check(alpha, 0.9, (1 - 1 / t).tolist(), len(t)), 3)
    assert (found.passed, found.first_violation) == (False, 5001)


# Errors --------------------------------------------------------------------------------------------------------------


def nan_at(step, horizon=200):
    return [math.nan if t == step else 0.1 for t in range(1, horizon + 1)]


def broken(t):
    return 1 / (t - 7) ** 2


@pytest.mark.parametrize(
    ("alpha", "beta", "theta", "wanted"),
    [
        (Power(), 0.9, 1.0, "theta is 1.0 at step 1, and must be at least 0 and less than 1"),
        (Power(), 0.9, -0.1, "theta is -0.1"),
        (Power(), 0.9, lambda t: min(1.0, t / 150), "theta is 1.0 at step 150, and must be at least 0 and less than 1"),
        (Power(), 1.0, 0.99, "beta is 1.0 at step 1, and must be at least 0 and less than 1"),
        (Power(), lambda t: 0.5 - t, 0.99, "beta is -0.5 at step 1"),
        (lambda t: 3 - t, 0.9, 0.99, "alpha is -1.0 at step 4, and must be finite and not negative"),
        (nan_at(55), 0.9, 0.99, "alpha is nan at step 55"),
        (Power(), nan_at(56), 0.99, "beta is nan at step 56"),
        (Power(), 0.9, nan_at(57), "theta is nan at step 57"),
        (math.inf, 0.9, 0.99, "alpha is inf at step 1"),
        ([], 0.9, 0.99, "alpha is an empty list"),
        (Power(), 0.9, [0.9] * 199, "theta has 199 numbers, and horizon=200 needs as many"),
        (Power(), 0.9, Listed(numbers=[0.9] * 199), "theta: the list has 199 numbers, and step 200 needs one too"),
        ([*[0.1] * 90, "x", *[0.1] * 109], 0.9, 0.99, "alpha is 'x' at step 91, and must be a number"),
        (np.ones((200, 2)), 0.9, 0.99, "alpha must be a list of numbers, not of 2 dimensions"),
        (broken, 0.9, 0.99, "alpha cannot be found at step 7: ZeroDivisionError"),
        (lambda t: None, 0.9, 0.99, "alpha is None at step 1, and must be a number"),
        (0.0, 0.9, 0.99, "alpha is 0 at every step up to horizon=200"),
        ("power", 0.9, 0.99, "alpha is a str, and must be a sequence, a function"),
        (True, 0.9, 0.99, "alpha is a bool, and must be"),
        (np.array(True), 0.9, 0.99, "alpha is a ndarray, and must be"),
        (torch.tensor(math.nan), 0.9, 0.99, "alpha is nan at step 1"),
        (Power(), None, 0.99, "beta is a NoneType, and must be"),
        (lr_scheduler.ReduceLROnPlateau(sgd()), 0.9, 0.99, "which follows a loss"),
        (
            lr_scheduler.OneCycleLR(torch.optim.Adam([torch.zeros(1)]), 0.1, 150),
            0.9,
            0.99,
            "cannot be found at step 152",  # after 151 steps
        ),
    ],
)
def test_bad_schedules(alpha, beta, theta, wanted):
    with pytest.raises(SettingError) as caught:
        check(alpha, beta, theta, 200)
    assert wanted in str(caught.value)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("horizon", [0, -5, 99, 10**8 + 1, 150.5, "200", True, None])
def test_bad_horizons(horizon):
    with pytest.raises(SettingError, match="horizon must be"):
        check(Power(), 0.9, 0.99, horizon)


def test_a_number_beside_one_is_not_rounded_to_one():
    near = Constant(at=math.nextafter(1.0, 0.0))
    assert item(check(Power(), 0.9, near, 200), 2).passed
    tiny = TowardsOne(r=1.0, c=1e-3)
    read = schedule_numbers.reader(tiny, "theta", LONG, below_one=True)
    assert read(LONG - 1, LONG)[0] == pytest.approx(1 / LONG, rel=1e-15, abs=0)


def test_progress_adds_up():
    told = []
    check(*powers(0.5, 1.0), 200_000, told.append)
    assert sum(told) == 200_000
    assert len(told) > 3
