"""B3: accuracy near that of the best small constant batch."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import (
    ESTIMATES,
    MAIN,
    NEAR,
    SMALL,
    STUDY,
    accuracy,
    arms,
    best_small,
    by_task,
    difference,
    left_out,
    small,
    unless_undone,
)
from experiments.papers.adadagrad.parts import Part, judged, points, reached, short, untestable
from experiments.statistics import decide


def against_best_small(measurements: Measurements, arm: Mapping[str, Any], optimizer: str = MAIN) -> list[Part]:
    """Accuracy minus that of the best small constant batch, on every task."""
    scheme = ESTIMATES[arm.get("estimate", "plug-in")]
    parts = []
    for task, rows in by_task(measurements, arm, scheme, optimizer):
        rival = best_small(rows, scheme)
        if rival is None:
            parts.append(untestable(task, f"no constant batch of at most {SMALL}"))
            continue
        own, other = accuracy(rows, scheme), accuracy(rows, rival)
        found = difference(own, other)
        said = (
            f"{short(task)}: {reached(own)} against {reached(other)} of {rival}, the best of {len(small(rows))}: "
            f"{points(found)}"
        )
        answer, said = unless_undone(decide(found, -NEAR), said, rows, scheme, rival)
        shown = {"accuracy": own.mean(), "rival": rival, "its accuracy": other.mean()}
        parts.append(Part(task, found, answer, said, shown))
    return parts


def near(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B3: at equal examples at most half a point is lost, on every task."""
    favoured = f"the best small constant batch (at most {SMALL}) is picked on the seeds compared, which favours it"
    missing = left_out(measurements, arm, ESTIMATES[arm["estimate"]])
    return judged(against_best_small(measurements, arm), "lowest", favoured, *missing)


CLAIM = Claim(
    id="B3",
    sentence="The adaptive batch size reaches an accuracy near that of the best small constant batch.",
    mark="R",
    studies=(STUDY,),
    statistic=f"test accuracy at equal examples minus that of the best constant batch of at most {SMALL} [O] "
    "(percentage points, paired; the worst task)",
    threshold="at least -0.5 points on every task",
    judge=near,
    arms=arms,
)
