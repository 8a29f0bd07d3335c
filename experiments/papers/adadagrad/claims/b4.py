"""B4: better than a constant batch of the same average size, and than the largest."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import (
    ESTIMATES,
    SAME_AVERAGE,
    STUDY,
    accuracy,
    arms,
    by_task,
    difference,
    every,
    largest,
    left_out,
    measured,
    ratio,
    unless_undone,
)
from experiments.papers.adadagrad.parts import Part, judged, points, reached, short, untestable
from experiments.statistics import all_of, decide

if TYPE_CHECKING:
    import pandas

BETTER = 0.3  # percentage points
SAME = 0.1  # how far, relatively, a batch size may be from the average that it stands for


def better_than_large(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B4: both large constant batches are beaten on every task."""
    scheme = ESTIMATES[arm["estimate"]]
    parts, answers = [], []
    for task, rows in by_task(measurements, arm, scheme):
        both = [_same_average(task, rows, scheme), _cap(task, rows, scheme)]
        answers.append(every([part.answer for part in both]))
        parts += both
    return judged(parts, "lowest", *left_out(measurements, arm, scheme), answer=all_of(answers))


def _same_average(task: str, rows: "pandas.DataFrame", scheme: str) -> Part:
    if not (rows.scheme == SAME_AVERAGE).any():
        return untestable(task, "no constant batch of the same average size", rival=SAME_AVERAGE)
    sizes = ratio(*(measured(rows, name, "average_size") for name in (SAME_AVERAGE, scheme)))
    if abs(sizes.value - 1) > SAME:  # the average of another scheme
        return untestable(task, f"the constant batch is {sizes.value:.3g} times the average size", rival=SAME_AVERAGE)
    size = rows[rows.scheme == SAME_AVERAGE].first_size.iloc[0]
    return _against(task, rows, scheme, SAME_AVERAGE, f"a constant batch of the same average size, {size:.0f}")


def _cap(task: str, rows: "pandas.DataFrame", scheme: str) -> Part:
    cap = largest(rows)
    return (
        _against(task, rows, scheme, cap, cap) if cap else untestable(task, "no batch of all examples", rival="the cap")
    )


def _against(task: str, rows: "pandas.DataFrame", scheme: str, rival: str, named: str) -> Part:
    own, other = accuracy(rows, scheme), accuracy(rows, rival)
    found = difference(own, other)
    said = f"{short(task)}: {reached(own)} against {reached(other)} of {named}: {points(found)}"
    answer, said = unless_undone(decide(found, BETTER), said, rows, scheme, rival)
    size = int(rows[rows.scheme == rival].first_size.iloc[0])
    shown = {"accuracy": own.mean(), "rival": rival, "its size": size, "its accuracy": other.mean()}
    return Part(task, found, answer, said, shown)


CLAIM = Claim(
    id="B4",
    sentence="It is better than a constant large batch: that of the same average size, and the largest.",
    mark="S",
    studies=(STUDY,),
    statistic="test accuracy at equal examples minus that of the constant batch of the same average size (within 10% "
    "[O]), and minus that of the cap (percentage points, paired; the worst of both and of the tasks)",
    threshold="at least 0.3 points, both on every task",
    judge=better_than_large,
    arms=arms,
)
