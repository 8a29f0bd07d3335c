"""P4: mini-batch Adam converges once the batch is large enough."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.practical_adam.counterexample_verdicts import (
    DRIFT,
    END,
    arms,
    chosen,
    finite,
    shown,
    untestable,
)
from experiments.papers.practical_adam.finite_sum_runs import ADAM, REPLACEMENT, RESHUFFLED, bracket
from experiments.papers.practical_adam.flips_runs import BATCH, WINDOW
from experiments.statistics import Answer, Interval, all_of, decide, mean_interval

if TYPE_CHECKING:
    import pandas

STUDY, SQUARE = "flips", "finite_sum"
ABOVE, BELOW = 2.0, 0.25  # times b*: the prediction is to leading order


def flips(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """P4, in one family and at one beta. A cyclic family is one path, which decides nothing."""
    table = chosen(measurements, STUDY, "ends", {**arm, "swept": BATCH})
    parts = [_part(float(value), own) for value, own in table.groupby("value")]
    counted = [part for part in parts if part["answer"] != NOT_TESTABLE]
    for side in ("right", "wrong"):
        if not any(part["side"] == side for part in counted):
            return untestable(f"no batch size for which the {side} end is predicted")
    least: Interval = min((part["towards"] for part in counted), key=lambda interval: interval.value)
    remarks = [*_flips(measurements, arm), *_square(measurements)]
    cells = tuple(finite({key: value for key, value in part.items() if key != "towards"}) for part in parts)
    return Judgement(all_of([part["answer"] for part in parts]), least, tuple(remarks), cells)


def _part(batch: float, own: "pandas.DataFrame") -> dict[str, Any]:
    """One batch size: the end, and how far from 0 it is on the predicted side."""
    ratio, drift, end = batch / float(own.predicted.iloc[0]), float(own.drift.iloc[0]), mean_interval(own.end)
    side = "right" if ratio >= ABOVE else "wrong" if ratio <= BELOW else "either"
    towards = Interval(-end.value, -end.high, -end.low, end.n) if side == "right" else end
    counts = side == "wrong" or (side == "right" and drift >= DRIFT)
    answer: Answer = decide(towards, END) if counts else NOT_TESTABLE
    found = {"value": end.value, "low": end.low, "high": end.high, "seeds": end.n}
    return {
        "batch": batch,
        "over b*": ratio,
        "drift": drift,
        **found,
        "side": side,
        "answer": answer,
        "towards": towards,
    }


def _flips(measurements: Measurements, arm: Mapping[str, Any]) -> list[str]:
    """Where the end was found to flip, by batch size and by window."""
    names = {BATCH: "batch size", WINDOW: "window 1/(1 - theta)"}
    found = []
    for swept, name in names.items():
        for row in chosen(measurements, STUDY, "flips", {**arm, "swept": swept}).itertuples():
            measured = shown(Interval(row.flip, row.low, row.high, int(row.n)), ".3g")
            if not 0 < row.flip < math.inf:
                measured = "below the range" if row.flip == 0 else "above the range"
            found.append(f"flip by {name}: measured {measured}, predicted {row.predicted:.3g}")
    return found


def _square(measurements: Measurements) -> list[str]:
    """Adam on the finite sum: where it converges without momentum, how much of the grid diverges, by batch size."""
    tables = measurements[SQUARE].tables
    found = []
    for row in tables["boundaries"][tables["boundaries"].method == ADAM].itertuples():
        predicted = f"{row.predicted:.3g} predicted" + ("" if row.sampling == REPLACEMENT else " for independent draws")
        found.append(f"{row.sampling}, b = {row.batch}: {bracket(row.inside, row.outside)}, {predicted}")
    shares = tables["shares"]
    own = shares[(shares.method == ADAM) & (shares.sampling == RESHUFFLED)]
    said = ", ".join(f"{100 * row.share:.3g}% at b = {row.batch}" for row in own.itertuples())
    return [
        f"1 - beta_2 below which Adam converges on the finite sum at beta_1 = 0: {'; '.join(found)}",
        f"of the grid of (beta_1, 1 - beta_2) on the finite sum, reshuffled, there diverges: {said}",
    ]


def families_and_betas(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every family at every beta, the main ones first; the prediction is for the stochastic ones."""
    return arms(measurements, STUDY, "ends", "family", "beta")


CLAIM = Claim(
    id="P4",
    sentence="Mini-batch Adam converges on the counterexample once the batch size exceeds b*.",
    mark="S/D",
    studies=(STUDY, SQUARE),
    statistic="mean of x over the last tenth of the steps, times -1 for b >= 2 b* and as it is for b <= b*/4 (the "
    "least over these batch sizes; 2 and 1/4 are ours, the prediction is to leading order)",
    threshold="at least 0.5 at all of them [O] (b >= 2 b* counts where the drift left is at least 3)",
    judge=flips,
    arms=families_and_betas,
)
