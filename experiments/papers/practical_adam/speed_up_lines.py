"""Steps to a target by batch size, as a line with a slope and an end: what claim P5 and the figures look at."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.statistics import UNKNOWN, Interval, exp_interval, mean_interval
from experiments.theory import critical_batch

if TYPE_CHECKING:
    import pandas

STUDY = "speed_up"
PART = 4  # noise dominates up to the noise scale over this: with steps like 1 + B/b the slope there is -4/5
END = -0.5  # of the speed-up: the slope between neighbouring batch sizes
LEAST_SPAN = 16  # of batch sizes where noise dominates


@dataclass(frozen=True)
class Line:
    """The steps of one problem and theta_t. means: their geometric mean over the seeds by batch size, for the sizes
    that every seed reached the target with and above all others; missed: the other sizes.

    noise_scale: B, total variance of one example's gradient over the squared norm of the gradient at the target; NaN
    where it was not measured.
    sizes: those of `means` up to B/4, where noise dominates. slope: of log steps against log b over these, None if
    there are fewer than two. end: the largest b up to which every slope between neighbours is at most -1/2; None if all
    are, so that the speed-up does not end within the sizes tried. law: b* of
    the fit steps = S_0 (1 + b*/b) to the same sizes, each seed on its own.
    """

    problem: str
    theta: str
    target: float
    seeds: int
    noise_scale: float
    means: dict[int, float] = field(repr=False)
    missed: tuple[int, ...]
    sizes: tuple[int, ...]
    slope: Interval | None
    whole: float
    end: int | None
    law: Interval

    @property
    def ends(self) -> str:
        """Where the speed-up ends, in words."""
        return "does not end within the sizes tried" if self.end is None else f"ends at b = {self.end}"

    @property
    def span(self) -> float:
        """Ratio of the ends of `sizes`."""
        return self.sizes[-1] / self.sizes[0] if self.sizes else 0.0


def lines(tables: "Mapping[str, pandas.DataFrame]") -> list[Line]:
    """Every line of the study, the main one first."""
    steps, scales = tables["steps"], tables["scales"]
    found = []
    for (problem, theta), part in steps.groupby(["problem", "theta"], sort=False):
        own = scales[(scales.problem == problem) & (scales.target == part.target.iloc[0])]
        found.append(_line(problem, theta, part, float(np.exp(np.log(own.noise_scale).mean()))))
    return found


def _line(problem: str, theta: str, part: "pandas.DataFrame", scale: float) -> Line:
    wide = part.pivot(index="seed", columns="batch_size", values="steps").sort_index(axis=1)
    reached = np.isfinite(wide).all(axis=0).to_numpy()
    first = len(reached) - int(np.logical_and.accumulate(reached[::-1]).sum())
    kept = wide.iloc[:, first:]
    sizes = [int(size) for size in kept.columns]
    logs = np.log(kept.to_numpy())
    means = dict(zip(sizes, np.exp(logs.mean(axis=0)).tolist(), strict=True))
    noisy = tuple(size for size in sizes if size <= scale / PART)
    return Line(
        problem=problem,
        theta=theta,
        target=float(part.target.iloc[0]),
        seeds=len(wide),
        noise_scale=scale,
        means=means,
        missed=tuple(int(size) for size in wide.columns[:first]),
        sizes=noisy,
        slope=_slope(noisy, logs[:, : len(noisy)]),
        whole=_fitted(sizes, logs.mean(axis=0)) if len(sizes) > 1 else math.nan,
        end=_end(means),
        law=_law(sizes, logs),
    )


def _slope(sizes: tuple[int, ...], logs: np.ndarray) -> Interval | None:
    return mean_interval([_fitted(sizes, row) for row in logs]) if len(sizes) > 1 else None


def _fitted(sizes: Any, logs: np.ndarray) -> float:
    return float(np.polyfit(np.log(sizes), logs, 1)[0])


def _end(means: Mapping[int, float]) -> int | None:
    """The largest batch size up to which every step between neighbours gains at least the square root of it; None if
    all of them do.
    """
    for small, large in itertools.pairwise(means):
        if math.log(means[large] / means[small]) / math.log(large / small) > END:
            return small
    return None


def _law(sizes: list[int], logs: np.ndarray) -> Interval:
    """b* of `steps = S_0 (1 + b*/b)`, that is examples = S_0 b* (1 + b/b*)."""
    if len(sizes) < 3:
        return UNKNOWN
    examples = np.exp(logs) * np.asarray(sizes)
    each = critical_batch.criticals(sizes, examples)
    if ((each > 0) & np.isfinite(each)).all():
        return exp_interval(mean_interval(np.log(each)))
    pooled = critical_batch.fit(sizes, np.exp(np.log(examples).mean(axis=0)))
    return Interval(pooled.critical, -math.inf, math.inf, len(logs))
