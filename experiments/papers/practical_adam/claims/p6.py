"""P6: N nodes with batch b are one node with batch N b."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.practical_adam.distributed_figures import TOLERANCE
from experiments.statistics import UNKNOWN, Answer, Interval

STUDY = "distributed"
ALL = "all"
DIFFERS = 1e-6  # the least difference of the control that shows that there is something to see


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """All tasks together or each alone; the main one first."""
    table = measurements[STUDY].tables["errors"]
    return [] if table.empty else [{"task": task} for task in (ALL, *table.task.unique())]


def same(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """P6: no parameter and no metric differs by more than round-off, after any number of steps."""
    table = measurements[STUDY].tables["errors"]
    own = table[(table.processes > 1) & (True if arm["task"] == ALL else table.task == arm["task"])]
    cells = []
    for (task, n), rows in own.groupby(["task", "processes"], sort=False):
        found = {name: float(rows[name].max(skipna=False)) for name in ("parameters", "metrics")}
        control = float(rows.control.min(skipna=False))
        answer = _answer(float(np.max(list(found.values()))), control)
        shown = {"task": task, "processes": int(n), "steps": int(rows.steps.max())}
        cells.append({**shown, **found, "control": control, "answer": answer})
    if not cells:
        return Judgement(NOT_TESTABLE, UNKNOWN)
    worst = float(own[["parameters", "metrics"]].max(skipna=False).max(skipna=False))
    control = min(cell["control"] for cell in cells)
    counts = ", ".join(str(n) for n in sorted(own.processes.unique()))
    steps = ", ".join(str(s) for s in sorted(own.steps.unique()))
    beside = (
        f"against one process with the batch of one of the N, parameters differ by {control:.2g} or more: what a sum "
        "that leaves out the others would show"
    )
    remarks = (f"N = {counts} processes, after {steps} steps in float64", beside)
    return Judgement(_answer(worst, control), Interval(worst, worst, worst, len(own)), remarks, tuple(cells))


def _answer(error: float, control: float) -> Answer:
    """An exact claim; undecided where the comparison sees nothing."""
    if not error <= TOLERANCE:
        return "fails"
    return "holds" if control >= DIFFERS else "inconclusive"


CLAIM = Claim(
    id="P6",
    sentence="Adam on N nodes with batch b takes the steps of Adam on one node with batch N b.",
    mark="D",
    studies=(STUDY,),
    statistic="largest relative difference of a parameter (over the largest one) or of a recorded metric, real "
    "processes against one (n: comparisons)",
    threshold="at most 1e-12 [O], exact; while one node with batch b differs by 1e-6 [O] or more",
    judge=same,
    arms=arms,
)
