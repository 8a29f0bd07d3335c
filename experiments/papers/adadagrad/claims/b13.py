"""B13: at least as good as ramps made by hand."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import (
    MAIN,
    NEAR,
    NORM_TEST,
    RATES,
    STUDY,
    accuracy,
    by_task,
    difference,
    measured,
    ran,
    unless_undone,
)
from experiments.papers.adadagrad.parts import Part, judged, points, reached, short, whole
from experiments.statistics import decide

if TYPE_CHECKING:
    import pandas

ALIKE = 0.1  # how far, relatively, the steps of a ramp may be from the adaptive run's
KIND = "ramp"


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Released or tuned rates, where there are ramps; the main one first."""
    table = measurements[STUDY].tables["runs"]
    if table.empty:
        return []
    ramps = table[(table.kind == KIND) & (table.optimizer == MAIN)]
    return [{"rate": rate} for rate in RATES if ran(measurements, rate, NORM_TEST) and (ramps.rate == rate).any()]


def as_good_as_ramps(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B13: against every ramp of as many steps at most half a point is lost, on every task."""
    parts = [
        _against(task, rows, str(ramp))
        for task, rows in by_task(measurements, arm, NORM_TEST)
        for ramp in rows[rows.kind == KIND].scheme.unique()
    ]
    return judged(parts, "lowest")


def _against(task: str, rows: "pandas.DataFrame", ramp: str) -> Part:
    own, other = accuracy(rows, NORM_TEST), accuracy(rows, ramp)
    steps, of_ramp = (measured(rows, name, "steps") for name in (NORM_TEST, ramp))
    found, length = difference(own, other), of_ramp.mean() / steps.mean()
    steps_of_it = "of which no run ended" if math.isnan(length) else f"with {length:.3g} times the steps"
    said = f"{short(task)}: {reached(own)} against {reached(other)} of {ramp} {steps_of_it}: {points(found)}"
    answer, said = unless_undone(decide(found, -NEAR), said, rows, NORM_TEST, ramp)
    if abs(length - 1) > ALIKE:  # where no run of one ended, its accuracy is -inf, and that counts
        answer, said = NOT_TESTABLE, f"{said}; not counted, the steps are not within 10%"
    shown = {
        "accuracy": own.mean(),
        "steps": whole(steps.mean()),
        "ramp": ramp,
        "its accuracy": other.mean(),
        "its steps": whole(of_ramp.mean()),
    }
    return Part(task, found, answer, said, shown)


CLAIM = Claim(
    id="B13",
    sentence="It is at least as good as ramps of the batch size made by hand.",
    mark="R",
    studies=(STUDY,),
    statistic="test accuracy at equal examples minus that of a ramp whose mean number of steps is within 10% "
    "(percentage points, paired; the worst ramp and task)",
    threshold="at least -0.5 points [O] against every such ramp on every task",
    judge=as_good_as_ramps,
    arms=arms,
)
