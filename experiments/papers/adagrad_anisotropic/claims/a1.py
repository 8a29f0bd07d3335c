"""A1: projected and averaged AdaGrad obeys its bound, constants and all, and has its form."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.statistics import UNKNOWN, Answer, Interval, all_of, decide, decide_at_most, mean_interval
from experiments.theory.rate_form import fit

if TYPE_CHECKING:
    import pandas

STUDY = "bound"
CHOICES = ("l2", "room", "eps", "sampling")
SIGMAS = ("path", "box")  # where sigma was taken: every fourth recording point of the path, or anywhere in the box
FIT = 0.9  # R^2 of the log of the gap
_DRAWS = 200  # of the bootstrap over cells and seeds
_LEAST_CELLS = 5  # for its interval


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every variant with every sigma; the main one, with the smaller sigma, first."""
    table = measurements[STUDY].tables["problems"]
    if table.empty:
        return []
    variants = table[list(CHOICES)].drop_duplicates().to_dict(orient="records")
    return [{**variant, "sigma": sigma} for variant in variants for sigma in SIGMAS]


def kept(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A1: in every cell the mean gap is below the bound, and on every problem the cells have the form."""
    table, problems = (measurements[STUDY].tables[name] for name in ("cells", "problems"))
    if len(table):
        for choice in CHOICES:
            table = table[table[choice] == arm[choice]]
        table = table[table[f"bound_{arm['sigma']}"].notna() | np.isinf(table.gap)]
    if table.empty:
        nothing = UNKNOWN
        return Judgement(NOT_TESTABLE, nothing, ("no runs", *_missing(problems, set(), arm)))
    answers: list[Answer] = []
    forms: list[Answer] = []
    cells: list[dict[str, Any]] = []
    remarks, worst = [], UNKNOWN
    for problem, part in table.groupby("problem", sort=False):
        own = [_cell(cell, arm["sigma"]) for _, cell in part.groupby(["batch_size", "steps"], sort=False)]
        form = _form(part)
        answers += [cell["answer"] for cell in own]
        forms.append(decide(form, FIT))
        ratios = sorted(cell["ratio"] for cell in own)
        obeyed = sum(cell["answer"] == "holds" for cell in own)
        largest = max(own, key=lambda cell: cell["ratio"])
        if not worst.n or largest["ratio"] > worst.value:
            worst = Interval(largest["ratio"], largest["low"], largest["high"], largest["seeds"])
        remarks.append(
            f"{problem}: below the bound in {obeyed} of {len(own)} cells, measured/bound {ratios[0]:.2g} to "
            f"{ratios[-1]:.2g}, median {float(np.median(ratios)):.2g}; a/T + b/sqrt(M T): R^2 {form.value:.3f} "
            f"(95%: {form.low:.3f} to {form.high:.3f}); {_others(part)}"
        )
        cells += [{"problem": problem, **cell, "r_squared": form.value} for cell in own]
    said = f"the bound: {_counted(answers, 'in', 'cells')}; the form: {_counted(forms, 'on', 'problems')}"
    remarks += _missing(problems, set(table.problem), arm)
    return Judgement(all_of([*answers, *forms]), worst, (said, *remarks), tuple(cells))


def _counted(answers: Sequence[Answer], where: str, what: str) -> str:
    """The answer of all of them and how many have it, then the others."""
    total = all_of(answers)
    others = ", ".join(f"{answer} {where} {answers.count(answer)}" for answer in sorted({*answers} - {total}))
    said = f"{total} {where} {answers.count(total)} of {len(answers)} {what}"
    return f"{said} ({others})" if others else said


def _missing(problems: "pandas.DataFrame", there: set[str], arm: Mapping[str, Any]) -> list[str]:
    """A remark that names the problems that are not in an arm, each with the reason."""
    if problems.empty:
        return []
    own = problems[(problems[list(CHOICES)] == [arm[choice] for choice in CHOICES]).all(axis=1)]
    notes = dict(zip(own.problem, own.note, strict=True))
    named = [
        f"{name} ({notes.get(name, 'not asked for, or the choice means nothing there') or 'sigma is not known'})"
        for name in problems.problem.unique()
        if name not in there
    ]
    return [f"not in this arm: {', '.join(named)}"] if named else []


def _cell(cell: "pandas.DataFrame", sigma: str) -> dict[str, Any]:
    """One M and T of a problem: its mean gap over the bound."""
    bound = float(cell[f"bound_{sigma}"].iloc[0])
    ratio = mean_interval(cell.gap / bound)
    if np.isinf(cell.gap).all():  # every seed diverged: no bound is above that
        ratio = Interval(math.inf, math.inf, math.inf, ratio.n)
    return {
        "batch": cell.batch.iloc[0],
        "steps": int(cell.steps.iloc[0]),
        "gap": float(cell.gap.mean()),
        "bound": bound,
        "ratio": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "seeds": ratio.n,
        "answer": decide_at_most(ratio, 1.0),
    }


def _form(part: "pandas.DataFrame") -> Interval:
    """R^2 of the form with a bootstrap interval over cells and, for all of them alike, seeds; n counts the seeds."""
    gaps = part.pivot(index=["batch_size", "steps"], columns="seed", values="gap")
    sizes, steps = (gaps.index.get_level_values(k).to_numpy() for k in ("batch_size", "steps"))
    values, seeds = gaps.to_numpy(), gaps.shape[1]
    if len(values) < 3 or not np.isfinite(values).all():
        return Interval(math.nan, -math.inf, math.inf, seeds)
    value = fit(sizes, steps, values.mean(axis=1)).r_squared
    if len(values) < _LEAST_CELLS:
        return Interval(value, -math.inf, math.inf, seeds)
    source = np.random.default_rng(0)
    found = []
    for _ in range(_DRAWS):
        cells = source.integers(len(values), size=len(values))
        gaps_of_draw = values[cells][:, source.integers(seeds, size=seeds)].mean(axis=1)
        found.append(fit(sizes[cells], steps[cells], gaps_of_draw).r_squared)
    low, high = np.nanquantile(found, [0.025, 0.975])  # a draw of one cell only has no R^2
    return Interval(value, float(low), float(high), seeds)


def _others(part: "pandas.DataFrame") -> str:
    """How well the form of a strongly convex problem fits: the mean iterate's error falls like 1/T there."""
    means = part.groupby(["batch_size", "steps"], sort=False).gap.mean().reset_index()
    if len(means) < 3 or not np.isfinite(means.gap).all():
        return "no other form was fitted"
    strong = fit(means.batch_size, means.steps, means.gap, bias=2.0, noise=1.0)
    return f"a/T^2 + b/(M T), as for strongly convex problems: R^2 {strong.r_squared:.3f}"


CLAIM = Claim(
    id="A1",
    sentence="Projected AdaGrad's averaged iterate obeys the convex bound with its constants, and has its form.",
    mark="R/D",
    studies=(STUDY,),
    statistic="largest mean gap over 4 ||L||_1 D^2/T + 2 sqrt(2) ||sigma||_1 D/sqrt(M T), over all problems, M and T",
    threshold="at most 1 everywhere, and R^2 of the log gap of a/T + b/sqrt(M T) at least 0.9 on every problem",
    judge=kept,
    arms=arms,
)
