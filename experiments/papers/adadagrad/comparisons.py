"""The runs of `training` side by side: what the claims about accuracy, steps and batch sizes compare, seed by seed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Measurements
from experiments.statistics import LEAST_SEEDS, Answer, Interval, all_of, exp_interval, mean_interval

if TYPE_CHECKING:
    import pandas

STUDY = "training"
MAIN = "adagrad"  # the optimizer of every claim but B12
RATES = ("released", "tuned")  # where the learning rate is from; the main one first
NORM_TEST, REPLAY, SAME_AVERAGE = "norm test 0.1", "replay", "same average"
ESTIMATES = {"plug-in": NORM_TEST, "unbiased": f"{NORM_TEST}, unbiased"}
SMALL = 128  # the largest constant batch that counts as small
NEAR = 0.5  # percentage points of test accuracy within which two methods are alike


# Which runs ----------------------------------------------------------------------------------------------------------


def ran(measurements: Measurements, rate: str, *schemes: str) -> bool:
    """Does the table have all of these schemes, for the main optimizer, at this choice of learning rates?"""
    table = measurements[STUDY].tables["runs"]
    if table.empty:
        return False
    return set(schemes) <= set(table[(table.rate == rate) & (table.optimizer == MAIN)].scheme)


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Released or tuned rates, with the plug-in or the unbiased estimate; the main one first."""
    return [
        {"rate": rate, "estimate": estimate}
        for rate in RATES
        for estimate, scheme in ESTIMATES.items()
        if ran(measurements, rate, scheme)
    ]


def tasks(measurements: Measurements, rate: str, optimizer: str = MAIN) -> list[tuple[str, "pandas.DataFrame"]]:
    """Every task with the runs of the optimizer at this choice of rates."""
    table = measurements[STUDY].tables["runs"]
    if table.empty:
        return []
    return list(table[(table.rate == rate) & (table.optimizer == optimizer)].groupby("task", sort=False))


def by_task(
    measurements: Measurements, arm: Mapping[str, Any], scheme: str, optimizer: str = MAIN
) -> list[tuple[str, "pandas.DataFrame"]]:
    """The tasks that the arm has this scheme on, each with the runs of the optimizer."""
    found = tasks(measurements, arm["rate"], optimizer)
    return [(task, rows) for task, rows in found if (rows.scheme == scheme).any()]


def left_out(measurements: Measurements, arm: Mapping[str, Any], scheme: str) -> list[str]:
    """A remark that names the tasks of the table on which the arm does not have this scheme."""
    there = {task for task, _ in by_task(measurements, arm, scheme)}
    others = [task for task in measurements[STUDY].tables["runs"].task.unique() if task not in there]
    return [f"not in this arm: {', '.join(others)}"] if others else []


# What they reached ---------------------------------------------------------------------------------------------------


def accuracy(rows: "pandas.DataFrame", scheme: str) -> "pandas.Series":
    """Test accuracy in per cent by seed; -inf for a run that diverged."""
    own = rows[rows.scheme == scheme].set_index("seed")
    values = 100 * own.test_accuracy.astype(float)
    return values.where(~own.diverged.astype(bool) & values.notna(), -np.inf)


def measured(rows: "pandas.DataFrame", scheme: str, column: str) -> "pandas.Series":
    """Another column by seed; NaN for a run that diverged, which did not see all examples."""
    own = rows[rows.scheme == scheme].set_index("seed")
    return own[column].astype(float).where(~own.diverged.astype(bool))


def difference(own: "pandas.Series", other: "pandas.Series") -> Interval:
    """Mean of own - other over the seeds that both have; without bounds where a run diverged."""
    own, other = own.align(other, join="inner")
    with np.errstate(invalid="ignore"):  # inf - inf: both diverged
        return mean_interval(own.to_numpy() - other.to_numpy())


def ratio(own: "pandas.Series", other: "pandas.Series") -> Interval:
    """Geometric mean of own / other over the seeds that both have; without bounds where a run diverged."""
    return exp_interval(difference(np.log(own), np.log(other)))


# Constant batches ----------------------------------------------------------------------------------------------------


def largest(rows: "pandas.DataFrame") -> str | None:
    """The constant batch of all examples, the cap of every rule."""
    found = rows[rows.largest.astype(bool)].scheme
    return str(found.iloc[0]) if len(found) else None


def room(measurements: Measurements, task: str, scheme: str) -> float:
    """By what factor the batch can grow: the cap of the task over its first size; infinite where no run has the cap."""
    table = measurements[STUDY].tables["runs"]
    rows = table[table.task == task]
    cap = rows[rows.largest.astype(bool)].first_size
    return float(cap.iloc[0] / rows[rows.scheme == scheme].first_size.iloc[0]) if len(cap) else np.inf


def small(rows: "pandas.DataFrame") -> list[str]:
    """The constant batches of at most SMALL examples, the smallest first."""
    of_kind = rows[(rows.kind == "constant") & ~rows.largest.astype(bool) & (rows.first_size <= SMALL)]
    return list(of_kind.sort_values("first_size").scheme.unique())


def best_small(rows: "pandas.DataFrame", scheme: str) -> str | None:
    """The small constant batch of highest mean accuracy on the scheme's seeds, the largest of equals."""
    own = accuracy(rows, scheme)
    means = {name: _mean(own, accuracy(rows, name)) for name in small(rows)}
    return max(reversed(means), key=lambda name: means[name], default=None)


def largest_alike(rows: "pandas.DataFrame", scheme: str) -> str | None:
    """The largest constant batch, of every size, whose mean accuracy is within NEAR points of the scheme's or above."""
    own = accuracy(rows, scheme)
    constants = rows[rows.kind.isin(["constant", "same average"])].sort_values("first_size", ascending=False)
    for name in constants.scheme.unique():
        if difference(own, accuracy(rows, name)).value <= NEAR:  # never where this constant diverged
            return str(name)
    return None


def _mean(own: "pandas.Series", other: "pandas.Series") -> float:
    _, shared = own.align(other, join="inner")
    return float(shared.mean())


# Answers -------------------------------------------------------------------------------------------------------------


def certain(interval: Interval, *, holds: bool, fails: bool) -> Answer:
    """The answer that the interval gives, where there are seeds enough for one."""
    if interval.n < LEAST_SEEDS or holds == fails:
        return "inconclusive"
    return "holds" if holds else "fails"


def every(answers: Sequence[Answer]) -> Answer:
    """One answer from several that must all be tested and hold."""
    if "fails" not in answers and NOT_TESTABLE in answers:
        return NOT_TESTABLE
    return all_of(answers)


def unless_at_edge(answer: Answer, said: str, rows: "pandas.DataFrame", *schemes: str) -> tuple[Answer, str]:
    """The answer and its sentence; open where a tuned learning rate of one of these is at the edge of its five."""
    if answer == NOT_TESTABLE or not rows[rows.scheme.isin(schemes)].edge.any():
        return answer, said
    return "inconclusive", f"{said}; a best rate is at the edge of its five: not decided"


def unless_undone(answer: Answer, said: str, rows: "pandas.DataFrame", own: str, other: str) -> tuple[Answer, str]:
    """The same for accuracies, which more rates could only raise: an edge of the one that is behind leaves it open."""
    behind = {"holds": (other,), "fails": (own,)}.get(answer, ())
    return unless_at_edge(answer, said, rows, *behind)
