"""A3: the advantage stays as the batch grows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.ratios import NOTHING, STUDY, arms, ratios, shown
from experiments.statistics import Answer, Interval, all_of, decide, exp_interval, mean_interval, rank_correlation

KEPT = 0.8  # how much of the advantage must be left
LEAST_STEPS = 20  # that the largest batch size must leave
LEAST_SIZES = 3  # batch sizes without which nothing can be said about a trend


def advantage_stays(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A3: the advantage does not vanish as the batch grows; every set must agree."""
    table = ratios(measurements, arm)
    if table.empty:
        return NOTHING
    answers: list[Answer] = []
    kept: list[Interval] = []
    remarks = []
    for name, rows in table.groupby("set", sort=False):
        usable = rows[rows.steps >= LEAST_STEPS]
        if len(rows) < LEAST_SIZES or len(usable) < 2:
            answers.append(NOT_TESTABLE)
            remarks.append(f"{name}: too few batch sizes")
            continue
        logs = np.stack([series.to_numpy() for series in rows.logs])  # (batch sizes, seeds)
        largest = int(usable.batch_size.idxmax())
        with np.errstate(invalid="ignore"):  # inf - inf: runs that diverged decide nothing
            change = mean_interval(logs[list(rows.index).index(largest)] - np.median(logs, axis=0))
        interval = exp_interval(change)
        kept.append(interval)
        answers.append("inconclusive" if rows.edge.any() else decide(interval, KEPT))
        trend = rank_correlation(list(rows.batch_size), list(rows.ratio))
        remarks.append(
            f"{name}: ratio at batch {rows.batch[largest]} ({rows.steps[largest]} steps) is {interval.value:.3g} of "
            f"the median over batch sizes (95%: {interval.low:.3g} to {interval.high:.3g}); median ratio "
            f"{rows.ratio.median():.3g}; rank correlation of ratio and batch size {trend:.2f}"
        )
    worst = min(kept, key=lambda i: i.value, default=Interval(float("nan"), 0.0, float("inf"), 0))
    return Judgement(all_of(answers), worst, tuple(remarks), shown(table))


CLAIM = Claim(
    id="A3",
    sentence="AdaGrad's advantage does not vanish as the batch size grows.",
    mark="S",
    studies=(STUDY,),
    statistic="ratio SGD / AdaGrad at the largest batch size with 20 steps or more, over its median over the sizes",
    threshold="at least 0.8 on every set",
    judge=advantage_stays,
    arms=arms,
)
