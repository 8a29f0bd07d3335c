"""B1: batch sizes grow under the test."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adadagrad.comparisons import (
    ESTIMATES,
    MAIN,
    STUDY,
    arms,
    by_task,
    left_out,
    measured,
    ratio,
    room,
)
from experiments.papers.adadagrad.parts import Part, judged, short, times, whole
from experiments.statistics import decide

if TYPE_CHECKING:
    import pandas

GROWTH = 50.0  # last size over first
LINEAR = "_linear"  # how the names of logistic regressions end, for which the paper's growth was seen
SHARES = (0.01, 0.1, 0.5)  # of the examples, at which sizes are shown


def growth(measurements: Measurements, arm: Mapping[str, Any], optimizer: str = MAIN) -> list[Part]:
    """Last over first size on every task; logistic regressions with room for that growth count."""
    scheme = ESTIMATES[arm.get("estimate", "plug-in")]
    parts = []
    for task, rows in by_task(measurements, arm, scheme, optimizer):
        first, last = (measured(rows, scheme, column) for column in ("first_size", "final_size"))
        grown, possible = ratio(last, first), room(measurements, task, scheme)
        answer = decide(grown, GROWTH)
        said = f"{short(task)}: last over first size {times(grown)}; {_on_the_way(measurements, rows, scheme)}"
        if not task.endswith(LINEAR):
            answer, said = NOT_TESTABLE, f"{said}; not counted, the threshold is for logistic regression"
        elif possible < GROWTH:
            answer, said = NOT_TESTABLE, f"{said}; not counted, the cap is {possible:.3g} times the first size"
        parts.append(Part(task, grown, answer, said, {"first": whole(first.median()), "last": whole(last.median())}))
    return parts


def sizes_of(measurements: Measurements, rows: "pandas.DataFrame", scheme: str) -> "pandas.DataFrame":
    """The recorded sizes of the scheme's runs among these, in the order of their steps, all of one task."""
    sizes = measurements[STUDY].tables["sizes"]
    if sizes.empty:
        return sizes
    run = rows[rows.scheme == scheme].iloc[0]
    for column in ("task", "optimizer", "scheme", "rate"):
        sizes = sizes[sizes[column] == run[column]]
    return sizes.sort_values("step")


def _on_the_way(measurements: Measurements, rows: "pandas.DataFrame", scheme: str) -> str:
    """Sizes at shares of the examples: median over seeds."""
    sizes = sizes_of(measurements, rows, scheme)
    if sizes.empty:
        return "sizes on the way were not recorded"
    totals = sizes.seed.map(rows[rows.scheme == scheme].set_index("seed").examples)
    then = [sizes[sizes.examples <= part * totals].groupby("seed")["size"].last().median() for part in SHARES]
    last = rows[rows.scheme == scheme].final_size.median()
    return f"size {', '.join(f'{size:.0f}' for size in [*then, last])} at 1, 10, 50, 100% of the examples"


def grows(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B1: the last batch of a logistic regression is at least 50 times the first."""
    return judged(growth(measurements, arm), "lowest", *left_out(measurements, arm, ESTIMATES[arm["estimate"]]))


CLAIM = Claim(
    id="B1",
    sentence="Batch sizes grow under the norm test.",
    mark="S",
    studies=(STUDY,),
    statistic="last over first batch size of logistic regression, AdaGrad, norm test 0.1 (the task that grows least)",
    threshold="at least 50 on every such task whose cap is 50 times the first size or more",
    judge=grows,
    arms=arms,
)
