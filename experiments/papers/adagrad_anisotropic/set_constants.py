"""L, sigma and w* of one problem by coordinate: what its anisotropy and the coefficients of the bounds rest on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.api import load_task
from experiments.measure import gradient_noise
from experiments.theory import linear_models
from experiments.theory.smoothness import smoothness
from optim.settings import SettingError

CURVES = ("L", "L, diagonal", "sigma")
MINIMISER = "minimiser"  # of the problem itself
COMPARATORS = {"l2 = 1/n": 1.0, "l2 = 10/n": 10.0, "l2 = 0.1/n": 0.1}  # in units of 1/n; the first is the main one


def minimiser(problem: Any) -> Any:
    """w*, (d,) in float64, of a task that knows its solution or its optimum; None without a finite one."""
    if hasattr(problem, "solution"):
        (solution,) = problem.solution.values()
        return solution.cpu().numpy()
    return problem.minimum().point


def constants(words: Sequence[str], content: str) -> list[dict[str, Any]]:
    """One row about the problem of these overrides (task=..., task.l2=...), over the d columns that have a non-zero.

    d, columns, examples. L_1, L_inf: of the smallest certified L (certificate, excess, method: see theory.smoothness);
    row_sums_1, row_sums_inf: of L = row sums of |A|; diagonal_1, diagonal_inf: of diag(A), a lower bound only;
    lambda_max. sigma_1 and sigma_2 of one example's gradient "at w_0", "at w*" and "everywhere" (a bound for all
    points). D_inf, D_2: of w* - w_0; comparator: what w* is. content: what data and settings hash to.
    """
    problem, bound = _load(words)
    rows, factor, l2 = bound
    used = linear_models.touched(rows)
    found = smoothness(*bound)
    vectors = {
        "L": found.values[used],
        "row_sums": linear_models.row_sums(rows, factor, l2)[used],
        "diagonal": linear_models.diagonal(rows, factor, l2)[used],
    }
    point, comparator = _comparator(problem, words, next(iter(COMPARATORS)))
    ((name, start),) = problem.init().items()
    places = {"at w_0": start, "at w*": start.new_tensor(point).view_as(start)}
    sigma = {where: gradient_noise(problem, {name: w})[name].numpy() for where, w in places.items()}
    sigma["everywhere"] = linear_models.noise_everywhere(rows)
    row: dict[str, Any] = {"d": int(used.sum()), "columns": len(used), "examples": rows.shape[0]}
    for of, vector in vectors.items():
        row |= {f"{of}_1": float(vector.sum()), f"{of}_inf": float(vector.max())}
    row |= {"lambda_max": found.top_eigenvalue, "certificate": found.certificate, "excess": found.excess}
    row |= {"method": found.method, "comparator": comparator}
    row |= {"D_inf": float(np.abs(point).max()), "D_2": float(np.linalg.norm(point))}
    for where, deviations in sigma.items():
        row |= {f"sigma_1 {where}": float(deviations.sum()), f"sigma_2 {where}": float(np.linalg.norm(deviations))}
    return [row]


def comparators(words: Sequence[str], content: str) -> list[dict[str, Any]]:
    """A row for each of COMPARATORS: choice, comparator (what w* is), D_inf and D_2, as in `constants`."""
    problem, _ = _load(words)
    rows = []
    for choice in COMPARATORS:
        point, comparator = _comparator(problem, words, choice)
        lengths = {"D_inf": float(np.abs(point).max()), "D_2": float(np.linalg.norm(point))}
        rows.append({"choice": choice, "comparator": comparator, **lengths})
    return rows


def sorted_curves(words: Sequence[str], content: str, points: int) -> list[dict[str, Any]]:
    """L_j (smallest certified), A_jj and sigma_j at w_0 over the columns with a non-zero, each in falling order.

    Rows: share (rank / d, at up to `points` ranks, evenly spaced on a logarithmic axis) and the three values.
    """
    problem, bound = _load(words)
    used = linear_models.touched(bound[0])
    ((name, start),) = problem.init().items()
    vectors = (
        smoothness(*bound).values[used],
        linear_models.diagonal(*bound)[used],
        gradient_noise(problem, {name: start})[name].numpy()[used],
    )
    falling = [np.sort(vector)[::-1] for vector in vectors]
    d = int(used.sum())
    ranks = np.unique(np.geomspace(1, d, points).round().astype(int))
    return [
        {"rank": int(rank), "share": rank / d, **dict(zip(CURVES, (float(v[rank - 1]) for v in falling), strict=True))}
        for rank in ranks
    ]


def _load(words: Sequence[str]) -> tuple[Any, tuple[Any, float, float]]:
    problem: Any = load_task(words[0].removeprefix("task="), words[1:])
    bound = problem.curvature_bound()
    if bound is None or bound[1] != 0.25:
        raise SettingError(f"{words[0]} is no binary logistic regression")
    return problem, bound


def _comparator(problem: Any, words: Sequence[str], choice: str) -> tuple[np.ndarray, str]:
    """w*, (columns,), and what it is: without a finite minimiser that of the problem with the l2 of this choice."""
    found = problem.minimum().point
    if found is not None:
        return np.asarray(found), MINIMISER
    with_l2: Any = load_task(
        words[0].removeprefix("task="), [*words[1:], f"task.l2={COMPARATORS[choice] / problem.size!r}"]
    )
    return np.asarray(with_l2.minimum().point), f"{MINIMISER} with {choice}"
