"""What the study `counterexample` calculates: plain values in, rows of plain values out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.calculations import Row
from experiments.papers.practical_adam import counterexample_forms as forms
from experiments.papers.practical_adam.counterexample_forms import Form
from experiments.seeds import derive
from experiments.theory.counterexamples import Cyclic, expected_regret
from experiments.theory.scalar_adam import Paths, simulate

RESAMPLED = 1000
_FINE, _CURVE, _SEEN = 96, 12, 4  # steps in a decade: of the search for a turn, of the curves, of single seeds


def spaced(steps: int, per_decade: int) -> list[int]:
    """Steps spaced evenly on a logarithmic axis, with the last one."""
    count = math.ceil(per_decade * math.log10(steps)) + 1
    return sorted({round(t) for t in np.geomspace(1, steps, count)})


def paths(
    form: dict[str, Any],
    methods: list[dict[str, Any]],
    lr: float,
    start: float,
    steps: int,
    seeds: list[int],
) -> list[Row]:
    """One row for each method, a dictionary of name, kind, beta, r and s. All methods see the same slopes.

    late, regrets, earlier: by seed, the mean of x over the last tenth of the steps and the average regret at the last
    step and at a tenth of it: the expected one, in the cyclic form the realised one. turn: the last step after which
    the mean over seeds is above 0, 0 if none; turns: the same of seed after seed. before, after: by resample of the
    seeds, the recorded steps around the last crossing of its mean; after is None where the mean ends above 0. steps,
    mean, quartiles, regret: curves over the seeds; seen, paths: x of every seed at fewer steps. Of the cyclic form,
    which is deterministic, the first of the seeds is all that counts: the others are in paths alone, and before and
    after are empty.
    """
    made = Form(**form)
    each = [forms.method(one["kind"], one["beta"], one["r"], made.c, one["s"], lr) for one in methods]
    tenth = steps // 10
    at = sorted({*spaced(steps, _FINE), *spaced(steps, _CURVE), *spaced(steps, _SEEN), tenth, *forms.ends(steps)})
    found = simulate(each, forms.problem(start), forms.slopes(made, seeds), steps, at)
    counted = 1 if made.cyclic else len(seeds)
    late = forms.late(found, at)[:, :counted]
    regrets = _regrets(found, made, seeds, at)[:, :, :counted]
    curve, seen = ([at.index(t) for t in spaced(steps, count)] for count in (_CURVE, _SEEN))
    chosen = resamples(len(seeds))
    rows = []
    for k, one in enumerate(methods):
        points = found.points[k, :, :counted]
        before, after = ([], []) if made.cyclic else turning_steps(points, at, chosen)
        turn = found.last_above[k, 0] if made.cyclic else found.mean_last_above[k]
        quartiles = np.quantile(points[curve], [0.25, 0.75], axis=1)
        row: Row = {"method": one["name"], "kind": one["kind"], "beta": one["beta"], "r": one["r"]}
        row |= {"late": late[k].tolist(), "regrets": regrets[k, -1].tolist()}
        row |= {"earlier": regrets[k, at.index(tenth)].tolist()}
        row |= {"turn": int(turn), "turns": found.last_above[k, :counted].tolist()}
        row |= {"before": before, "after": after}
        row |= {"steps": [at[p] for p in curve], "mean": _short(points[curve].mean(axis=1))}
        row |= {"low": _short(quartiles[0]), "high": _short(quartiles[1])}
        row |= {"regret": regrets[k, curve].mean(axis=1).tolist()}
        row |= {"seen": [at[p] for p in seen], "paths": [_short(path, 3) for path in found.points[k, seen].T]}
        rows.append(row)
    return rows


def _regrets(found: Paths, form: Form, seeds: Sequence[int], at: Sequence[int]) -> np.ndarray:
    """Average regret against x* = -1, (methods, records, seeds): expected, or where the slopes are in a fixed order the
    realised `(1/t) sum_{i <= t} c_i (x_i + 1)`, which has no noise and which the mean slope does not give.
    """
    if not form.cyclic:
        return expected_regret(found.averages, form.family().mean_slope)
    means = np.stack([Cyclic(form.family(), seeds, t)(1, 1)[0] for t in at])  # of the slopes up to t: a batch of t
    regrets: np.ndarray = found.losses + means
    return regrets


def resamples(seeds: int) -> np.ndarray:
    """How often each of so many seeds is in each of 1000 draws with replacement, (draws, seeds)."""
    source = np.random.default_rng(derive(0, "resampled seeds", seeds))
    return source.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLED)


def turning_steps(points: np.ndarray, at: Sequence[int], chosen: np.ndarray) -> tuple[list[int], list[int | None]]:
    """For each resample of the seeds: the last recorded step at which its mean is above 0 (0 if none), and the next
    one (None if there is none). points: (steps, seeds); chosen: (resamples, seeds).
    """
    above = chosen @ points.T > 0
    places = np.where(above.any(axis=1), above.shape[1] - 1 - above[:, ::-1].argmax(axis=1), -1)
    before = [0 if place < 0 else at[place] for place in places]
    after = [at[place + 1] if place + 1 < len(at) else None for place in places]
    return before, after


def _short(values: np.ndarray, digits: int = 4) -> list[float]:
    """Of so many digits: what a figure can show."""
    return [float(value) for value in np.round(values, digits)]
