"""Figures of the study `bound`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.statistics import mean_interval
from experiments.theory.rate_form import fit

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_COLORS = (
    "#D55E00",
    "#E69F00",
    "#56B4E9",
    "#0072B2",
    "#CC79A7",
    "#009E73",
    "#000000",
)  # of batch sizes, small to large
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw(tables: Mapping[str, "pandas.DataFrame"], main: Mapping[str, Any], settings: Any, question: str) -> "Figures":
    """One panel for each problem: measured gaps, the bound and the fitted form against T."""
    cells = tables["cells"]
    for choice, value in main.items() if len(cells) else ():
        cells = cells[cells[choice] == (str(value) if choice == "l2" else value)]
    return {"gap_and_bound": (_panels(cells, settings.steps), _caption(settings, main, question))}


def _panels(cells: "pandas.DataFrame", steps: list[int]) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.ticker import NullLocator

    if cells.empty:
        figure, axis = plt.subplots(figsize=figures.size(), layout="constrained")
        axis.set_axis_off()
        axis.text(0.5, 0.5, "nothing was measured", transform=axis.transAxes, ha="center")
        return figure
    problems = list(cells.problem.unique())
    columns = min(2, len(problems))
    rows = -(-len(problems) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=figures.size(columns, 0.72 * rows), squeeze=False, sharex=True, layout="constrained"
    )
    batches = list(cells.sort_values("batch_size").batch.unique())
    for axis, problem in zip(axes.flat, problems, strict=False):
        _panel(axis, cells[cells.problem == problem], batches)
        axis.set(xscale="log", yscale="log", title=problem)
        axis.set_xticks(steps[:: 1 + len(steps) // 7], [f"{t:g}" for t in steps[:: 1 + len(steps) // 7]])
        axis.xaxis.set_minor_locator(NullLocator())
    for axis in axes.flat[len(problems) :]:
        axis.remove()
    for row in axes:
        row[0].set_ylabel(r"gap $f(\bar{w}_T)-f^*$")
    for axis in axes.flat[max(0, len(problems) - columns) : len(problems)]:
        axis.set_xlabel("steps $T$")
        axis.xaxis.set_tick_params(labelbottom=True)
    handles = [
        Line2D([], [], color=_COLORS[k], marker=_MARKERS[k], markersize=3.5, linestyle="none", label=_name(batch))
        for k, batch in enumerate(batches)
    ]
    handles += [
        Line2D([], [], color="#555555", linestyle="-", label=r"$a/T+b/\sqrt{MT}$, fitted"),
        Line2D([], [], color="#555555", linestyle="--", label="bound"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, columnspacing=1.2)
    return figure


def _panel(axis: Any, cells: "pandas.DataFrame", batches: list[str]) -> None:
    means = cells.groupby(["batch_size", "steps"], sort=False).gap.mean().reset_index()
    fine = len(means) >= 3 and bool(np.isfinite(means.gap).all())
    form = fit(means.batch_size, means.steps, means.gap) if fine else None
    for k, batch in enumerate(batches):
        part = cells[cells.batch == batch]
        for steps, cell in part.groupby("steps"):
            interval = mean_interval(cell.gap)
            low = max(interval.low, float(cell.gap.min()))  # an interval of a mean may reach below zero
            axis.plot([steps] * len(cell), cell.gap, "_", color=_COLORS[k], alpha=0.35, markersize=4, zorder=1)
            axis.plot([steps, steps], [low, interval.high], color=_COLORS[k], linewidth=1.0, zorder=2)
            axis.plot(steps, interval.value, _MARKERS[k], color=_COLORS[k], markersize=3.5, zorder=3)
        if part.empty:
            continue
        bound = part.groupby("steps").bound_path.first()
        axis.plot(bound.index, bound, linestyle="--", color=_COLORS[k], linewidth=0.9, zorder=1)
        if form is not None:
            size = float(part.batch_size.iloc[0])
            line = np.geomspace(part.steps.min(), part.steps.max(), 40)
            axis.plot(line, [form.at(size, t) for t in line], color=_COLORS[k], linewidth=0.9, zorder=1)
    if form is not None:
        axis.text(0.03, 0.04, f"$R^2$ of the form: {form.r_squared:.2f}", transform=axis.transAxes, fontsize=7)


def _name(batch: str) -> str:
    return "full" if batch == "full" else f"$M={batch}$"


def _caption(settings: Any, main: Mapping[str, Any], question: str) -> str:
    return (
        f"{question} AdaGrad with learning rate D/sqrt(2), started at 0 and projected onto the box [-D/2, D/2]^d with "
        f"D = {2 * main['room']:g} max|w*_j|; gap of the mean of w_0 to w_(T-1). Markers: mean over "
        f"{len(settings.seeds)} seeds (dashes) with its 95% interval; dashed: 4 ||L||_1 D^2/T + 2 sqrt(2) "
        "||sigma||_1 D/sqrt(M T), with L certified and, over seeds, the largest ||sigma||_1, sigma_j being the largest "
        "at every fourth recording point of a seed's path; solid: its form fitted to the log of all means of a panel, "
        "a and b at least 0. Reading: the bound is obeyed where all markers are below the dashed line of their colour, "
        "and loose by their distance; it has the right form where the solid lines pass through them. Problems, batch "
        f"sizes and numbers of steps are our choices; data sets have an l2 term of {main['l2']}, so that they have a "
        "minimiser, quadratics have normal noise. All of them are strongly convex near it, which the bound does not "
        "use."
    )
