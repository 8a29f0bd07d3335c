"""AdaFom's conditions on the schedules (Chen, Liu, Sun and Hong 2019), as we recall them, for all gradients.

Theorem 3.1 [R]: beta_t <= beta < 1 non-increasing, and the sum over steps of
||alpha_t g_t / sqrt(v_t)||^2 + ||alpha_t / sqrt(v_t) - alpha_{t-1} / sqrt(v_{t-1})||_1 is o(sum_t alpha_t).

Worst cases are ours [D], for bounded gradients and v_1 not small. The second part telescopes if no effective step can
grow; as v_t >= theta_t v_{t-1}, with equality at g_t = 0, that is `alpha_t <= alpha_{t-1} sqrt(theta_t)`. With
W_t = 1/(theta_2 ... theta_t), w_t = W_t - W_{t-1} and w_1 = 1, v_t = sum_{i<=t} w_i g_i^2 / W_t once v_0 is forgotten.
So the terms of the first part are chi_t^2 w_t g_t^2 / sum_{i<=t} w_i g_i^2, where chi_t = alpha_t / sqrt(1 - theta_t),
and their sum is at most max chi_t^2 (1 + log W_T + a constant).
"""

import math

from experiments.theory.schedule_report import (
    OVERFLOW,
    TOLERANCE,
    Conditions,
    Item,
    border,
    exponent,
    failing,
    finite,
    growth,
    unseen,
)
from experiments.theory.schedule_sums import Sums


def adafom(sums: Sums, s: float | None, r: float | None) -> Conditions:
    """The verdicts, for alpha_t like t^-s and 1 - theta_t like t^-r in the limit where that is known."""
    rises, grows = sums.beta_rises, sums.step_grows
    momentum = Item(
        "a beta_t <= beta < 1, non-increasing",
        not rises,
        f"beta_t rises at step {rises}" if rises else f"beta_t is at most {1 - sums.beta_rest:.6g}",
        {"sup beta": 1 - sums.beta_rest},
        first_violation=rises or None,
    )
    step = Item(
        "b alpha_t <= alpha_{t-1} sqrt(theta_t)",
        not grows,
        f"at g_t = 0, alpha/sqrt(v) has grown at step {grows}"
        if grows
        else "alpha/sqrt(v) never grows, whatever g_t is",
        {"largest ratio": finite(sums.step_growth)},
        first_violation=grows or None,
    )
    items = (momentum, step, _vanishing(sums, s, r))
    holds = "AdaFom's conditions hold for all gradients"
    fails = f"AdaFom's conditions do not hold for all gradients ({failing(items)})"
    sentence = holds if all(item.passed for item in items) else fails
    source = "Chen, Liu, Sun, Hong 2019 [R], for all gradients [D]"
    return Conditions("AdaFom", source, items, sentence + border(items))


def _vanishing(sums: Sums, s: float | None, r: float | None) -> Item:
    """The ratio of both sums. Its exponent is that of its parts, powers of T; a power of log T is not told from 1."""
    largest = sums.largest_chi * sums.largest_chi  # a power would raise where this is infinite
    above = largest * (1 + sums.log_weight)
    a, b = exponent(sums.times, sums.mean_alpha), exponent(sums.times, sums.mean_theta_rest)
    chi = growth(sums.ends, sums.largest_chis)
    found = None
    if not sums.unfitted and chi is not None and b is not None and math.isfinite(above):
        found = (0.0 if a is None else max(1 - a, 0.0)) - max(1 - b, 0.0) - 2 * chi
    exact = None if s is None or r is None else max(1 - s, 0.0) - max(1 - r, 0.0) - max(r - 2 * s, 0.0)
    in_the_limit = None if exact is None else exact > 0
    passed = found is not None and found > TOLERANCE
    ratio = finite(above / sums.alphas)
    shown = "infinite" if ratio is None else f"{ratio:.3g}"
    sentence = f"it is {shown} at T and {'falls' if passed else 'does not fall'}"
    if not math.isfinite(largest):
        sentence = OVERFLOW
    return Item(
        "c max chi_t^2 (1 + log W_T) / sum alpha_t -> 0",
        passed,
        sums.unfitted or sentence,
        {"ratio": ratio, "log W_T": finite(sums.log_weight), "sum alpha_t": finite(sums.alphas)},
        found,
        exact,
        remark=unseen(passed, in_the_limit, exact, sentence),
        in_the_limit=in_the_limit,
    )
