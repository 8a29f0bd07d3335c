"""A5: the slow-down of the non-smooth bound does not occur."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.critical_batches import (
    CONDITIONAL,
    LEAST_SPAN,
    METHOD,
    NOTHING,
    STUDY,
    arms,
    chosen,
    doubt,
    plain,
    summary,
)
from experiments.statistics import LEAST_SEEDS, Answer, Interval, all_of


def no_slow_down(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A5: over small batches the examples to the target grow more slowly than the batch, for every set and target."""
    table = chosen(measurements, arm)
    own = table[table.method == METHOD].to_dict(orient="records")
    if not own:
        return NOTHING
    answers = [below_one(row) for row in own]
    slopes = [slope for row in own if (slope := _slope(row)) is not None]
    worst = max(slopes, key=lambda s: s.high, default=NOTHING.statistic)
    early = [row for row in own if row["flat_slope"] is None and row["start_slope"] is not None]
    remarks = [f"{len(early)} of {len(own)} cells decided by the three smallest batch sizes: too few lie below M*/4"]
    if slopes:
        remarks.append(f"slopes from {min(s.value for s in slopes):.3g} to {max(s.value for s in slopes):.3g}")
    remarks += [f"{summary(row)}: {_shown(row['start_slope'])} over batch sizes {row['slope_sizes']}" for row in early]
    remarks += [f"{summary(row)}: {why}" for row in own if (why := doubt(row))]
    remarks += [f"{summary(row)}: too few batch sizes get there" for row in own if row["start_slope"] is None]
    cells = tuple({**plain(row), "answer": answer} for row, answer in zip(own, answers, strict=True))
    return Judgement(all_of(answers), worst, tuple(remarks), cells)


def _slope(row: Mapping[str, Any]) -> Interval | None:
    """The slope below M*/4; over the three smallest sizes where too few lie there, as when N grows like M."""
    slope: Interval | None = row["start_slope"] if row["flat_slope"] is None else row["flat_slope"]
    return slope


def _shown(slope: Interval) -> str:
    return f"slope {slope.value:.3g} ({slope.low:.3g} to {slope.high:.3g})"


def below_one(row: Mapping[str, Any]) -> Answer:
    """Is the slope of log N against log M over small batches below 1, that of a bound in the number of steps alone?"""
    slope = _slope(row)
    if slope is None:
        return NOT_TESTABLE
    if doubt(row) or slope.n < LEAST_SEEDS:
        return "inconclusive"
    return "holds" if slope.high < 1 else "fails" if slope.low > 1 else "inconclusive"


CLAIM = Claim(
    id="A5",
    sentence="The slow-down with the batch size that the non-smooth bound predicts for AdaGrad does not occur.",
    mark="S",
    studies=(STUDY,),
    statistic="largest slope of log N against log M below the fitted M*/4, or over the three smallest batch sizes "
    f"where those below M*/4 span less than a factor of {LEAST_SPAN}; {CONDITIONAL}",
    threshold="interval below 1 on every set and target (the non-smooth bound says 1)",
    judge=no_slow_down,
    arms=arms,
)
