"""A5: the slow-down of the non-smooth bound does not occur."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.critical_batches import METHOD, NOTHING, STUDY, arms, chosen, plain, summary
from experiments.statistics import LEAST_SEEDS, Answer, Interval, all_of


def no_slow_down(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A5: below M*/4 the examples to the target grow more slowly than the batch; every set and target must agree."""
    table = chosen(measurements, arm)
    own = table[table.method == METHOD].to_dict(orient="records")
    if not own:
        return NOTHING
    answers = [below_one(row) for row in own]
    slopes = [row["flat_slope"] for row in own if row["flat_slope"] is not None]
    worst = max(slopes, key=lambda s: s.high, default=NOTHING.statistic)
    tested = len(answers) - answers.count(NOT_TESTABLE)
    remarks = [f"{tested} of {len(answers)} sets and targets have two batch sizes or more below M*/4"]
    if slopes:
        remarks.append(f"slopes from {min(s.value for s in slopes):.3g} to {max(s.value for s in slopes):.3g}")
    rows = zip(own, answers, strict=True)
    remarks += [f"{summary(row)}: {_why(row)}" for row, answer in rows if answer == NOT_TESTABLE]
    cells = tuple({**plain(row), "answer": answer} for row, answer in zip(own, answers, strict=True))
    return Judgement(all_of(answers), worst, tuple(remarks), cells)


def _why(row: Mapping[str, Any]) -> str:
    """Why there is nothing to test: M* may lie below the sizes, or not exist, as the claim denies."""
    start = row["start_slope"]
    if start is None:
        return "too few batch sizes get there"
    return (
        f"nothing to test below M*/4; over the three smallest sizes the slope is {start.value:.3g} ({start.low:.3g} to "
        f"{start.high:.3g}), and where that is near 1 a knee at smaller sizes and none at all look the same"
    )


def below_one(row: Mapping[str, Any]) -> Answer:
    """Is the slope of log N against log M below M*/4 below 1, that of a bound in the number of steps alone?"""
    slope: Interval | None = row["flat_slope"]
    if slope is None:
        return NOT_TESTABLE
    if row["edge"] or slope.n < LEAST_SEEDS:
        return "inconclusive"
    return "holds" if slope.high < 1 else "fails" if slope.low > 1 else "inconclusive"


CLAIM = Claim(
    id="A5",
    sentence="The slow-down with the batch size that the non-smooth bound predicts for AdaGrad does not occur.",
    mark="S",
    studies=(STUDY,),
    statistic="largest slope of log N against log M below M*/4, N: examples to the target, M* fitted",
    threshold="interval below 1 on every set and target (the non-smooth bound says 1)",
    judge=no_slow_down,
    arms=arms,
)
