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
    """A3: the advantage does not vanish as the batch grows; every set where there is one must agree."""
    table = ratios(measurements, arm)
    if table.empty:
        return NOTHING
    answers: list[Answer] = []
    kept: list[Interval] = []
    remarks = []
    for name, rows in table[table.answer != NOT_TESTABLE].groupby("set", sort=False):
        usable = rows[rows.steps >= LEAST_STEPS]
        if len(rows) < LEAST_SIZES or len(usable) < 2:
            answers.append(NOT_TESTABLE)
            remarks.append(f"{name}: too few batch sizes")
            continue
        logs = np.stack([series.to_numpy() for series in rows.logs])  # (batch sizes, seeds)
        largest = int(usable.batch_size.idxmax())
        middle = np.median(logs, axis=0)
        with np.errstate(invalid="ignore"):  # inf - inf: runs that diverged decide nothing
            change = mean_interval(logs[list(rows.index).index(largest)] - middle)
        interval, advantage = exp_interval(change), exp_interval(mean_interval(middle))
        trend = rank_correlation(list(rows.batch_size), list(rows.ratio))
        said = (
            f"{name}: ratio at batch {rows.batch[largest]} ({rows.steps[largest]} steps) is {interval.value:.3g} of "
            f"the median over batch sizes (95%: {interval.low:.3g} to {interval.high:.3g}); median ratio "
            f"{advantage.value:.3g} ({advantage.low:.3g} to {advantage.high:.3g}); rank correlation of ratio and batch "
            f"size {trend:.2f}"
        )
        kept.append(interval)
        answer: Answer = "inconclusive" if rows.edge.any() else decide(interval, KEPT)
        if answer == "holds" and not advantage.low > 1:
            answer, said = NOT_TESTABLE, f"{said}; no certain advantage that could stay: not counted"
        answers.append(answer)
        remarks.append(said)
    worst = min(kept, key=lambda i: i.value, default=Interval(float("nan"), 0.0, float("inf"), 0))
    return Judgement(all_of(answers), worst, tuple(remarks), shown(table))


CLAIM = Claim(
    id="A3",
    sentence="AdaGrad's advantage does not vanish as the batch size grows.",
    mark="S",
    studies=(STUDY,),
    statistic="ratio SGD / AdaGrad at the largest batch size with 20 steps or more, over its median over the sizes",
    threshold="at least 0.8 on every set; one whose median ratio is not above 1 for certain has no advantage to keep",
    judge=advantage_stays,
    arms=arms,
)
