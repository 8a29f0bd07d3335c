"""B6: hence less time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import (
    NEAR,
    NORM_TEST,
    RATES,
    REPLAY,
    STUDY,
    accuracy,
    best_small,
    by_task,
    difference,
    left_out,
    measured,
    ran,
    ratio,
    unless_at_edge,
)
from experiments.papers.adadagrad.parts import Part, judged, points, short, times, untestable
from experiments.statistics import decide_at_most

LESS = 1.0  # seconds over the rival's
COSTS = {"with the test": NORM_TEST, "without": REPLAY}  # whose seconds count: a replay takes no tests


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Released or tuned rates, with and without the seconds that the tests take; the main one first."""
    return [
        {"rate": rate, "cost": cost}
        for rate in RATES
        for cost, scheme in COSTS.items()
        if ran(measurements, rate, NORM_TEST, scheme)
    ]


def less_time(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B6: no more seconds than the best small constant batch, where the accuracy is like its own."""
    parts = []
    for task, rows in by_task(measurements, arm, NORM_TEST):
        rival = best_small(rows, NORM_TEST)
        if rival is None:
            parts.append(untestable(task, "no small constant batch"))
            continue
        own, other = (measured(rows, name, "seconds") for name in (COSTS[arm["cost"]], rival))
        found, apart = ratio(own, other), difference(accuracy(rows, NORM_TEST), accuracy(rows, rival))
        said = f"{short(task)}: seconds over those of {rival} {times(found)}, accuracy {points(apart)}"
        of_test = ratio(measured(rows, NORM_TEST, "seconds"), measured(rows, REPLAY, "seconds"))
        if math.isfinite(of_test.value):
            said = f"{said}; with the test {times(of_test)} times the seconds without"
        if not apart.value >= -NEAR:
            answer, said = NOT_TESTABLE, f"{said}; not counted, the accuracy is not alike"
        elif own.isna().any() or other.isna().any():
            answer, said = NOT_TESTABLE, f"{said}; not counted, seconds are missing"
        else:
            answer, said = unless_at_edge(decide_at_most(found, LESS), said, rows, NORM_TEST, rival)
        shown = {"time": own.mean(), "rival": rival, "its time": other.mean(), "points apart": apart.value}
        parts.append(Part(task, found, answer, said, shown))
    return judged(parts, "highest", *left_out(measurements, arm, NORM_TEST))


CLAIM = Claim(
    id="B6",
    sentence="Hence it takes less time.",
    mark="S",
    studies=(STUDY,),
    statistic="seconds of training over those of the best small constant batch, at equal examples (the task where it "
    "is highest)",
    threshold="at most 1 [O] on every task where the mean accuracy is at most 0.5 points lower",
    judge=less_time,
    arms=arms,
)
