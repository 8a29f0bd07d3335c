"""What the study `finite_sum` calculates: plain values in, rows of plain values out."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experiments.calculations import Row
from experiments.papers.practical_adam import counterexample_forms as forms
from experiments.papers.practical_adam.counterexample_forms import ADOPT as BEFORE
from experiments.papers.practical_adam.counterexample_forms import GENERIC
from experiments.seeds import derive
from experiments.theory.counterexamples import Family, FiniteSum, Sampling, flip_window
from experiments.theory.scalar_adam import Kind, Problem, simulate

MINIMISER = -2.0
ADAM, ADOPT = "Adam", "ADOPT"
RESHUFFLED: Sampling = "reshuffled"
REPLACEMENT: Sampling = "replacement"
_KINDS: dict[str, Kind] = {ADAM: GENERIC, ADOPT: BEFORE}


def distances(
    method: str,
    sampling: Sampling,
    examples: int,
    batch: int,
    beta_1: list[float],
    rest_of_beta_2: list[float],
    lr: float,
    start: float,
    steps: int,
    seeds: list[int],
) -> list[Row]:
    """One row for each beta_1 and 1 - beta_2: by seed, the distance of the last x from the minimiser -2, with alpha_t =
    lr/sqrt(t). One that is not finite is None. v_0 is the mean square of the slope: from about 0, without bias
    correction, the first 1/(1 - beta_2) steps are too large and send x to where it does not come back from in time.
    """
    grid = [(first, rest) for first in beta_1 for rest in rest_of_beta_2]
    v_0 = mean_square(examples, batch, sampling)
    each = [replace(forms.method(_KINDS[method], first, 0.0, rest, 0.5, lr), v_0=v_0) for first, rest in grid]
    sources = [derive(seed, "finite sum", sampling, batch) for seed in seeds]
    slopes = FiniteSum(examples, sources, batch, sampling)
    problem = Problem(start=start, lower=-math.inf, upper=math.inf, bend=-MINIMISER)
    found = np.abs(simulate(each, problem, slopes, steps, [steps]).points[:, 0] - MINIMISER)
    return [
        {"beta_1": first, "rest": rest, "distances": [d if math.isfinite(d) else None for d in of_point.tolist()]}
        for (first, rest), of_point in zip(grid, found, strict=True)
    ]


def mean_square(examples: int, batch: int, sampling: Sampling) -> float:
    """E g^2 of a batch mean where the slopes are n and -1: the squared mean 1/n^2 and the variance of a mean of b,
    which without replacement is less by (n - b)/(n - 1).
    """
    one = Family(examples, 1 / examples)
    variance = (one.mean_square - one.mean_slope**2) / batch
    return one.mean_slope**2 + variance * ((examples - batch) / (examples - 1) if sampling == RESHUFFLED else 1.0)


def predicted_boundary(examples: int, batch: int) -> float:
    """The 1 - beta_2 below which Adam without momentum converges, `2 delta b/C`: slopes n and -1 with probability 1/n
    of the first are the family with C = n and delta = 1/n (section 3, to leading order, for independent draws).
    """
    return batch / flip_window(examples, 1 / examples)


def boundary(rests: Sequence[float], diverged: Sequence[bool]) -> tuple[float, float]:
    """Two neighbours among increasing values of 1 - beta_2: the last up to which all converge, 0 if the first does not,
    and the next one, infinite if all converge.
    """
    first = next((k for k, away in enumerate(diverged) if away), len(rests))
    return (rests[first - 1] if first else 0.0), (rests[first] if first < len(rests) else math.inf)


def bracket(inside: float, outside: float) -> str:
    """A boundary in words."""
    if math.isinf(outside):
        return "all converge"
    return f"{inside:.3g} to {outside:.3g}" if inside else f"below {outside:.3g}"
