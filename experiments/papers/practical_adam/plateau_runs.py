"""What the study `plateau` calculates on the bowl: plain values in, rows of plain values out."""

import math
from typing import Any

import numpy as np

from experiments.calculations import Row
from experiments.papers.practical_adam.speed_up_bowl import noise, of_horizon
from experiments.theory.noisy_bowl import Lane, follow
from experiments.theory.running_mean import slope
from optim.sequence import Sequence
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne

FIXED, RATIO = "alpha constant", "alpha/sqrt(1 - theta) constant"
DECAYING, ALPHA_DECAYS, THETA_RISES = "both decay", "alpha decays", "theta tends to 1"
_PER_DECADE = 5  # windows that the gradient norm is averaged over


def recorded(steps: int) -> list[int]:
    """Ends of the windows: five in a decade, counted back from the last step."""
    count = math.floor(_PER_DECADE * math.log10(steps))
    return sorted({round(steps * 10 ** (-k / _PER_DECADE)) for k in range(count + 1)})


def curves(
    seed: int, bowl: dict[str, Any], batch_size: int, beta: float, lr: float, alpha: float, ratio: float,
    thetas: list[float], theta: float, steps: int,
) -> list[Row]:  # fmt: skip
    """One row for each line, with lists over the windows: `steps`, their ends, and `norm`, the root mean square of
    ||grad f|| in each.

    Lines: alpha constant and alpha = ratio sqrt(1 - theta), at each of `thetas`; alpha_t = lr/sqrt(t) with theta_t =
    1 - 1/t (both decay) and with the constant `theta`; the constant alpha with theta_t = 1 - 1/t. slope: of log norm
    against log t over the last decade. height: the mean of ||grad f||^2 in it.
    """
    rising: Sequence = TowardsOne(r=1.0)
    lines: list[tuple[str, float | None, float, Sequence, Sequence]] = []
    for fixed in thetas:
        lines.append((FIXED, fixed, alpha, Constant(at=1.0), Constant(at=fixed)))
        lines.append((RATIO, fixed, ratio * math.sqrt(1 - fixed), Constant(at=1.0), Constant(at=fixed)))
    lines.append((DECAYING, None, lr, Power(s=0.5), rising))
    lines.append((ALPHA_DECAYS, theta, lr, Power(s=0.5), Constant(at=theta)))
    lines.append((THETA_RISES, None, alpha, Constant(at=1.0), rising))
    lanes = [Lane(batch_size, steps, rate, a, Constant(at=beta), t) for _, _, rate, a, t in lines]
    at = recorded(steps)
    paths = follow(lanes, noise(seed, bowl), at=at, targets=[], **bowl)
    rows: list[Row] = []
    for (name, one, rate, _, _), path in zip(lines, paths, strict=True):
        norms = path.recent_norms()
        row: Row = {"line": name, "theta": one, "rate": rate, "seed": seed}
        row |= {"slope": _late_slope(at, norms), "height": _late_mean(at, path.mean_squares)}
        rows.append({**row, "steps": at, "norm": norms.tolist()})
    return rows


def horizons(
    seed: int, bowl: dict[str, Any], batch_size: int, beta: float, lr: float, horizons: list[int]
) -> list[Row]:
    """One row for each T, a run of its own with alpha = lr/sqrt(T) and theta = 1 - 1/T: the root mean square of ||grad
    f|| over its last tenth.
    """
    lanes = [of_horizon(last, batch_size, lr, beta) for last in horizons]
    at = sorted({step for last in horizons for step in (last - last // 10, last)})
    rows: list[Row] = []
    for last, path in zip(horizons, follow(lanes, noise(seed, bowl), at=at, targets=[], **bowl), strict=True):
        (start,) = np.flatnonzero(path.steps == last - last // 10)
        sums = path.steps * path.mean_squares
        rows.append({"seed": seed, "horizon": last, "norm": math.sqrt((sums[-1] - sums[start]) / (last // 10))})
    return rows


def predicted_square(bowl: dict[str, Any], batch_size: int, alpha: Any) -> Any:
    """E||grad f||^2 near the minimum, d noise/sqrt(b) alpha.

    There sqrt(v) is the noise's deviation s = noise/sqrt(b), so that the method is SGD with the rate alpha/s on a
    curvature of 2: the variance of a coordinate is alpha s/4, and that of its gradient four times as much.
    """
    return bowl["dimension"] * bowl["noise"] / math.sqrt(batch_size) * alpha


def _late_slope(at: list[int], norms: np.ndarray) -> float:
    """Over the windows of the last decade, each at the geometric mean of its ends."""
    ends = np.asarray(at[-_PER_DECADE - 1 :], dtype=float)
    return slope(np.sqrt(ends[1:] * ends[:-1]), norms[-_PER_DECADE:])


def _late_mean(at: list[int], means: np.ndarray) -> float:
    first, last = at[-_PER_DECADE - 1], at[-1]
    return float((last * means[-1] - first * means[-_PER_DECADE - 1]) / (last - first))
