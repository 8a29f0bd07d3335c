"""What the convex bound is made of, for one problem and a box around its minimiser."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import measure
from experiments.api import load_task
from experiments.papers.adagrad_anisotropic.set_constants import minimiser
from experiments.theory.rate_form import logistic_noise_in_box
from experiments.theory.smoothness import smoothness
from optim.settings import SettingError


def facts(words: Sequence[str], room: float, content: str) -> list[dict[str, Any]]:
    """One row: the box [-side/2, side/2]^d with side = 2 room max_j |w*_j|, and the constants in it.

    smoothness_l1: ||L||_1, certified (see `theory.smoothness`; certificate, excess, method). noise_start and
    noise_solution: ||sigma||_1 at w_0 = 0 and at w*. noise_box: ||sigma||_1 with an upper bound for every sigma_j in
    the box, exact where the noise is the same everywhere, None where none is known. gradient_at_solution: the largest
    |d_j f(w*)|, which must vanish. content: what the task's data and settings hash to. Without a finite minimiser side
    is None, and so is all that depends on it.
    """
    problem: Any = load_task(words[0].removeprefix("task="), words[1:])
    ((name, start),) = problem.init().items()
    point = minimiser(problem)
    bound = problem.curvature_bound()
    if bound is None:
        raise SettingError(f"{words[0]} has no known bound of its curvature")
    found = smoothness(*bound)
    row = {
        "room": room,
        "dimension": found.active,
        "smoothness_l1": found.total,
        "certificate": found.certificate,
        "excess": found.excess,
        "method": found.method,
        "noise_start": float(measure.gradient_noise(problem, {name: start})[name].sum()),
    }
    if point is None:
        missing = dict.fromkeys(("side", "gradient_at_solution", "noise_solution", "noise_box"))
        return [{**row, **missing, "note": "no finite minimiser"}]
    solution = start.new_tensor(np.asarray(point)).view_as(start)
    half = room * float(solution.abs().max())
    places = {"start": start, "solution": solution, "corner": start + half, "other corner": start - half}
    sigma = {place: measure.gradient_noise(problem, {name: w})[name] for place, w in places.items()}
    rows, factor, _ = bound
    if factor == 0.25:  # logistic: the slope of a margin m is 1/(1 + exp(m)), and |m| <= half ||x||_1 in the box
        in_box: float | None = float(logistic_noise_in_box(rows, half).sum())
    else:
        same = all(bool((s == sigma["start"]).all()) for s in sigma.values())
        in_box = float(sigma["start"].sum()) if same else None
    gradient = problem.gradient_moments({name: solution})[0][name]
    inside = {
        "side": 2 * half,
        "gradient_at_solution": float(gradient.abs().max()),
        "noise_solution": float(sigma["solution"].sum()),
        "noise_box": in_box,
    }
    return [{**row, **inside, "note": ""}]
