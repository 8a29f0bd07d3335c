"""What a claim finds on one task, and one judgement from all tasks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments.claims import NOT_TESTABLE, Judgement
from experiments.statistics import UNKNOWN, Answer, Interval, all_of

if TYPE_CHECKING:
    import pandas

NOTHING = Judgement(NOT_TESTABLE, UNKNOWN, ("no runs",))


@dataclass(frozen=True)
class Part:
    """One comparison on one task: its interval and answer, the sentence beside it, and what its cell shows."""

    task: str
    interval: Interval
    answer: Answer
    said: str
    shown: Mapping[str, Any] = field(default_factory=dict)

    def cell(self) -> dict[str, Any]:
        """Its row in the table of cells, as plain values."""
        numbers = {"value": self.interval.value, "low": self.interval.low, "high": self.interval.high}
        row = {"task": self.task, **self.shown, **numbers, "seeds": self.interval.n, "answer": self.answer}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def untestable(task: str, why: str, **shown: Any) -> Part:
    """A task that says nothing about a claim, and why."""
    return Part(task, UNKNOWN, NOT_TESTABLE, f"{short(task)}: not testable, {why}", shown)


def judged(
    parts: Sequence[Part],
    worst: Literal["lowest", "highest"],
    *remarks: str,
    answer: Answer | None = None,
) -> Judgement:
    """All parts must hold, unless another answer is given; the statistic is that of the worst part that counts."""
    if not parts:
        return NOTHING
    counted = [part for part in parts if part.answer != NOT_TESTABLE] or parts
    sign = 1 if worst == "lowest" else -1
    least = min(counted, key=lambda p: -math.inf if math.isnan(p.interval.value) else sign * p.interval.value)
    total = all_of([part.answer for part in parts]) if answer is None else answer
    return Judgement(total, least.interval, (*(p.said for p in parts), *remarks), tuple(p.cell() for p in parts))


def share(parts: Sequence[Part], answers: Sequence[Answer]) -> Interval:
    """From the share of the answers that hold to the share that do not fail; n counts the seeds."""
    tested = [answer for answer in answers if answer != NOT_TESTABLE]
    if not tested:
        return UNKNOWN
    sure, open_or_sure = (tested.count("holds"), len(tested) - tested.count("fails"))
    seeds = min(part.interval.n for part in parts if part.answer != NOT_TESTABLE)
    return Interval(sure / len(tested), sure / len(tested), open_or_sure / len(tested), seeds)


# Words ---------------------------------------------------------------------------------------------------------------


def short(task: str) -> str:
    """A task without the family that it belongs to."""
    return task.rpartition("/")[2]


def points(interval: Interval) -> str:
    """A difference of accuracies, in percentage points."""
    return _shown(interval, "+.2f", " points")


def times(interval: Interval) -> str:
    """A ratio."""
    return _shown(interval, ".3g", "")


def _shown(interval: Interval, form: str, unit: str) -> str:
    if math.isnan(interval.value):
        return "not known, as a run diverged or was not timed"
    bounded = math.isfinite(interval.low) and math.isfinite(interval.high)
    bounds = f"{interval.low:{form}} to {interval.high:{form}}" if bounded else "no bounds"
    return f"{interval.value:{form}}{unit} ({bounds})"


def reached(accuracies: "pandas.Series") -> str:
    """Mean accuracy over seeds, with the number of runs that diverged."""
    lost = int((accuracies == -math.inf).sum())
    if not lost:
        return f"{accuracies.mean():.2f}%"
    return f"{lost} of {len(accuracies)} runs diverged"


def whole(number: float) -> int | None:
    """Rounded, for a table; None where it is not known."""
    return round(number) if math.isfinite(number) else None
