"""A4: a larger batch costs AdaGrad no examples until a critical batch."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.critical_batches import (
    CONDITIONAL,
    LEAST_SPAN,
    METHOD,
    NOTHING,
    STUDY,
    arms,
    chosen,
    doubt,
    plain,
    seconds_and_steps,
    summary,
)
from experiments.statistics import UNKNOWN, Answer, all_of, decide, decide_at_most

MOST = 1.5  # how many more examples than the smallest batch needs, up to M*/8
STEEP = (0.7, 1.1)  # slope of log N against log M beyond 4 M*


def no_cost_until_critical(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A4: flat up to M*/8, and linear beyond 4 M* where the range of M shows that, for every set and target."""
    table = chosen(measurements, arm)
    own = table[table.method == METHOD].to_dict(orient="records")
    if not own:
        return NOTHING
    judged = [(_flat(row), _steep(row)) for row in own]
    answers = [all_of(both) for both in judged]
    alone = judged.count(("holds", NOT_TESTABLE))
    ratios = [ratio for row in own for _, ratio in row["flat"]]
    worst = max(ratios, key=lambda r: r.value, default=UNKNOWN)
    remarks = [
        _count("up to M*/8", [flat for flat, _ in judged]),
        _count("beyond 4 M*", [steep for _, steep in judged]),
    ]
    if alone:
        remarks.append(f"{alone} of {len(own)} cells on the flat part alone: no batch sizes beyond 4 M*")
    remarks += [f"{summary(row)}: {why}" for row in own if (why := _untold(row))]
    remarks += [
        f"{summary(row)}: not as claimed" for row, answer in zip(own, answers, strict=True) if answer == "fails"
    ]
    remarks += [*_critical(table), *seconds_and_steps(measurements)]
    cells = [
        {**plain(row), "flat": flat, "steep": steep, "answer": answer}
        for row, (flat, steep), answer in zip(own, judged, answers, strict=True)
    ]
    return Judgement(all_of(answers), worst, tuple(remarks), tuple(cells))


def _flat(row: Mapping[str, Any]) -> Answer:
    """Does no batch size up to M*/8 need more than 1.5 times the examples of the smallest?

    Where the sizes begin too late to tell, or M* is 0, nothing was seen to be free: that decides nothing.
    """
    if _untold(row):
        return "inconclusive"
    return all_of([decide_at_most(ratio, MOST) for _, ratio in row["flat"]])


def _untold(row: Mapping[str, Any]) -> str:
    """Why the flat part cannot be told; empty where it can, and where there is no fit at all."""
    if why := doubt(row):
        return why
    if row["flat"] or row["sizes"] < 3:
        return ""
    return f"nothing seen to be free, M*/8 is less than {LEAST_SPAN} times the smallest batch size"


def _steep(row: Mapping[str, Any]) -> Answer:
    """Is the slope beyond 4 M* that of a line?"""
    slope = row["steep_slope"]
    if slope is None:
        return NOT_TESTABLE
    if row["edge"]:
        return "inconclusive"
    return all_of([decide(slope, STEEP[0]), decide_at_most(slope, STEEP[1])])


def _count(where: str, answers: list[Answer]) -> str:
    return f"{where}: " + ", ".join(f"{answers.count(a)} {a}" for a in dict.fromkeys(answers))


def _critical(table: Any) -> list[str]:
    """Fitted and predicted critical batches of each method."""
    lines = []
    for method, rows in table.groupby("method", sort=False):
        fitted = [(c.value, p) for c, p in zip(rows.critical, rows.predicted, strict=True) if 0 < c.value < math.inf]
        ratios = sorted(p / c for c, p in fitted)
        if ratios:
            lines.append(
                f"{method}: M* fitted {min(c for c, _ in fitted):.3g} to {max(c for c, _ in fitted):.3g}; predicted "
                f"over fitted (up to a constant, sigma at w_0): median {float(np.median(ratios)):.3g}, from "
                f"{ratios[0]:.3g} to {ratios[-1]:.3g}"
            )
    return lines


CLAIM = Claim(
    id="A4",
    sentence="A larger batch costs AdaGrad no examples until a critical batch size.",
    mark="S",
    studies=("curves", STUDY),
    statistic=f"largest N(M)/N(M_min) up to M*/8, M* from the fit N_0 (1 + M/M*); {CONDITIONAL}",
    threshold="at most 1.5 on every set and target, and slope of log N in [0.7, 1.1] beyond 4 M*",
    judge=no_cost_until_critical,
    arms=arms,
)
