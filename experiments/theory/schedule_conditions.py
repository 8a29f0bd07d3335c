"""Whether three schedules satisfy conditions under which Generic Adam converges.

The sufficient condition (SC) of arXiv 2101.05471, section 2 of its page, with chi_t = alpha_t / sqrt(1 - theta_t):

    1  beta_t <= beta < 1
    2  0 < theta_t < 1, non-decreasing; theta_1 = 0 is allowed
    3  chi_t almost non-increasing: at most C_0 times its running minimum
    4  D(T) = (sum_{t<=T} alpha_t sqrt(1 - theta_t)) / (T alpha_T) -> 0

A limit is judged by numbers up to the horizon T, so that a formula, a list of its numbers and a scheduler get the same
verdict: what is bounded must no longer grow in the last octave (T/2, T], and what tends to 0 must fall there by a
power. What moves in steps wider than that is not seen, such as a chi_t that grows tenfold once in a decade.

For D the exponent is that of its terms: where alpha_t is like t^-a and alpha_t sqrt(1 - theta_t) like t^-q near T, and
both go on so, D falls like T^-(min(q, 1) - a), times log T at q = 1. D's own exponent near T, which still remembers its
first terms, is given beside it (divided by log T at q = 1).
"""

from collections.abc import Callable

import numpy as np

from experiments.theory.schedule_adafom import adafom
from experiments.theory.schedule_defossez import Shapes, defossez
from experiments.theory.schedule_numbers import Schedule, exponents, reader
from experiments.theory.schedule_report import (
    OVERFLOW,
    TOLERANCE,
    Conditions,
    Item,
    Report,
    border,
    exponent,
    failing,
    falling,
    finite,
    growth,
    unseen,
)
from experiments.theory.schedule_sums import Sums, pieces
from optim import settings
from optim.settings import SettingError

SHORTEST, LONGEST = 100, 10**8
_OF_THE_HORIZON = 10  # 1 - theta of at most so many T-ths goes with the horizon


def check(
    alpha: Schedule, beta: Schedule, theta: Schedule, horizon: int, told: Callable[[int], object] | None = None
) -> Report:
    """Check alpha_t, beta_t and theta_t for t = 1, ..., horizon; `told` hears how many steps were just taken.

    Each is an `optim.sequence.Sequence`, a function of t, a list of at least `horizon` numbers, a number, or a torch
    scheduler, whose learning rates (of its first group, from where it stands) are read off a copy.

    Raises SettingError for a horizon outside [100, 10^8], alpha_t negative or 0 throughout, beta_t or theta_t outside
    [0, 1), a number that is not finite, a list that is too short, and a function that raises.
    """
    horizon = settings.check(horizon, int, {"minimum": SHORTEST, "maximum": LONGEST}, "horizon")
    of_alpha = reader(alpha, "alpha", horizon, below_one=False)
    of_beta = reader(beta, "beta", horizon, below_one=True)
    of_theta = reader(theta, "theta", horizon, below_one=True)
    sums, shapes = Sums(), Shapes()
    for piece in pieces(of_alpha, of_beta, of_theta, horizon, told):
        sums.take(piece)
        shapes.take(piece)
    if not sums.alphas:
        raise SettingError(f"alpha is 0 at every step up to horizon={horizon}: nothing would move")
    s, r, b = exponents(alpha)[0], exponents(theta)[1], exponents(beta)[1]
    return Report(
        horizon,
        exponent(sums.times, sums.mean_alpha),
        exponent(sums.times, sums.mean_theta_rest),
        (_sufficient(sums, s, r, b), adafom(sums, s, r), defossez(shapes, sums)),
    )


def limit(s: float, r: float) -> float:
    """The exponent at which D(T) falls for alpha_t like t^-s and 1 - theta_t like t^-r. On the line s + r/2 = 1 there
    is a factor log T besides.
    """
    return min(r / 2, 1 - s)


def _sufficient(sums: Sums, s: float | None, r: float | None, b: float | None) -> Conditions:
    items = (_below_one(sums, b), _non_decreasing(sums), _almost_non_increasing(sums, s, r), _vanishing(sums, s, r))
    if all(item.passed for item in items):
        sentence = f"SC holds; the bound on the gradient {_rate(sums)}"
    else:
        sentence = (
            f"SC does not hold ({failing(items)}), which need not mean divergence: it is sufficient, not necessary"
        )
    return Conditions("SC", "sufficient condition of arXiv 2101.05471 [R]", items, sentence + border(items))


def _below_one(sums: Sums, b: float | None) -> Item:
    found = growth(sums.ends, [1 / rest for rest in sums.beta_rests])
    passed = found is not None and found <= TOLERANCE
    in_the_limit = None if b is None else b <= 0
    sentence = f"sup beta_t = {1 - sums.beta_rest:.6g}, at step {sums.beta_at}"
    if not passed:
        sentence = f"1 - beta_t has fallen to {sums.beta_rest:.3g} and falls on: beta_t tends to 1"
    return Item(
        "1 sup beta_t < 1",
        passed,
        sentence,
        {"sup beta": 1 - sums.beta_rest, "at step": sums.beta_at},
        found,
        b,
        remark=unseen(passed, in_the_limit, b, sentence),
        in_the_limit=in_the_limit,
    )


def _non_decreasing(sums: Sums) -> Item:
    steps = [step for step in (sums.theta_zero, sums.theta_falls) if step]
    sentence = f"theta_t rises to {1 - sums.theta_rest:.9g}"
    if steps:
        what = "is 0" if sums.theta_zero == min(steps) else "falls"
        sentence = f"theta_t {what} at step {min(steps)}"
    numbers: dict[str, float | None] = {"1 - theta_T": sums.theta_rest}
    return Item(
        "2 0 < theta_t < 1, non-decreasing", not steps, sentence, numbers, first_violation=min(steps, default=None)
    )


def _almost_non_increasing(sums: Sums, s: float | None, r: float | None) -> Item:
    found = None if sums.unfitted else growth(sums.ends, sums.excesses)
    exact = None if s is None or r is None else max(0.0, r / 2 - s)
    in_the_limit = None if exact is None else exact <= 0
    passed = found is not None and found <= TOLERANCE
    sentence = f"chi_t is never above C_0 = {sums.excess:.4g} times its running minimum"
    if not passed:
        sentence = f"C_0 has reached {sums.excess:.4g} and grows on"
        if found is None:
            sentence = sums.unfitted or ("chi_t rises from 0" if sums.alpha_zero else OVERFLOW)
    remarks = [unseen(passed, in_the_limit, exact, sentence)]
    if sums.idle and not sums.unfitted:
        remarks.append(f"without the first {sums.idle} steps, where alpha_t = 0")
    return Item(
        "3 chi_t almost non-increasing",
        passed,
        sentence,
        {"C_0": finite(sums.excess)},
        found,
        exact,
        None if passed else sums.chi_rises or None,
        "; ".join(filter(None, remarks)),
        in_the_limit,
    )


def _of_terms(sums: Sums) -> tuple[float | None, bool]:
    """The exponent of D that its terms give, and whether there is a factor log T besides."""
    if sums.unfitted:
        return None, False
    a, q = exponent(sums.times, sums.mean_alpha), exponent(sums.times, sums.mean_term)
    if a is None or q is None or not np.isfinite(sums.mean_log_ratio).all():
        return None, False
    return min(q, 1.0) - a, abs(q - 1) <= TOLERANCE


def _ratio(sums: Sums) -> float | None:
    """D(T)."""
    return finite(sums.terms / (sums.ends[-1] * sums.alpha)) if sums.alpha else None


def _rate(sums: Sums) -> str:
    found, with_log = _of_terms(sums)
    return f"falls like T^-{found:.3g}{' log T' if with_log else ''}"


def _of_the_horizon(sums: Sums) -> bool:
    """Whether alpha and theta are constants, and 1 - theta so small that it was chosen for the horizon."""
    found = [exponent(sums.times, means) for means in (sums.mean_alpha, sums.mean_theta_rest)]
    constant = all(slope is not None and abs(slope) <= TOLERANCE for slope in found)
    return constant and sums.theta_rest * sums.ends[-1] <= _OF_THE_HORIZON


def _vanishing(sums: Sums, s: float | None, r: float | None) -> Item:
    found, with_log = _of_terms(sums)
    logs = np.asarray(sums.mean_log_ratio) - (np.log(np.log(sums.times)) if with_log else 0.0)
    own, ratio = falling(sums.times, logs), _ratio(sums)
    first = finite(1 / (sums.ends[-1] * sums.alpha)) if sums.alpha else None
    exact = None if s is None or r is None else limit(s, r)
    in_the_limit = None if exact is None else exact > 0
    remarks: list[str] = []
    passed = found is not None and ratio is not None and found > TOLERANCE
    if found is None or ratio is None or first is None or own is None:
        sentence = f"alpha_t is 0 at step {sums.alpha_zero}, where D is infinite" if sums.alpha_zero else OVERFLOW
        sentence = sums.unfitted or sentence
    elif passed:
        sentence = f"D(T) = {ratio:.3g}, which {_rate(sums)}"
        if own <= 0:
            remarks.append("D itself still grows near T")
    else:
        tends = f"grows in the end like T^{-found:.3g}"
        if found >= -TOLERANCE:
            tends = "grows like log T" if with_log else "levels off at a plateau"
        sentence = f"D(T) = {ratio:.3g}, which {tends}"
        if _of_the_horizon(sums):
            remarks.append(
                f"chosen anew for every horizon, such schedules have a bound of order D(T) + 1/(T alpha_T) = "
                f"{ratio + first:.3g}"
            )
    remarks.append(unseen(passed, in_the_limit, exact, sentence))
    return Item(
        "4 D(T) -> 0",
        passed,
        sentence,
        {"D(T)": ratio, "1/(T alpha_T)": first} | ({} if own is None else {"D's own exponent": own}),
        found,
        exact,
        None if passed else sums.alpha_zero or None,
        "; ".join(filter(None, remarks)),
        in_the_limit,
    )
