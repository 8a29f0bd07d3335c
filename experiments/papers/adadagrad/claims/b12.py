"""B12: the scheme suits every optimizer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad.claims.b1 import growth
from experiments.papers.adadagrad.claims.b3 import against_best_small
from experiments.papers.adadagrad.claims.b5 import steps
from experiments.papers.adadagrad.comparisons import NORM_TEST, RATES, STUDY, every
from experiments.papers.adadagrad.parts import Part, share
from experiments.statistics import Answer, all_of

CLAIMS = {"B1": growth, "B3": against_best_small, "B5": steps}
OPTIMIZERS = 4  # AdaGrad, SGD, momentum and Adam


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Released or tuned rates, where more than one optimizer has them; the main one first."""
    return [{"rate": rate} for rate in RATES if len(_optimizers(measurements, rate)) > 1]


def suits_every_optimizer(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B12: B1, B3 and B5 can be tested and hold for every optimizer."""
    parts: list[Part] = []
    answers: list[Answer] = []
    remarks = []
    for optimizer in _optimizers(measurements, arm["rate"]):
        for claim, compared in CLAIMS.items():
            own = compared(measurements, arm, optimizer)
            answers.append(all_of([part.answer for part in own]))
            remarks.append(f"{optimizer}: {claim} {answers[-1]}")
            parts += [replace(p, shown={"optimizer": optimizer, "claim": claim, **p.shown}) for p in own]
    answer = every(answers)
    if answer == "holds" and len(_optimizers(measurements, arm["rate"])) < OPTIMIZERS:
        answer = "inconclusive"
        remarks.append(f"fewer than {OPTIMIZERS} optimizers: not decided")
    said = [f"{part.shown['optimizer']}, {part.shown['claim']}, {part.said}" for part in parts]
    return Judgement(answer, share(parts, answers), (*remarks, *said), tuple(part.cell() for part in parts))


def _optimizers(measurements: Measurements, rate: str) -> list[str]:
    """Those with a norm test at this choice of rates."""
    table = measurements[STUDY].tables["runs"]
    if table.empty:
        return []
    return list(table[(table.rate == rate) & (table.scheme == NORM_TEST)].optimizer.unique())


CLAIM = Claim(
    id="B12",
    sentence="The scheme suits every optimizer: AdaGrad, SGD, SGD with momentum, Adam.",
    mark="S",
    studies=(STUDY,),
    statistic="share of optimizers and claims B1, B3, B5 that hold (up to the share that does not fail)",
    threshold="all three can be tested and hold for every optimizer",
    judge=suits_every_optimizer,
    arms=arms,
)
