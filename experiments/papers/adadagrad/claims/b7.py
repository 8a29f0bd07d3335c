"""B7: eta trades accuracy for steps."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import (
    NORM_TEST,
    RATES,
    STUDY,
    accuracy,
    by_task,
    certain,
    difference,
    measured,
    ran,
    ratio,
    unless_at_edge,
)
from experiments.papers.adadagrad.parts import NOTHING, Part, points, share, short, times, untestable
from experiments.statistics import Interval, all_of

if TYPE_CHECKING:
    import pandas

LEAST = 3  # values of eta without which there is no order to speak of


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Released or tuned rates; the main one first."""
    return [{"rate": rate} for rate in RATES if ran(measurements, rate, NORM_TEST)]


def trades(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B7: sizes fall, steps and accuracy rise from every eta to the next, on every task."""
    parts = []
    for task, rows in by_task(measurements, arm, NORM_TEST):
        schemes = _by_eta(rows)
        if len(schemes) < LEAST:
            parts.append(untestable(task, f"fewer than {LEAST} values of eta"))
            continue
        for smaller, larger in itertools.pairwise(schemes):
            parts += _pair(task, rows, smaller, larger)
    if not parts:
        return NOTHING
    answers = [part.answer for part in parts]
    return Judgement(
        all_of(answers), share(parts, answers), tuple(p.said for p in parts), tuple(p.cell() for p in parts)
    )


def _by_eta(rows: "pandas.DataFrame") -> list[str]:
    """The plain norm tests of a task, the smallest eta first."""
    named = {name: re.fullmatch(r"norm test ([\d.]+)", name) for name in rows.scheme.unique()}
    return sorted((name for name, match in named.items() if match), key=lambda name: float(name.split()[-1]))


def _pair(task: str, rows: "pandas.DataFrame", smaller: str, larger: str) -> list[Part]:
    """Two neighbouring values of eta: the three orders that are claimed, each so that more is as claimed."""
    sizes, steps = (
        [measured(rows, name, column) for name in (smaller, larger)] for column in ("average_size", "steps")
    )
    found: list[tuple[str, Interval, float]] = [
        ("average size, smaller eta over larger", ratio(sizes[0], sizes[1]), 1.0),
        ("steps, larger eta over smaller", ratio(steps[1], steps[0]), 1.0),
        ("accuracy, larger eta minus smaller", difference(accuracy(rows, larger), accuracy(rows, smaller)), 0.0),
    ]
    parts = []
    for what, interval, equal in found:
        answer = certain(interval, holds=interval.low > equal, fails=interval.high < equal)
        said = f"{short(task)}, {smaller} and {larger}: {what} {times(interval) if equal else points(interval)}"
        answer, said = unless_at_edge(answer, said, rows, smaller, larger)
        parts.append(Part(task, interval, answer, said, {"what": what, "smaller": smaller, "larger": larger}))
    return parts


CLAIM = Claim(
    id="B7",
    sentence="eta trades: a smaller eta gives larger batches, fewer steps and a lower accuracy.",
    mark="R",
    studies=(STUDY,),
    statistic="share of neighbouring values of eta, for average size, steps and accuracy on every task, that are in "
    "the claimed order for certain (up to the share that is not reversed for certain)",
    threshold="all of them; one that is reversed for certain fails",
    judge=trades,
    arms=arms,
)
