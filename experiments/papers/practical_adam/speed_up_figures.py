"""Figures of the study `speed_up`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.figures import Style
from experiments.papers.practical_adam.speed_up_bowl import CONSTANT, CORRECTED, HORIZON, MEAN
from experiments.papers.practical_adam.speed_up_lines import END, PART, Line, lines
from experiments.statistics import exp_interval, mean_interval

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

LOOKS = {
    MEAN: Style("#0072B2", "o"),
    CONSTANT: Style("#D55E00", "s"),
    CORRECTED: Style("#E69F00", "D"),
    HORIZON: Style("#009E73", "^"),
}
_GUIDE = "#666666"
_NEAR = 4  # a noise scale beyond this factor of the largest batch size is not drawn
_ROOM = 0.035  # of the height of a panel, for the fitted critical batch of one line


def names(theta: float, lr: float) -> dict[str, str]:
    """theta_t as the figures write it."""
    return {
        MEAN: r"$\theta_t = 1 - 1/t$",
        CONSTANT: rf"$\theta = {theta:g}$",
        CORRECTED: rf"$\theta = {theta:g}$, bias corrected",
        HORIZON: rf"$\theta = 1 - 1/T$, $\alpha = {lr:g}/\sqrt{{T}}$",
    }


def draw(tables: "Mapping[str, pandas.DataFrame]", settings: Any, question: str) -> "Figures":
    """Steps against the batch size, and the mean gradient norm against all draws."""
    return {
        "steps_by_batch_size": _steps(tables, settings, question),
        "mean_gradient_by_draws": _mean_norms(tables["horizons"], settings),
    }


def _steps(tables: "Mapping[str, pandas.DataFrame]", settings: Any, question: str) -> tuple[Any, str]:
    import matplotlib.pyplot as plt

    found = lines(tables)
    problems = list(dict.fromkeys(line.problem for line in found))
    shape: dict[str, Any] = {"squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(1, len(problems), figsize=figures.size(min(len(problems), 2), 0.85), **shape)
    called = names(settings.theta, settings.lr)
    for axis, problem in zip(axes[0], problems, strict=True):
        own = [line for line in found if line.problem == problem]
        for line in own:
            part = tables["steps"].query("problem == @line.problem and theta == @line.theta")
            _line(axis, line, part, called[line.theta])
        axis.set(xscale="log", yscale="log", xlabel="batch size $b$", title=_title(problem, own))
        _asymptotes(axis, own[0])
        _criticals(axis, own)
        sizes = sorted(tables["steps"].query("problem == @problem").batch_size.unique())
        shown = sizes[:: 1 + len(sizes) // 6]
        axis.set_xticks(shown, [f"{size}" for size in shown])
        axis.minorticks_off()
    axes[0][0].set_ylabel("steps to the target")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, columnspacing=1.2)
    return figure, _caption(found, settings, question)


def _title(problem: str, own: list[Line]) -> str:
    targets = dict.fromkeys(f"{line.target:g}" for line in own)
    what = "gradient norm" if problem == "bowl" else "training loss"
    return f"{problem}, to {what} {' or '.join(targets)}"


def _line(axis: Any, line: Line, part: "pandas.DataFrame", label: str) -> None:
    """Seeds as dashes, their geometric mean with its interval; sizes with a run that never gets there as triangles."""
    look = LOOKS[line.theta]
    reached = part[np.isfinite(part.steps)]
    axis.plot(reached.batch_size, reached.steps, "_", color=look.color, alpha=0.45, markersize=4, zorder=1)
    points = []
    for size in line.means:
        logs = np.log(part[part.batch_size == size].steps)
        points.append((float(size), exp_interval(mean_interval(logs)), True))
    figures.line_with_intervals(axis, points, look, label)
    never = part[~np.isfinite(part.steps)].batch_size.unique()
    top = axis.get_xaxis_transform()
    axis.plot(
        never, [0.97] * len(never), "^", color=look.color, markerfacecolor="white", markersize=4, transform=top,
        clip_on=False, in_layout=False,
    )  # fmt: skip


def _asymptotes(axis: Any, line: Line) -> None:
    """Of the main line: 1/b from its smallest batch size and flat from its largest, and where theory ends the gain."""
    if len(line.means) < 2:
        return
    first, last = min(line.means), max(line.means)
    low, high = axis.get_ylim()
    dashed = {"color": _GUIDE, "linestyle": "--", "linewidth": 0.9, "zorder": 0}
    floor, top = line.means[last], line.means[first]
    corner = min(first * top / floor, last)
    axis.plot([first, corner, last], [top, first * top / corner, floor], **dashed)
    middle = math.sqrt(first * corner)
    place = (middle, first * top / middle)
    axis.annotate("1/b", place, (-5, -5), textcoords="offset points", color=_GUIDE, ha="right", va="top")
    axis.set_ylim(low, high)


def _criticals(axis: Any, own: list[Line]) -> None:
    """Predicted and measured ends: the noise scale of every target as a dotted line, and above the axis the fitted
    critical batch of every line with its interval.
    """
    scales = {line.target: line.noise_scale for line in own}
    largest = max(size for line in own for size in (*line.means, *line.missed))
    near = [scale for scale in scales.values() if scale <= _NEAR * largest]
    low, high = axis.get_xlim()
    high = max([high, *(1.6 * scale for scale in near)])  # with room for its name
    axis.set_xlim(low, high)
    for target, scale in scales.items():
        if not low <= scale <= high:
            continue
        axis.axvline(scale, color=_GUIDE, linestyle=":", linewidth=0.9, zorder=0)
        where: Any = ("data", "axes fraction")
        look = {"textcoords": "offset points", "va": "top", "color": _GUIDE, "size": 6.5}
        axis.annotate(f"$B$, {target:g}", (scale, 0.98), (2, 0), xycoords=where, **look)
    bottom, top = axis.get_ylim()
    room = _ROOM * len(own)  # below the lines, for the fits
    axis.set_ylim(bottom * (bottom / top) ** (room / (1 - room)), top)
    shown = [line for line in own if low <= line.law.value <= high]
    for place, line in enumerate(reversed(shown)):
        color, y = LOOKS[line.theta].color, _ROOM * (place + 0.7)
        drawn: dict[str, Any] = {"color": color, "transform": axis.get_xaxis_transform(), "zorder": 3}
        ends = [max(line.law.low, low), min(line.law.high, high)]
        axis.plot(ends, [y, y], "-", linewidth=1.0, **drawn)
        axis.plot([line.law.value], [y], "|", markersize=6, markeredgewidth=1.4, **drawn)
    if shown:
        at = {"xycoords": "axes fraction", "va": "center", "color": _GUIDE, "size": 6.5}
        axis.annotate("fitted $b^*$", (0.02, _ROOM * (len(shown) / 2 + 0.2)), **at)


def _caption(found: list[Line], settings: Any, question: str) -> str:
    slopes = "; ".join(
        f"{line.problem}, {line.theta}: {line.slope.value:.2f} over b = {line.sizes[0]} to {line.sizes[-1]}, "
        f"{line.ends}"
        for line in found
        if line.slope is not None
    )
    return (
        f"{question} Slope where noise dominates (b up to B/{PART}), and the largest b up to which every slope between "
        f"neighbours is at most {END}: {slopes}. Dashes: seeds ({len(settings.seeds)} on the bowl, "
        f"{len(settings.network_seeds)} on networks); markers: geometric mean with 95% interval; open triangles at the "
        "top: a seed never gets there, and smaller b have no line. Dashed: 1/b from the smallest b with theta_t = 1 - "
        "1/t, and flat from its largest; dotted: the noise scale B of each target (named beside it), the total "
        "variance of one draw's gradient over the squared norm of the gradient at the target, where theory puts the "
        "end up to a constant; below: b* of the fit S_0 (1 + b*/b), with 95% interval. A mark that would lie outside "
        "the panel is left out. "
        f"Bowl: sum of x^2/(1 + x^2), d = {settings.dimension}, noise {settings.noise:g} in each coordinate of one "
        f"draw's gradient, alpha_t = {settings.lr:g}/sqrt(t), beta = {settings.beta:g}, {settings.steps:,} steps; norm "
        f"staying below {settings.target:g} ({settings.constant_target:g} with theta = {settings.theta:g}); with theta "
        "= 1 - 1/T the first T whose mean norm is. A constant theta without correction of bias starts with steps of "
        "order alpha_1/sqrt(1 - theta), which throw the coordinates out to where the bowl is flat. Networks: training "
        "loss at recorded steps, interpolated. Set-up and targets are ours."
    )


def _mean_norms(table: "pandas.DataFrame", settings: Any) -> tuple[Any, str]:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=figures.size(1, 0.85), layout="constrained")
    sizes = sorted(table.batch_size.unique())
    shades = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(sizes)))
    logs = (2 * np.log(table.norm)).groupby([table.batch_size, table.horizon])
    means = np.exp(logs.mean())
    for size, color in zip(sizes, shades, strict=True):
        part = table[table.batch_size == size]
        for _, seed in part.groupby("seed"):
            axis.plot(size * seed.horizon, seed.norm**2, color=color, alpha=0.25, linewidth=0.5, zorder=1)
        own = means[size]
        axis.plot(size * own.index, own, ".-", color=color, markersize=3.5, label=f"{size}", zorder=2)
    smallest = means[sizes[0]]
    ends = np.array([sizes[0] * smallest.index[-1], sizes[-1] * smallest.index[-1]], dtype=float)
    guide = smallest.iloc[-1] * np.sqrt(ends[0] / ends)
    axis.plot(ends, guide, "--", color=_GUIDE, linewidth=0.9, zorder=3)
    middle = np.sqrt(ends.prod()), np.sqrt(guide.prod())
    axis.annotate(r"$1/\sqrt{bT}$", middle, (-3, -3), textcoords="offset points", color=_GUIDE, ha="right", va="top")
    axis.set(xscale="log", yscale="log", xlabel="draws $bT$", ylabel=r"mean of $\|\nabla f\|^{4/3}$, to the power 3/2")
    axis.legend(title="$b$", frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2)
    return figure, (
        "Is the mean gradient a function of all draws alone, 1/sqrt(bT), where the horizon is known? The quantity that "
        "the bound is about (a squared norm) over a run of T steps with alpha = "
        f"{settings.lr:g}/sqrt(T) and theta = 1 - 1/T, against b T. Each marker is the geometric mean of "
        f"{len(settings.seeds)} replicas (thin) at one b and T; lines join the T of one b. Where noise dominates the "
        "lines lie on each other and end along the dashed 1/sqrt(bT), drawn through the smallest b; each leaves it to "
        "the upper right where b is beyond the critical batch and only T counts. The bowl, in d = "
        f"{settings.dimension}. Set-up is ours."
    )
