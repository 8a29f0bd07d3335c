"""B11: the augmented inner product test admits smaller batches than the norm test."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import RATES, STUDY, measured, ratio, tasks, unless_at_edge
from experiments.papers.adadagrad.parts import Part, judged, short, times
from experiments.statistics import decide_at_most

if TYPE_CHECKING:
    import pandas

SMALLER = 0.9  # average size over the norm test's
NUS = ("1", "eta")  # nu of the orthogonality test; only the first one is claimed to allow smaller batches


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Released or tuned rates, with nu = 1 and with nu = eta; the main one first."""
    return [{"rate": rate, "nu": nu} for rate in RATES for nu in NUS if _compared(measurements, rate, nu)]


def smaller_batches(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B11: the average batch is smaller than under the norm test of the same eta, on every task."""
    parts = _compared(measurements, arm["rate"], arm["nu"])
    if arm["nu"] == "eta":
        beside = ["nu = eta: not claimed, and expected not to hold"]
    else:
        beside = [f"beside the claim, {part.said}" for part in _compared(measurements, arm["rate"], "eta")]
    return judged(parts, "highest", *beside)


def _compared(measurements: Measurements, rate: str, nu: str) -> list[Part]:
    """The augmented tests with this nu against the norm tests of their eta."""
    return [
        _part(task, rows, scheme, norm_test)
        for task, rows in tasks(measurements, rate)
        for scheme, norm_test in _pairs(rows, nu)
    ]


def _pairs(rows: "pandas.DataFrame", nu: str) -> list[tuple[str, str]]:
    """Each augmented test of a task with this nu, and the norm test of its eta, where both were run."""
    found = []
    for scheme in rows.scheme.unique():
        match = re.fullmatch(r"augmented ([\d.]+), nu ([\d.]+)", scheme)
        if match and match[2] == (match[1] if nu == "eta" else nu):
            found.append((scheme, f"norm test {match[1]}"))
    return [pair for pair in found if (rows.scheme == pair[1]).any()]


def _part(task: str, rows: "pandas.DataFrame", scheme: str, norm_test: str) -> Part:
    own, other = (measured(rows, name, "average_size") for name in (scheme, norm_test))
    found = ratio(own, other)
    said = f"{short(task)}: average size of {scheme} over that of {norm_test} {times(found)}"
    answer, said = unless_at_edge(decide_at_most(found, SMALLER), said, rows, scheme, norm_test)
    shown = {"scheme": scheme, "average size": own.mean(), "norm test's": other.mean()}
    return Part(task, found, answer, said, shown)


CLAIM = Claim(
    id="B11",
    sentence="The augmented inner product test admits smaller batches than the norm test.",
    mark="R",
    studies=(STUDY,),
    statistic="average batch size with theta = eta and nu = 1 over that of the norm test, at equal examples (the task "
    "where it is highest)",
    threshold="at most 0.9 on every task; with nu = eta it should not hold",
    judge=smaller_batches,
    arms=arms,
)
