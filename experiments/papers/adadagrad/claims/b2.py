"""B2: batch sizes grow gradually."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adadagrad.claims.b1 import sizes_of
from experiments.papers.adadagrad.comparisons import (
    ESTIMATES,
    STUDY,
    arms,
    by_task,
    certain,
    left_out,
    measured,
    ratio,
    room,
)
from experiments.papers.adadagrad.parts import Part, judged, short, times, untestable, whole

GRADUAL, SUDDEN = 0.05, 0.2  # size after three tests over the last one: below holds, above fails
TESTS = 3


def gradual(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B2: after three tests the batch is a small part of what it becomes, on every task."""
    scheme = ESTIMATES[arm["estimate"]]
    parts = []
    for task, rows in by_task(measurements, arm, scheme):
        sizes = sizes_of(measurements, rows, scheme)
        if sizes.empty:
            parts.append(untestable(task, "sizes on the way were not recorded"))
            continue
        early = sizes[sizes.tests <= TESTS].groupby("seed")["size"].last().astype(float)
        last = measured(rows, scheme, "final_size")
        found, possible = ratio(early, last), room(measurements, task, scheme)
        answer = certain(found, holds=found.high < GRADUAL, fails=found.low > SUDDEN)
        said = (
            f"{short(task)}: size {early.median():.0f} after {TESTS} tests, {last.median():.0f} at the end, "
            f"ratio {times(found)}"
        )
        if possible < 1 / GRADUAL:  # nothing could be that gradual
            answer, said = NOT_TESTABLE, f"{said}; not counted, the cap is {possible:.3g} times the first size"
        parts.append(
            Part(task, found, answer, said, {"after 3 tests": whole(early.median()), "last": whole(last.median())})
        )
    return judged(parts, "highest", *left_out(measurements, arm, scheme))


CLAIM = Claim(
    id="B2",
    sentence="The growth of the batch size is gradual.",
    mark="R",
    studies=(STUDY,),
    statistic="batch size after three tests over the last one (the task where it is highest)",
    threshold="below 0.05 on every task holds, above 0.2 on one fails; expected to fail at eta = 0.1, where one test "
    "of a small batch multiplies it by about 1/eta^2",
    judge=gradual,
    arms=arms,
)
