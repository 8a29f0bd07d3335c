"""A1: projected and averaged AdaGrad obeys its bound, constants and all, and has its form."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.statistics import Answer, Interval, all_of, decide, mean_interval
from experiments.theory.rate_form import fit

if TYPE_CHECKING:
    import pandas

STUDY = "bound"
CHOICES = ("l2", "room", "eps", "sampling")
SIGMAS = ("path", "box")  # where sigma was taken: recording points of the path (from below), or anywhere in the box
FIT = 0.9  # R^2 of the log of the gap
_DRAWS = 200  # of the bootstrap over seeds


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every variant with every sigma; the main one, with the smaller sigma, first."""
    table = measurements[STUDY].tables["cells"]
    variants = table[list(CHOICES)].drop_duplicates().to_dict(orient="records")
    return [{**variant, "sigma": sigma} for variant in variants for sigma in SIGMAS]


def kept(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A1: in every cell the mean gap is below the bound, and on every problem the cells have the form."""
    everything = table = measurements[STUDY].tables["cells"]
    for choice in CHOICES:
        table = table[table[choice] == arm[choice]]
    table = table[table[f"bound_{arm['sigma']}"].notna() | (table.batch == "full")]
    answers: list[Answer] = []
    forms: list[Answer] = []
    cells: list[dict[str, Any]] = []
    remarks, worst = [], Interval(math.nan, -math.inf, math.inf, 0)
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
    if not answers:
        return Judgement(NOT_TESTABLE, worst, ("no runs",))
    said = (
        f"the bound: {_counted(answers)} of {len(answers)} cells; the form: {_counted(forms)} of {len(forms)} problems"
    )
    missing = sorted(set(everything.problem) - set(table.problem))
    if missing:
        remarks.append(f"not in this arm (not asked for, or without a finite minimiser): {', '.join(missing)}")
    return Judgement(all_of([*answers, *forms]), worst, (said, *remarks), tuple(cells))


def _counted(answers: Sequence[Answer]) -> str:
    return ", ".join(f"{answer} in {answers.count(answer)}" for answer in dict.fromkeys(answers))


def _cell(cell: "pandas.DataFrame", sigma: str) -> dict[str, Any]:
    """One M and T of a problem: its mean gap over the bound."""
    bound = float(cell[f"bound_{sigma}"].iloc[0])
    ratio = mean_interval(cell.gap / bound)
    return {
        "batch": cell.batch.iloc[0],
        "steps": int(cell.steps.iloc[0]),
        "gap": float(cell.gap.mean()),
        "bound": bound,
        "ratio": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "seeds": ratio.n,
        "answer": decide(Interval(-ratio.value, -ratio.high, -ratio.low, ratio.n), -1.0),
    }


def _form(part: "pandas.DataFrame") -> Interval:
    """R^2 of the form with a bootstrap interval over seeds; n is the number of seeds."""
    gaps = part.pivot(index=["batch_size", "steps"], columns="seed", values="gap")
    sizes, steps = (gaps.index.get_level_values(k).to_numpy() for k in ("batch_size", "steps"))
    values, seeds = gaps.to_numpy(), gaps.shape[1]
    if len(values) < 3 or not (np.isfinite(values).all() and (values > 0).all()):
        return Interval(math.nan, -math.inf, math.inf, seeds)
    source = np.random.default_rng(0)
    drawn = [values[:, source.integers(seeds, size=seeds)].mean(axis=1) for _ in range(_DRAWS)]
    found = [fit(sizes, steps, gap).r_squared for gap in drawn]
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(fit(sizes, steps, values.mean(axis=1)).r_squared, float(low), float(high), seeds)


def _others(part: "pandas.DataFrame") -> str:
    """How well the form of a strongly convex problem fits: the mean iterate's error falls like 1/T there."""
    means = part.groupby(["batch_size", "steps"], sort=False).gap.mean().reset_index()
    if len(means) < 3 or not (np.isfinite(means.gap).all() and (means.gap > 0).all()):
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
