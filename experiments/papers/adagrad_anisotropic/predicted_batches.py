"""Critical batch sizes as the bounds predict them, from L and sigma, for the study `examples_to_target`."""

import math
from collections.abc import Mapping
from typing import Any

from experiments import api, measure
from experiments.papers.adagrad_anisotropic.critical_batches import METHOD
from experiments.theory import critical_batch
from experiments.theory.smoothness import smoothness
from optim.settings import SettingError


def constants(task: str, l2: float, content: str) -> list[dict[str, Any]]:
    """||L||_1 (certified, see theory.smoothness), the largest eigenvalue, and sigma at w_0 and at the minimiser.

    content: a digest of the task, for the identity of the calculation. Without a minimiser its sigma is None.
    """
    problem: Any = api.load_task(task, [f"task.l2={l2!r}"])
    bound = problem.curvature_bound()
    if bound is None:
        raise SettingError(f"{task} has no known bound of its curvature")
    found = smoothness(*bound)
    row: dict[str, Any] = {"smoothness_l1": found.total, "top_eigenvalue": found.top_eigenvalue}
    ((weights, start),) = problem.init().items()
    end = problem.minimum().point
    for name, point in (("start", start), ("end", None if end is None else start.new_tensor(end).view_as(start))):
        sigma = None if point is None else measure.gradient_noise(problem, {weights: point})[weights]
        row |= {f"noise_l{p}_{name}": None if sigma is None else float(sigma.norm(p)) for p in (1, 2)}
    return [row]


def predicted(fit: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[float, float]:
    """M* for the method and the target of a fit, with sigma at w_0 and at the minimiser (NaN where there is none).

    AdaGrad has ||sigma||_1 and ||L||_1, every other method SGD's ||sigma||_2 and largest eigenvalue.
    """
    coordinates = fit["method"] == METHOD
    norm, bound = ("l1", known["smoothness_l1"]) if coordinates else ("l2", known["top_eigenvalue"])
    noises = [known[f"noise_{norm}_{place}"] for place in ("start", "end")]
    first, last = (math.nan if s is None else critical_batch.predicted(s, bound, fit["gap"]) for s in noises)
    return first, last
