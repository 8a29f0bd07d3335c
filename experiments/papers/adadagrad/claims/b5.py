"""B5: far fewer steps than a small constant batch of like accuracy."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adadagrad import comparisons
from experiments.papers.adadagrad.comparisons import (
    ESTIMATES,
    MAIN,
    NEAR,
    STUDY,
    accuracy,
    best_small,
    by_task,
    difference,
    largest_alike,
    left_out,
    measured,
    ratio,
    unless_at_edge,
)
from experiments.papers.adadagrad.parts import Part, judged, points, short, times, untestable, whole
from experiments.statistics import decide_at_most

FEWER = 0.2  # steps over the rival's
RIVALS = {"best small": best_small, "largest of like accuracy": largest_alike}  # the main one first


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """The shared arms, against the best small constant batch and against the largest that is as accurate."""
    return [{**arm, "rival": rival} for arm in comparisons.arms(measurements) for rival in RIVALS]


def steps(measurements: Measurements, arm: Mapping[str, Any], optimizer: str = MAIN) -> list[Part]:
    """Steps over those of a constant batch of like accuracy, on every task where there is one."""
    scheme = ESTIMATES[arm.get("estimate", "plug-in")]
    parts = []
    for task, rows in by_task(measurements, arm, scheme, optimizer):
        rival = RIVALS[arm.get("rival", "best small")](rows, scheme)
        if rival is None:
            parts.append(untestable(task, "no such constant batch"))
            continue
        own, other = (measured(rows, name, "steps") for name in (scheme, rival))
        found, apart = ratio(own, other), difference(accuracy(rows, scheme), accuracy(rows, rival))
        said = f"{short(task)}: steps over those of {rival} {times(found)}, accuracy {points(apart)}"
        if apart.value >= -NEAR:
            answer, said = unless_at_edge(decide_at_most(found, FEWER), said, rows, scheme, rival)
        else:
            answer, said = NOT_TESTABLE, f"{said}; not counted, the accuracy is not alike"
        counts = {"steps": whole(own.mean()), "rival": rival, "its steps": whole(other.mean())}
        parts.append(Part(task, found, answer, said, {**counts, "points apart": apart.value}))
    return parts


def fewer_steps(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B5: at most a fifth of the steps on every task."""
    return judged(steps(measurements, arm), "highest", *left_out(measurements, arm, ESTIMATES[arm["estimate"]]))


CLAIM = Claim(
    id="B5",
    sentence="It takes far fewer steps than a small constant batch of like accuracy.",
    mark="S",
    studies=(STUDY,),
    statistic="steps over those of the best small constant batch, at equal examples (the task where it is highest)",
    threshold="at most 0.2 on every task where the mean accuracy is at most 0.5 points lower",
    judge=fewer_steps,
    arms=arms,
)
