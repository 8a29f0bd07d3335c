"""P2: r = 1 and r = 3/4 turn, in the predicted order and later than the predicted reversal."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.practical_adam.counterexample_forms import GENERIC
from experiments.papers.practical_adam.counterexample_verdicts import (
    DRIFT,
    ONE_PATH,
    STUDY,
    arms,
    chosen,
    finite,
    shown,
    steps,
    untestable,
)
from experiments.statistics import LEAST_SEEDS, Answer, Interval, all_of, decide

if TYPE_CHECKING:
    import pandas

FAST, SLOW = 1.0, 0.75
SEEDS = 32  # "a single seed may cross 0 late even at r = 1"


def turns(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """P2, in one form and at one beta."""
    table = chosen(measurements, STUDY, "turns", arm)
    of_r = {r: table[(table.kind == GENERIC) & (table.r == r)] for r in (FAST, SLOW)}
    order = chosen(measurements, STUDY, "orders", {**arm, "r": SLOW, "beside": FAST})
    if any(of.empty for of in (*of_r.values(), order)):
        return untestable("r = 1 and r = 3/4 were not both run, as neighbours")
    rows = {r: of.iloc[0] for r, of in of_r.items()}
    fewest = min(int(row.n) for row in rows.values())
    if fewest == 1:
        said = "; ".join(_said(r, row) for r, row in rows.items())
        return untestable(f"{ONE_PATH}, and the prediction is for independent draws; {said}")
    if fewest < SEEDS:
        return untestable(
            f"the mean is over {fewest} seeds, and single seeds may turn late: at least {SEEDS} are needed"
        )
    if min(float(row.drift) for row in rows.values()) < DRIFT:
        return untestable(f"the drift that remains after t* in {int(rows[SLOW].steps):,} steps is below {DRIFT:g}")
    parts: list[tuple[str, Interval]] = [
        (f"turn over t*, r = {r:g}", _over(row, float(row.predicted))) for r, row in rows.items()
    ]
    row = order.iloc[0]
    ratio = Interval(float(row.ratio), float(row.low), float(row.high), int(row.n))
    parts.append(("turn at r = 3/4 over that at r = 1", ratio))
    turned = {r: _turned(row) for r, row in rows.items()}
    answers = [decide(interval, 1.0) for _, interval in parts]
    known = [interval for _, interval in parts if not math.isnan(interval.value)]  # nan: neither ever turns
    least = min(known, key=lambda interval: interval.value)
    remarks = [_said(r, row) for r, row in rows.items()] + [f"{name}: {shown(of, '.3g')}" for name, of in parts]
    remarks += _others(table)
    cells = [
        finite({"of": name, "value": of.value, "low": of.low, "high": of.high, "seeds": of.n, "answer": answer})
        for (name, of), answer in zip(parts, answers, strict=True)
    ]
    cells += [
        finite({"of": f"turn, r = {r:g}", "value": row.turn, "low": row.low, "high": row.high, "seeds": int(row.n),
                "answer": turned[r]})
        for r, row in rows.items()
    ]  # fmt: skip
    return Judgement(all_of([*turned.values(), *answers]), least, tuple(remarks), tuple(cells))


def _over(row: "pandas.Series", by: float) -> Interval:
    return Interval(float(row.turn) / by, float(row.low) / by, float(row.high) / by, int(row.n))


def _turned(row: "pandas.Series") -> Answer:
    """Whether the mean turns before the end: in all resamples of the seeds but 2.5%, or in at most 2.5% of them."""
    if row.n < LEAST_SEEDS:
        return "inconclusive"
    if row.high < row.steps:
        return "holds"
    return "fails" if row.low >= row.steps else "inconclusive"


def _said(r: float, row: "pandas.Series") -> str:
    bounds = f" ({steps(row.low)} to {steps(row.high)})" if row.n > 1 else ""
    turn = (
        f"turns at {steps(row.turn)}{bounds}"
        if math.isfinite(row.turn)
        else f"does not turn in {int(row.steps):,} steps"
    )
    return f"r = {r:g}: {turn}, t* {steps(row.predicted)}, remaining drift {row.drift:.2f}"


def _others(table: "pandas.DataFrame") -> list[str]:
    """The smaller r: nothing is claimed of them."""
    others = table[(table.kind == GENERIC) & ~table.r.isin([FAST, SLOW])]
    return [f"{_said(row.r, row)}; beside the claim" for _, row in others.iterrows()]


def forms_and_betas(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every form at every beta, the main ones first; the prediction is for the stochastic ones."""
    return arms(measurements, STUDY, "turns", "form", "beta")


CLAIM = Claim(
    id="P2",
    sentence="On the counterexample, r = 1 and r = 3/4 turn to the right end within 10^7 steps, in the order that the "
    "reversal time t*(r) predicts.",
    mark="D",
    studies=(STUDY,),
    statistic="the last step at which the mean of x over at least 32 seeds is above 0: over t*(r), for r = 1 and 3/4, "
    "and at r = 3/4 over that at r = 1 (the least of the three; intervals by resampling the seeds)",
    threshold="at least 1, and both turn before the last step (tested where the remaining drift is at least 3)",
    judge=turns,
    arms=forms_and_betas,
)
