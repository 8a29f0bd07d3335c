"""P5: linear speed-up, until a critical batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.practical_adam.speed_up_lines import LEAST_SPAN, PART, STUDY, Line, lines
from experiments.statistics import UNKNOWN, decide_at_most

SLOPE = -0.8  # -1 is linear; with steps like 1 + B/b it is -0.8 at b = B/4, the end of the range, and steeper below


def speed_up(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """The slope of log steps against log b where noise dominates, for one problem and theta_t."""
    found = lines(measurements[STUDY].tables)
    line = next(line for line in found if (line.problem, line.theta) == (arm["problem"], arm["theta"]))
    remarks = (
        *(f"{'this arm: ' if other is line else ''}{shown(other)}" for other in found),
        *_mean_norms(measurements),
    )
    cells = tuple(_cell(other) for other in found)
    if line.slope is None or line.span < LEAST_SPAN:
        return Judgement(NOT_TESTABLE, line.slope or UNKNOWN, remarks, cells)
    return Judgement(decide_at_most(line.slope, SLOPE), line.slope, remarks, cells)


def shown(line: Line) -> str:
    """A line in words."""
    scale = f"B = {line.noise_scale:.3g}" if np.isfinite(line.noise_scale) else "B was not measured: not judged"
    parts = [f"{line.problem}, theta {line.theta}, to {line.target:g}: noise scale {scale}"]
    if line.slope is None and np.isfinite(line.noise_scale):
        parts.append(f"fewer than two batch sizes up to B/{PART}")
    if line.slope is not None:
        ends = f"b = {line.sizes[0]} to {line.sizes[-1]}"
        bounds = f"{line.slope.low:.3f} to {line.slope.high:.3f}" if np.isfinite(line.slope.low) else "no bounds"
        short = f", less than a factor of {LEAST_SPAN}: not judged" if line.span < LEAST_SPAN else ""
        parts.append(f"slope {line.slope.value:.3f} ({bounds}) over {ends}{short}")
    if len(line.means) > 1:
        parts.append(f"over all sizes {line.whole:.3f}, the speed-up {line.ends}")
    if np.isfinite(line.law.value):
        bounds = f" ({line.law.low:.3g} to {line.law.high:.3g})" if np.isfinite(line.law.high) else ""
        parts.append(f"fitted critical batch {line.law.value:.3g}{bounds}")
    if line.missed:
        parts.append(f"left out, since a seed there or above never gets there: b = {', '.join(map(str, line.missed))}")
    return "; ".join(parts)


def _cell(line: Line) -> dict[str, Any]:
    return {
        "problem": line.problem,
        "theta": line.theta,
        "target": line.target,
        "seeds": line.seeds,
        "noise scale": _finite(line.noise_scale),
        "sizes": f"{line.sizes[0]} to {line.sizes[-1]}" if line.sizes else "",
        "slope": line.slope.value if line.slope else None,
        "slope over all": _finite(line.whole),
        "end": line.end,
        "fitted critical batch": _finite(line.law.value),
        "steps": ", ".join(f"{size}: {mean:.3g}" for size, mean in line.means.items()),
    }


def _mean_norms(measurements: Measurements) -> list[str]:
    """The claim's own form, O(1/sqrt(bT)) for the square of the mean gradient norm, on the bowl."""
    table = measurements[STUDY].tables["horizons"]
    if table.empty:
        return []
    wide = np.exp(np.log(table.norm).groupby([table.batch_size, table.horizon]).mean()).unstack()
    scale = max(line.noise_scale for line in lines(measurements[STUDY].tables) if line.problem == "bowl")
    noisy = wide[wide.index <= scale / PART]
    if len(noisy) < 2 or len(noisy.columns) < 2:
        return []
    last = noisy.columns >= noisy.columns[-1] / 10
    along_b = 2 * np.polyfit(np.log(noisy.index), np.log(noisy.iloc[:, -1]), 1)[0]
    along_t = [2 * np.polyfit(np.log(noisy.columns[last]), np.log(row[last]), 1)[0] for row in noisy.to_numpy()]
    said = (
        f"bowl, alpha = lr/sqrt(T) and theta = 1 - 1/T: the square of the mean gradient norm, which the bound says is "
        f"O(1/sqrt(bT)), falls with b like b^{along_b:.2f} at T = {noisy.columns[-1]} and with T like "
        f"T^{min(along_t):.2f} to T^{max(along_t):.2f} over its last decade, for b = {noisy.index[0]} to "
        f"{noisy.index[-1]}"
    )
    return [said]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def arms(measurements: Measurements) -> list[dict[str, Any]]:
    """Every problem with every theta_t; the bowl with 1 - 1/t first."""
    return [{"problem": line.problem, "theta": line.theta} for line in lines(measurements[STUDY].tables)]


CLAIM = Claim(
    id="P5",
    sentence="Mini-batch Adam has a linear speed-up: the steps to a target fall like 1/b, until a critical batch.",
    mark="S",
    studies=(STUDY,),
    statistic=f"slope of log steps against log b over batch sizes up to B/{PART}, B the total variance of one "
    "example's gradient over the squared norm of the gradient at the target (the range is ours)",
    threshold=f"at most {SLOPE} (95% interval) over a factor of at least {LEAST_SPAN} in b; the threshold is ours: "
    f"-1 is linear, and steps in proportion to 1 + B/b have the slope {SLOPE} at b = B/{PART}",
    judge=speed_up,
    arms=arms,
)
