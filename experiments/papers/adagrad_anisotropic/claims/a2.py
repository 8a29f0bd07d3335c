"""A2: AdaGrad ends closer to the optimum than SGD."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.ratios import BETTER, NOTHING, STUDY, arms, ratios, shown
from experiments.statistics import Answer, decide_share

SHARE = 0.8  # in how many cells


def lower_gap(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A2: at equal examples AdaGrad reaches a lower gap than SGD, each tuned."""
    table = ratios(measurements, arm)
    if table.empty:
        return NOTHING
    answers: list[Answer] = list(table.answer)
    answer, share = decide_share(answers, SHARE)
    sure, below, undecided = (answers.count(a) for a in ("holds", "fails", "inconclusive"))
    remarks = [
        f"{sure} of {len(answers)} cells have a ratio above {BETTER} for certain, {below} below, {undecided} undecided",
        f"the ratio SGD / AdaGrad runs from {table.ratio.min():.3g} to {table.ratio.max():.3g}",
    ]
    if table.edge.any():
        remarks.append(f"in {int(table.edge.sum())} cells a best learning rate is at the edge of its grid: not decided")
    return Judgement(answer, share, tuple(remarks), shown(table))


CLAIM = Claim(
    id="A2",
    sentence="At equal examples AdaGrad reaches a lower gap than SGD, each at its own tuned learning rate.",
    mark="S",
    studies=(STUDY,),
    statistic="share of cells (set, batch size) where SGD's gap over AdaGrad's is above 1.2 (95% interval, paired)",
    threshold="at least 0.8 of the cells",
    judge=lower_gap,
    arms=arms,
)
