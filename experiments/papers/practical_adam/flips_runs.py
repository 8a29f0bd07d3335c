"""What the study `flips` calculates: plain values in, rows of plain values out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.calculations import Row
from experiments.papers.practical_adam import counterexample_forms as forms
from experiments.papers.practical_adam.counterexample_forms import GENERIC, Form
from experiments.theory.scalar_adam import Method, simulate

WINDOW, BATCH = "window", "batch"


def windows(
    form: dict[str, Any],
    beta: float,
    windows: list[float],
    lr: float,
    start: float,
    steps: int,
    seeds: list[int],
) -> list[Row]:
    """One row for each constant theta = 1 - 1/W: late, by seed, the mean of x over the last tenth of the steps."""
    made = Form(**form)
    each = [forms.method(GENERIC, beta, 0.0, 1 / window, 0.5, lr) for window in windows]
    late = _late(made, each, 1, start, steps, seeds)
    return [{"beta": beta, "value": window, "late": of.tolist()} for window, of in zip(windows, late, strict=True)]


def batches(
    form: dict[str, Any],
    beta: list[float],
    batch: int,
    lr: float,
    start: float,
    steps: int,
    seeds: list[int],
) -> list[Row]:
    """One row for each beta, at the constant theta = 1 - c of the form and one batch size: late, as above."""
    made = Form(**form)
    each = [forms.method(GENERIC, decay, 0.0, made.c, 0.5, lr) for decay in beta]
    late = _late(made, each, batch, start, steps, seeds)
    return [{"beta": decay, "value": batch, "late": of.tolist()} for decay, of in zip(beta, late, strict=True)]


def _late(form: Form, methods: Sequence[Method], batch: int, start: float, steps: int, seeds: list[int]) -> np.ndarray:
    at = forms.ends(steps)
    found = simulate(methods, forms.problem(start), forms.slopes(form, seeds, batch), steps, at)
    return forms.late(found, at)


def crossings(values: Sequence[float], ends: np.ndarray) -> np.ndarray:
    """Where ends, (lines, values), cross 0 downwards for the last time as the value rises, interpolated on a
    logarithmic axis: 0 for a line that is never above 0, infinite for one that ends above 0.
    """
    logs, found = np.log(np.asarray(values, dtype=float)), []
    for line in np.atleast_2d(ends):
        above = np.flatnonzero(line > 0)
        if not len(above):
            found.append(0.0)
        elif above[-1] == len(line) - 1:
            found.append(math.inf)
        else:
            k = above[-1]
            share = line[k] / (line[k] - line[k + 1])
            found.append(math.exp(logs[k] + share * (logs[k + 1] - logs[k])))
    return np.array(found)
