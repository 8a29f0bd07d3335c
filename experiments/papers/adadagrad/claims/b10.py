"""B10: the rate is the same for any step size."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adadagrad import convergence_verdicts as verdicts
from experiments.papers.adadagrad.convergence_runs import COORDINATES, NORM

SPAN = 1000.0  # of the step sizes, three decades


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """As B8's for AdAdaGrad-Norm, which the statement is about, then for AdAdaGrad."""
    return [{"method": method, **arm} for method in (NORM, COORDINATES) for arm in verdicts.arms(measurements)]


def at_any_alpha(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B10: what B8 asks of the rate, at every alpha."""
    table = measurements[verdicts.STUDY].tables["runs"]
    alphas = [float(alpha) for alpha in table.alpha.unique()]
    found = verdicts.judged(measurements, arm, arm["method"], alphas, beside_constant=False)
    if not found.cells:
        return found
    counted = [sum(cell["answer"] == answer for cell in found.cells) for answer in ("holds", "fails", "inconclusive")]
    late = [cell["late"] for cell in found.cells]
    others = [cell for cell in found.cells if cell["answer"] != "holds"]
    alike = sum(not verdicts.STEEPEST <= cell["full slope"] <= verdicts.FLATTEST for cell in others)
    said = [
        "of {} alphas and etas {} hold, {} fail, {} are undecided".format(len(found.cells), *counted),
        f"late slopes, over [K/4, K]: {min(late):.3f} to {max(late):.3f}",
    ]
    if others:
        where = f"in {alike} of the {len(others)} that do not hold"
        said.append(f"{where} the full gradient's own mean slope is outside the band too")
    if max(alphas) / min(alphas) < SPAN * (1 - 1e-9):
        few = f"the step sizes span a factor {max(alphas) / min(alphas):g}, not three decades"
        return replace(found, answer=NOT_TESTABLE, remarks=(few, *said, *found.remarks))
    return replace(found, remarks=(*said, *found.remarks))


CLAIM = Claim(
    id="B10",
    sentence="AdAdaGrad-Norm has this rate for any step size.",
    mark="R",
    studies=(verdicts.STUDY,),
    statistic="slope of log A_K against log K over [K/20, K] (the alpha and eta that are farthest from -1)",
    threshold="in [-1.1, -0.9], and K A_K at most 1.5 (1 + eta^2) times the full gradient's, for every eta at every "
    "alpha of three decades",
    judge=at_any_alpha,
    arms=arms,
)
