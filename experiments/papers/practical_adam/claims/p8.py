"""P8: constant sequences plateau, decaying ones do not."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.practical_adam.plateau_runs import ALPHA_DECAYS, DECAYING, FIXED, RATIO, THETA_RISES
from experiments.statistics import UNKNOWN, Answer, Interval, all_of, decide, decide_at_most, mean_interval
from experiments.theory.running_mean import slope

if TYPE_CHECKING:
    import pandas

STUDY = "plateau"
FLAT = 0.05  # largest slope of a plateau, up or down
FALLS = -0.125  # half the slope -1/4 that alpha_t = lr/sqrt(t) must give
HORIZON = "known horizon"


def plateaus(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """Every constant pair of the arm is flat over the last decade, and its decaying pair falls."""
    tables = measurements[STUDY].tables
    cells = [_constant(theta, part) for theta, part in _of(tables["lines"], arm["constant"]).groupby("theta")]
    cells.append(_falling(arm["decaying"], tables))
    answers: list[Answer] = [cell["answer"] for cell in cells]
    if len(cells) < 2:
        return Judgement(NOT_TESTABLE, UNKNOWN, ("no constant pair was run",))
    nearest = min(cells, key=lambda cell: cell["margin"])
    statistic = Interval(*(nearest[name] for name in ("slope", "low", "high", "seeds")))
    shown = tuple({name: value for name, value in cell.items() if name != "margin"} for cell in cells)
    remarks = (*map(_said, cells), *_others(tables["lines"]), *_heights(tables["lines"]))
    return Judgement(all_of(answers), statistic, remarks, shown)


def _of(lines: "pandas.DataFrame", name: str) -> "pandas.DataFrame":
    return lines[lines.line == name]


def _constant(theta: Any, part: "pandas.DataFrame") -> dict[str, Any]:
    found = mean_interval(part.slope)
    answer = all_of([decide(found, -FLAT), decide_at_most(found, FLAT)])
    called = f"{part.line.iloc[0]}, theta {theta:g} (alpha {part.rate.iloc[0]:.3g})"
    return _cell(called, found, answer, min(found.low + FLAT, FLAT - found.high), "flat")


def _falling(name: str, tables: "Mapping[str, pandas.DataFrame]") -> dict[str, Any]:
    if name == HORIZON:
        each = [slope(part.horizon, part.norm) for _, part in tables["horizons"].groupby("seed")]
    else:
        each = list(_of(tables["lines"], DECAYING).slope)
    found = mean_interval(each)
    return _cell(name, found, decide_at_most(found, FALLS), FALLS - found.high, "falling")


def _cell(name: str, found: Interval, answer: Answer, margin: float, wanted: str) -> dict[str, Any]:
    interval = {"slope": found.value, "low": found.low, "high": found.high, "seeds": found.n}
    return {"line": name, "wanted": wanted, **interval, "answer": answer, "margin": margin}


def _said(cell: Mapping[str, Any]) -> str:
    bounds = f" ({cell['low']:.3f} to {cell['high']:.3f})" if np.isfinite(cell["low"]) else ""
    return f"{cell['line']}: slope {cell['slope']:.3f}{bounds}, wanted {cell['wanted']}: {cell['answer']}"


def _others(lines: "pandas.DataFrame") -> list[str]:
    """The mixed pairs, about which the claim says nothing."""
    said = []
    for name, about in ((ALPHA_DECAYS, "theta constant"), (THETA_RISES, "alpha constant")):
        found = mean_interval(_of(lines, name).slope)
        said.append(f"beside the claim: {name}, {about}: slope {found.value:.3f}")
    return said


def _heights(lines: "pandas.DataFrame") -> list[str]:
    """Powers of 1 - theta in the height of the plateau, the mean of ||grad f||^2 over the last decade."""
    said = []
    for name, power in ((FIXED, "0"), (RATIO, "1/2")):
        part = _of(lines, name)
        if part.theta.nunique() > 1:
            found = mean_interval([slope(1 - own.theta, own.height) for _, own in part.groupby("seed")])
            said.append(
                f"height ||grad f||^2 of the plateau, {name}: like (1 - theta)^{found.value:.3f}, expected {power}"
            )
    return said


def arms(measurements: Measurements) -> list[dict[str, Any]]:
    """Which constant pairs, beside which decaying one; the main arm first."""
    return [{"constant": constant, "decaying": falls} for falls in (DECAYING, HORIZON) for constant in (FIXED, RATIO)]


CLAIM = Claim(
    id="P8",
    sentence="With constant alpha and theta the gradient norm ends on a plateau; with decaying ones it falls on.",
    mark="R",
    studies=(STUDY,),
    statistic="slope of log gradient norm (root mean square in windows) against log t over the last decade of steps, "
    "or against log T for a known horizon (the line nearest to its threshold)",
    threshold=f"within {FLAT} of 0 for every constant pair, at most {FALLS} for the decaying one (95% intervals); both "
    "are ours, the latter half of -1/4, which alpha_t = lr/sqrt(t) gives near the minimum",
    judge=plateaus,
    arms=arms,
)
