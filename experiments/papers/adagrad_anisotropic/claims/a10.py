"""A10: on a small network the mean gradient norm falls as the non-convex rates say."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.statistics import UNKNOWN, Answer, Interval, all_of, decide_at_most, exp_interval, mean_interval
from experiments.theory.running_mean import slope

if TYPE_CHECKING:
    import pandas

STUDY = "nonconvex"
METHOD = "adagrad"
CHOICES = ("eps", "tuned")  # settings that we do not know, each varied on its own
FULL, NOISY = -0.45, -0.2  # slopes: full batch, and where noise limits
LIMITED = 1.5  # mean norm at the last T over that of the full batch, from which noise limits
LAST = "at the last T"


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every eps and every way of tuning; the main one first."""
    table = measurements[STUDY].tables["means"]
    table = table[table.method == METHOD]
    eps, tuned = list(table.eps.unique()), list(table.tuned.unique())
    return [{"eps": e, "tuned": t} for e in eps for t in tuned]


def steep_enough(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A10: slopes over T of AdaGrad's mean l1 norm, at the full batch and at small ones that noise limits.

    The arm that tunes at the last T is steeper by construction: its one rate is the best at the last T only.
    """
    table = measurements[STUDY].tables["means"]
    own = table[(table.method == METHOD) & (table.eps == arm["eps"]) & (table.tuned == arm["tuned"])]
    if own.empty:
        return Judgement(NOT_TESTABLE, UNKNOWN, ("no runs",))
    cells = _cells(own)
    answers: list[Answer] = [cell["answer"] for cell in cells]
    worst = max([cell for cell in cells if cell["answer"] != NOT_TESTABLE] or cells, key=_excess)
    remarks = [_said(cell) for cell in cells]
    others = table[(table.method != METHOD) & (table.tuned == arm["tuned"])]
    for method, part in others.groupby("method", sort=False):
        remarks += [f"{method}, beside the claim: {_said(cell)}" for cell in _cells(part)]
    if (table.tuned == LAST).any():
        remarks.append(
            "the arms that tune at the last T are steeper by construction: their rate is the best there only"
        )
    statistic = Interval(worst["slope"], worst["low"], worst["high"], worst["seeds"])
    return Judgement(all_of(answers), statistic, tuple(remarks), tuple(cells))


def _excess(cell: Mapping[str, Any]) -> float:
    """How far the slope is above what is wanted; a run that diverged is worst."""
    return math.inf if math.isnan(cell["slope"]) else cell["slope"] - cell["wanted"]


def _cells(part: "pandas.DataFrame") -> list[dict[str, Any]]:
    """Every network and batch size of one method; small batches count only if noise limits them."""
    cells = [_cell(of_batch) for _, of_batch in part.groupby(["task", "batch"], sort=False)]
    full = {cell["task"]: cell["at_last"] for cell in cells if cell["batch"] == "full"}
    for cell in cells:
        below = full.get(cell["task"], math.nan)
        cell["over_full"] = cell["at_last"] / below if math.isfinite(below) else math.nan
        diverged = math.isnan(cell["slope"])  # which is never hidden
        if cell["batch"] != "full" and not diverged and not cell["over_full"] > LIMITED:
            cell["answer"] = NOT_TESTABLE
    return cells


def _cell(part: "pandas.DataFrame") -> dict[str, Any]:
    """One network and batch size: the slope of each seed's means, and their interval."""
    wide = part.pivot(index="seed", columns="steps", values="value").sort_index(axis=1)
    steps, logs = wide.columns.to_numpy(dtype=float), wide.to_numpy()
    fine = bool((np.isfinite(logs) & (logs > 0)).all())
    found = mean_interval([slope(steps, seed) for seed in logs] if fine else [math.nan] * len(logs))
    batch = str(part.batch.iloc[0])
    wanted = FULL if batch == "full" else NOISY
    edge = bool(part.edge.any())
    answer = decide_at_most(found, wanted)
    first, last = (exp_interval(mean_interval(np.log(wide.iloc[:, k]))).value if fine else math.inf for k in (0, -1))
    halves = [
        float(np.mean([slope(steps[at], seed[at]) for seed in logs])) if fine else math.nan for at in _halves(steps)
    ]
    rates = part.drop_duplicates("steps").lr
    return {
        "task": part.task.iloc[0],
        "batch": batch,
        "norm": part.norm.iloc[0],
        "slope": found.value,
        "low": found.low,
        "high": found.high,
        "seeds": found.n,
        "wanted": wanted,
        "early": halves[0],
        "late": halves[1],
        "first": first,
        "last": last,
        "at_last": float(wide.iloc[:, -1].mean(skipna=False)),
        "steps": f"{steps[0]:g} to {steps[-1]:g}",
        "lr": f"{rates.min():g} to {rates.max():g}" if rates.nunique() > 1 else f"{rates.iloc[0]:g}",
        "edge": edge,
        "answer": "inconclusive" if edge else answer,
    }


def _halves(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the first and of the last half of the T, the middle one in both."""
    places, middle = np.arange(len(steps)), (len(steps) - 1) / 2
    return places[places <= math.ceil(middle)], places[places >= math.floor(middle)]


def _said(cell: Mapping[str, Any]) -> str:
    text = (
        f"{cell['task']}, batch {cell['batch']}: slope of the mean {cell['norm']} norm {cell['slope']:.3f} (95%: "
        f"{cell['low']:.3f} to {cell['high']:.3f}), wanted at most {cell['wanted']}; {cell['early']:.2f} over the "
        f"first half of T = {cell['steps']}, {cell['late']:.2f} over the last; rates {cell['lr']}"
    )
    if math.isnan(cell["slope"]):
        text += "; a run diverged"
    if cell["batch"] != "full":
        times = "not known in units of" if math.isnan(cell["over_full"]) else f"{cell['over_full']:.2f} times"
        text += f"; mean norm at the last T {times} the full batch's"
        if cell["answer"] == NOT_TESTABLE:
            text += f", and noise limits it from {LIMITED:g}: not counted"
    return text + ("; a best rate is at the edge of its grid: not decided" if cell["edge"] else "")


CLAIM = Claim(
    id="A10",
    sentence="On a small network AdaGrad's mean l1 gradient norm falls at least as fast as the non-convex rate.",
    mark="R",
    studies=(STUDY,),
    statistic="slope of log mean ||grad||_1 against log T (the cell that is farthest from what is wanted)",
    threshold=(
        "at most -0.45 at the full batch and at most -0.2 at small ones that noise limits (mean norm at the last T "
        "more than 1.5 times the full batch's), on every network"
    ),
    judge=steep_enough,
    arms=arms,
)
