"""What the study `plane` calculates: plain values in, rows of plain values out."""

from typing import Any

from experiments.calculations import Row
from experiments.papers.practical_adam import counterexample_forms as forms
from experiments.papers.practical_adam.counterexample_forms import GENERIC, Form
from experiments.papers.practical_adam.counterexample_runs import spaced
from experiments.theory import schedule_conditions
from experiments.theory.scalar_adam import simulate
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne

_PER_DECADE = 8


def outcomes(
    form: dict[str, Any],
    r: float,
    s: list[float],
    beta: float,
    lr: float,
    start: float,
    steps: int,
    seeds: list[int],
) -> list[Row]:
    """One row for each s: late, by seed, the mean of x over the last tenth of the steps; the mean over the seeds of x
    after some numbers of steps.
    """
    made = Form(**form)
    each = [forms.method(GENERIC, beta, r, made.c, exponent, lr) for exponent in s]
    at = sorted({*spaced(steps, _PER_DECADE), *forms.ends(steps)})
    found = simulate(each, forms.problem(start), forms.slopes(made, seeds), steps, at)
    late, means = forms.late(found, at), found.points.mean(axis=2)
    return [
        {"r": r, "s": exponent, "beta": beta, "late": late[k].tolist(), "steps": at, "x": means[k].tolist()}
        for k, exponent in enumerate(s)
    ]


def conditions(r: float, s: list[float], beta: float, c: float, horizon: int) -> list[Row]:
    """One row for each s: whether the checker finds the sufficient condition to hold from the numbers up to the
    horizon, and whether 0 < r <= 2s < 2.
    """
    rows: list[Row] = []
    for exponent in s:
        report = schedule_conditions.check(Power(s=exponent), Constant(at=beta), TowardsOne(r=r, c=c), horizon)
        sufficient = next(found for found in report.conditions if found.name == "SC")
        rows.append({"r": r, "s": exponent, "found": sufficient.passed, "exact": 0 < r <= 2 * exponent < 2})
    return rows
