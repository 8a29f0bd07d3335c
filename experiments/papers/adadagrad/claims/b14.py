"""B14: it is the feedback, not the schedule."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import (
    NORM_TEST,
    RATES,
    REPLAY,
    STUDY,
    accuracy,
    by_task,
    certain,
    difference,
    ran,
    unless_undone,
)
from experiments.papers.adadagrad.parts import Part, judged, points, reached, short


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Released or tuned rates, where there are replays; the main one first."""
    return [{"rate": rate} for rate in RATES if ran(measurements, rate, NORM_TEST, REPLAY)]


def better_than_replay(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B14: the sizes of another run, without feedback from one's own, do less well on every task."""
    parts = []
    for task, rows in by_task(measurements, arm, NORM_TEST):
        if not (rows.scheme == REPLAY).any():
            continue
        own, other = accuracy(rows, NORM_TEST), accuracy(rows, REPLAY)
        found = difference(own, other)
        answer = certain(found, holds=found.low > 0, fails=found.high <= 0)
        said = f"{short(task)}: {reached(own)} against {reached(other)} of the replay: {points(found)}"
        answer, said = unless_undone(answer, said, rows, NORM_TEST, REPLAY)
        shown = {"accuracy": own.mean(), "its replay's": other.mean()}
        parts.append(Part(task, found, answer, said, shown))
    return judged(parts, "lowest", "a replay has the data and initialisation of its seed and the sizes of the next one")


CLAIM = Claim(
    id="B14",
    sentence="It is the feedback, not the schedule: a run does better than a replay of another run's batch sizes.",
    mark="D",
    studies=(STUDY,),
    statistic="test accuracy minus that of the replay with the same data and initialisation (percentage points, "
    "paired; the worst task)",
    threshold="interval above 0 [O] on every task; fails where it is not above 0 anywhere",
    judge=better_than_replay,
    arms=arms,
)
