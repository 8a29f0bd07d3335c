"""A9: AdaGrad ends closer to the optimum than AdaGrad-Norm."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic import ratios
from experiments.papers.adagrad_anisotropic.ratios import BETTER, NOTHING, STUDY, shown
from experiments.statistics import Answer, decide_share

RIVAL = "adagrad_norm"
SHARE = 0.8  # in how many cells, as in A2


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """As A2's, without the choice among kinds of SGD."""
    found = [{k: v for k, v in arm.items() if k != "sgd"} for arm in ratios.arms(measurements)]
    return [arm for i, arm in enumerate(found) if arm not in found[:i]]


def lower_gap(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A9: at equal examples AdaGrad reaches a lower gap than AdaGrad-Norm, each tuned."""
    table = ratios.ratios(measurements, arm, RIVAL)
    if table.empty:
        return NOTHING
    answers: list[Answer] = list(table.answer)
    answer, share = decide_share(answers, SHARE)
    sure, below, undecided = (answers.count(a) for a in ("holds", "fails", "inconclusive"))
    remarks = [
        f"{sure} of {len(answers)} cells have a ratio above {BETTER} for certain, {below} below, {undecided} undecided",
        f"the ratio AdaGrad-Norm / AdaGrad runs from {table.ratio.min():.3g} to {table.ratio.max():.3g}",
    ]
    if table.edge.any():
        remarks.append(f"in {int(table.edge.sum())} cells a best learning rate is at the edge of its grid: not decided")
    named = table.rename(columns={"sgd_gap": f"{RIVAL}_gap", "sgd_lr": f"{RIVAL}_lr"})
    return Judgement(answer, share, tuple(remarks), shown(named))


CLAIM = Claim(
    id="A9",
    sentence="At equal examples AdaGrad reaches a lower gap than AdaGrad-Norm, each at its own tuned learning rate.",
    mark="S",
    studies=(STUDY,),
    statistic="share of cells (set, batch size) where AdaGrad-Norm's gap over AdaGrad's is above 1.2 (95% interval, "
    "paired)",
    threshold="at least 0.8 of the cells",
    judge=lower_gap,
    arms=arms,
)
