"""What the study `speed_up` calculates on the bowl: plain values in, rows of plain values out."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.calculations import Row
from experiments.seeds import derive
from experiments.theory.noisy_bowl import Lane, follow, normals
from optim.sequence import Sequence
from optim.sequences.bias_corrected import BiasCorrected
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne

MEAN, CONSTANT, CORRECTED, HORIZON = "1 - 1/t", "constant", "constant, bias corrected", "1 - 1/T"


def settling(
    seed: int, bowl: dict[str, Any], lr: float, beta: float, theta: float, sizes: list[int], steps: int,
    targets: dict[str, float],
) -> list[Row]:  # fmt: skip
    """One row for each theta_t in `targets` and batch size, alpha_t = lr/sqrt(t): the steps after which the gradient
    norm stays below the target of that theta_t (None: not within `steps`).

    seed: of the replica; every lane sees the same standardised noise. bowl: dimension, noise, start.
    """
    sequences: dict[str, Sequence] = {
        MEAN: TowardsOne(r=1.0),
        CONSTANT: Constant(at=theta),
        CORRECTED: BiasCorrected(b=theta),
    }
    wanted = [(name, size) for name in targets for size in sizes]
    lanes = [Lane(size, steps, lr, Power(s=0.5), Constant(at=beta), sequences[name]) for name, size in wanted]
    paths = follow(lanes, noise(seed, bowl), at=[], targets=list(targets.values()), **bowl)
    place = {name: k for k, name in enumerate(targets)}
    rows: list[Row] = []
    for (name, size), path in zip(wanted, paths, strict=True):
        needed = float(path.settled[place[name]])
        labels = {"theta": name, "seed": seed, "batch_size": size}
        rows.append({**labels, "steps": needed if math.isfinite(needed) else None})
    return rows


def horizons(
    seed: int, bowl: dict[str, Any], lr: float, beta: float, sizes: list[int], horizons: list[int]
) -> list[Row]:
    """One row for each batch size and T, a run of its own with alpha = lr/sqrt(T) and theta = 1 - 1/T: the mean over
    its points x_1, ..., x_T of ||grad f||^(4/3), to the power 3/4.
    """
    wanted = [(size, last) for size in sizes for last in horizons]
    lanes = [of_horizon(last, size, lr, beta) for size, last in wanted]
    paths = follow(lanes, noise(seed, bowl), at=horizons, targets=[], **bowl)
    return [
        {"seed": seed, "batch_size": size, "horizon": last, "norm": float(path.bound_norms()[-1])}
        for (size, last), path in zip(wanted, paths, strict=True)
    ]


def noise_scale(bowl: dict[str, Any], target: float) -> float:
    """Total variance of one draw's gradient over the squared norm of the gradient at the target."""
    return float(bowl["dimension"] * bowl["noise"] ** 2 / target**2)


def norm_at_start(bowl: dict[str, Any]) -> float:
    """||grad f(x_1)||."""
    start = bowl["start"]
    return float(abs(2 * start / (1 + start**2) ** 2) * math.sqrt(bowl["dimension"]))


def of_horizon(last: int, size: int, lr: float, beta: float) -> Lane:
    """A run of T = last steps that knows T: alpha = lr/sqrt(T), theta = 1 - 1/T."""
    return Lane(size, last, lr, Constant(at=last**-0.5), Constant(at=beta), Constant(at=1 - 1 / last))


def noise(seed: int, bowl: dict[str, Any]) -> Iterator[np.ndarray]:
    """The standardised noise of a replica, the same for everything that is run on the bowl."""
    return normals(np.random.default_rng(derive(seed, "bowl")), bowl["dimension"])
