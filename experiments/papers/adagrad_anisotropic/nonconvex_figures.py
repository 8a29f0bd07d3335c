"""Figures of the study `nonconvex`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.statistics import exp_interval, mean_interval
from experiments.theory.running_mean import slope

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_FILLED = {True: "full", False: "none"}  # markers: the full batch, a small one
_NORMS = {"l1": r"\|\nabla f\|_1", "l2": r"\|\nabla f\|_2"}


def draw(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> "Figures":
    """The mean norms against T at each method's own rates, and curvature against gradient."""
    means, scatter = tables["means"], tables["scatter"]
    main = means[(means.eps == next(iter(settings.eps))) & (means.tuned == "at each T")]
    return {
        "mean_gradient_norm": (_means(main, settings), _means_caption(main, settings, question)),
        "curvature_and_gradient": (_scatter(scatter, settings), _scatter_caption(scatter, settings)),
    }


def _short(task: str) -> str:
    return task.removeprefix("mlp/").replace("_", " ")


def _means(main: "pandas.DataFrame", settings: Any) -> Any:
    import matplotlib.pyplot as plt

    tasks, methods = list(main.task.unique()), list(settings.methods)
    figure, axes = plt.subplots(
        len(tasks), len(methods), figsize=figures.size(2, 0.72 * len(tasks)), squeeze=False, layout="constrained"
    )
    for row, task in zip(axes, tasks, strict=True):
        for axis, method in zip(row, methods, strict=True):
            part = main[(main.task == task) & (main.method == method)]
            for batch, cell in part.groupby("batch", sort=False):
                _line(axis, cell, figures.style(method), "full batch" if batch == "full" else f"batch {batch}")
            axis.set(xscale="log", yscale="log", title=f"{_short(task)}, {method}")
            axis.set_ylabel(f"mean of ${_NORMS[settings.norms[method]]}$ over the steps")
            axis.set_xticks(settings.steps, [f"{t:g}" for t in settings.steps])
            axis.minorticks_off()
            figures.plain_log_ticks(axis)
            figures.label_lines(axis)
    for axis in axes[-1]:
        axis.set_xlabel("steps $T$")
    return figure


def _line(axis: Any, cell: "pandas.DataFrame", look: Any, name: str) -> None:
    wide = cell.pivot(index="seed", columns="steps", values="value").sort_index(axis=1)
    if not (np.isfinite(wide.to_numpy()) & (wide.to_numpy() > 0)).all():
        place = 0.04 + 0.08 * len(axis.texts)
        axis.text(0.03, place, f"{name}: a run diverged, not drawn", transform=axis.transAxes, fontsize=7)
        return
    steps = wide.columns.to_numpy(dtype=float)
    found = mean_interval([slope(steps, seed) for seed in wide.to_numpy()])
    exact = cell.batch.iloc[0] == "full"
    style = {"color": look.color, "marker": look.marker, "markersize": 3.5, "fillstyle": _FILLED[exact]}
    intervals = [exp_interval(mean_interval(np.log(wide[t]))) for t in wide.columns]
    for t, interval in zip(steps, intervals, strict=True):
        axis.plot([t, t], [interval.low, interval.high], color=look.color, linewidth=1.0, zorder=2)
        axis.plot([t] * len(wide), wide[t], "_", color=look.color, alpha=0.4, markersize=4, zorder=1)
    values = [interval.value for interval in intervals]
    axis.plot(steps, values, "-" if exact else "--", label=f"{name}: slope {found.value:.2f}", zorder=3, **style)
    wanted = -0.5 if exact else -0.25
    guide = values[0] * 0.93 * (steps / steps[0]) ** wanted
    axis.plot(steps, guide, color="#999999", linewidth=0.7, linestyle="-" if exact else ":", zorder=0)


def _scatter(scatter: "pandas.DataFrame", settings: Any) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.lines import Line2D

    tasks, methods = list(scatter.task.unique()), list(settings.methods)
    figure, axes = plt.subplots(
        len(tasks),
        len(methods),
        figsize=figures.size(2, 0.72 * len(tasks)),
        squeeze=False,
        sharex="row",
        sharey="row",
        layout="constrained",
    )
    norm = LogNorm(1, max(settings.steps))
    for row, task in zip(axes, tasks, strict=True):
        for axis, method in zip(row, methods, strict=True):
            part = scatter[(scatter.task == task) & (scatter.method == method)]
            for kind, marker in (("row_sum", "o"), ("diagonal", "x")):
                for _, point in part.sort_values("step").iterrows():
                    groups = [c.rpartition("_")[2] for c in part.columns if c.startswith("scatter_gradient_")]
                    x, y = ([point[f"scatter_{k}_{g}"] for g in groups] for k in ("gradient", kind))
                    shown = [(a, b) for a, b in zip(x, y, strict=True) if a > 0 and b > 0]
                    if not shown:
                        continue
                    color = [max(1.0, float(point["step"]))] * len(shown)
                    look = {"c": color, "marker": marker, "s": 9, "linewidths": 0.8, "norm": norm, "cmap": "viridis"}
                    axis.scatter(*zip(*shown, strict=True), **look)
            axis.set_axisbelow(True)
            axis.set(xscale="log", yscale="log", title=f"{_short(task)}, {method}")
        row[0].set_ylabel("curvature of a coordinate")
    handles = [
        Line2D([], [], color="#555555", marker=marker, markersize=3.5, linestyle="none", label=name)
        for marker, name in (("o", r"$\sum_k |H_{jk}|$"), ("x", r"$|H_{jj}|$"))
    ]
    axes[0][0].legend(handles=handles, frameon=False, loc="lower right", handlelength=1.0)
    for axis in axes[-1]:
        axis.set_xlabel(r"gradient $|\partial_j f|$")
    figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, label="step", aspect=30)
    return figure


def _means_caption(main: "pandas.DataFrame", settings: Any, question: str) -> str:
    return (
        f"{question} Mean of the gradient norm at w_0 to w_(T-1) against T: the l1 norm for AdaGrad, the l2 norm for "
        f"SGD, as in their rates ({', '.join(map(_short, main.task.unique()))}; networks with tanh units, "
        "cross-entropy, seeded start). Each T has its own learning rate, the one with the lowest mean norm on "
        f"{len(settings.tuning_seeds)} other seeds, on a grid of factor {settings.factor:g} widened until it is "
        f"inside. Markers: geometric mean over {len(settings.seeds)} seeds (dashes) with its 95% interval; filled "
        "and solid: full batch, for which the norm is followed at every step; open and dashed: small batch, for "
        "which the full gradient is taken at up to 64 points, evenly spaced in log T, and linear in between. Grey: "
        "slopes -1/2 (solid) and -1/4 (dotted), the rates without and with noise. Reading: steeper than grey is "
        "faster than the rate. Networks, T, batch sizes and grids are our choices."
    )


def _scatter_caption(scatter: "pandas.DataFrame", settings: Any) -> str:
    several = scatter.task.nunique() > 1
    said = []
    for (task, method), points in scatter.sort_values("step").groupby(["task", "method"], sort=False):
        correlation = float(points.scatter_correlation.iloc[-1])
        if np.isfinite(correlation):
            said.append(f"{_short(task) + ', ' if several else ''}{method}: {correlation:.2f} ({len(points)} points)")
    within = (
        " Rank correlation of log row sum and log |d_j f| within coordinates (both less their mean in each "
        f"coordinate), over the points of a run: {'; '.join(said)}. An L1_j > 0 would make it positive; "
        "so would anything else that changes both along the path."
    )
    return (
        "Curvature against gradient, coordinate by coordinate, beside L_j <= L0_j + L1_j |d_j f|. Along one full-batch "
        "run of each method at its best rate, coordinates with a gradient and a curvature are put into ten groups by "
        "|d_j f|; each point is the median of one group at one step (colour). Circles: row sums of |H|, an L that is "
        "valid at this point but not the smallest; crosses: |H_jj|, only a lower bound for L_j. Both are taken at "
        "points of the path and bound no L from above elsewhere. Reading: every coordinate may have its own L0_j, so a "
        f"cloud that rises across coordinates says nothing about L1.{within if said else ''} All of it is ours."
    )
