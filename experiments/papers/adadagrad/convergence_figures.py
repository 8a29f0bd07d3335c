"""Figures of the study `convergence`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.adadagrad.convergence_captions import inequality_caption, rates_caption, step_size_caption
from experiments.papers.adadagrad.convergence_runs import CONSTANT, COORDINATES, EXACT, FULL, NORM, SAMPLE
from experiments.papers.adadagrad.convergence_verdicts import FLATTEST, STEEPEST, most
from experiments.statistics import exp_interval, mean_interval

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

NAMES = {NORM: "AdaGrad-Norm, norm test", COORDINATES: "AdaGrad, coordinate-wise test"}
_OF_ETA = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00")  # small to large
_CONSTANT = ("#7F7F7F", "#B0B0B0")
_MARKERS = ("o", "s", "^", "D", "v")
_FULL = "#000000"
_GUIDE = "#999999"


def draw(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> "Figures":
    """A_K by steps and by draws, slopes and totals by step size, and whether the inequality is kept."""
    runs = tables["runs"]
    alpha = float(tables["curves"].alpha.iloc[0])
    return {
        "mean_gradient_by_steps": (_rates(tables["curves"]), rates_caption(runs, alpha, settings, question)),
        "rate_by_step_size": (_by_step_size(runs), step_size_caption(runs, settings)),
        "inequality_kept": (_inequality(tables["moments"], runs), inequality_caption(settings)),
    }


def _etas(table: "pandas.DataFrame") -> dict[float, str]:
    """Colour of each eta."""
    found = sorted(table.eta.dropna().unique())
    return {eta: _OF_ETA[k % len(_OF_ETA)] for k, eta in enumerate(found)}


def _rates(curves: "pandas.DataFrame") -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=figures.size(2, 1.5), layout="constrained", sharey="row")
    for row, (method, name) in zip(axes, NAMES.items(), strict=True):
        part = curves[curves.method == method]
        for axis, along in zip(row, ("steps", "examples"), strict=True):
            _lines(axis, part, along)
            axis.set(xscale="log", yscale="log", title=name)
        _bounds(row[0], part)
        row[0].set_ylabel(r"$A_K$, mean of $\|\nabla F\|^2$")
    axes[1][0].set_xlabel("steps $K$")
    axes[1][1].set_xlabel("examples drawn")
    handles = [line for line in axes[0][0].get_lines() if not line.get_label().startswith("_")]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, columnspacing=1.2)
    return figure


def _lines(axis: Any, part: "pandas.DataFrame", along: str) -> None:
    """Every scheme: seeds thin, their geometric mean on top."""
    colors = _etas(part)
    looks: list[tuple[str, float | None, str, str, str]] = [(FULL, None, _FULL, "-", "full gradient")]
    sizes = part.batch.dropna().unique()
    looks += [(CONSTANT, b, _CONSTANT[k % 2], ("-.", "--")[k % 2], f"constant, b = {b:g}") for k, b in enumerate(sizes)]
    looks += [(EXACT, eta, color, "-", rf"exact test, $\eta$ = {eta:g}") for eta, color in colors.items()]
    looks += [(SAMPLE, eta, color, ":", rf"sample test, $\eta$ = {eta:g}") for eta, color in colors.items()]
    for scheme, value, color, line, label in looks:
        own = part[part.scheme == scheme]
        if value is not None:
            own = own[(own.batch if scheme == CONSTANT else own.eta) == value]
        for _, seed in own.groupby("seed"):
            axis.plot(seed[along], seed.mean_square, line, color=color, alpha=0.25, linewidth=0.5, zorder=1)
        logs = own.assign(x=np.log(own[along]), y=np.log(own.mean_square)).groupby("steps")[["x", "y"]].mean()
        over = {"linewidth": 0.7, "zorder": 4} if scheme == FULL else {"zorder": 3}  # others may lie on it
        axis.plot(np.exp(logs.x), np.exp(logs.y), line, color=color, label=label, **over)


def _bounds(axis: Any, part: "pandas.DataFrame") -> None:
    """1/K and 1/sqrt(K) above all lines, and the band that the exact test's must end below."""
    full = part[part.scheme == FULL]
    means = np.exp(np.log(full.mean_square).groupby(full.steps).mean())
    steps = means.index.to_numpy(dtype=float)
    etas = sorted(part.eta.dropna().unique())
    low, high = (means.to_numpy() * most(eta) for eta in (etas[0], etas[-1]))
    for edge in (low, high):
        axis.plot(steps, edge, "--", color=_FULL, linewidth=0.7, zorder=2)
    axis.fill_between(steps, low, high, color=_FULL, alpha=0.10, linewidth=0, zorder=0)
    top = float(part.mean_square.max()) * 2
    right = steps[steps >= steps[-1] / 300]
    for power, label in ((-1.0, "$1/K$"), (-0.5, r"$1/\sqrt{K}$")):
        guide = top * (right / right[0]) ** power
        axis.plot(right, guide, "--", color=_GUIDE, linewidth=0.9, zorder=0)
        look = {"color": "#666666", "fontsize": 7, "ha": "left", "va": "center"}
        axis.annotate(label, (right[-1], guide[-1]), (2, 0), textcoords="offset points", **look)


def _by_step_size(runs: "pandas.DataFrame") -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, 2, figsize=figures.size(2, 1.4), layout="constrained", sharex=True, sharey="row", squeeze=False
    )
    for column, (method, name) in enumerate(NAMES.items()):
        own = runs[runs.method == method]
        _slopes(axes[0][column], own)
        _totals(axes[1][column], own)
        axes[0][column].set(xscale="log", title=name)
        axes[1][column].set(xscale="log", yscale="log", xlabel=r"step size $\alpha$")
        axes[1][column].set_xticks(sorted(own.alpha.unique()), [f"{a:g}" for a in sorted(own.alpha.unique())])
        axes[1][column].minorticks_off()
    figures.plain_log_ticks(axes[1][0])
    axes[0][0].set_ylabel(r"slope of $\log A_K$ on $\log K$")
    axes[1][0].set_ylabel(r"$K A_K$ / full gradient's")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False, columnspacing=1.2)
    return figure


def _slopes(axis: Any, own: "pandas.DataFrame") -> None:
    axis.axhspan(STEEPEST, FLATTEST, color=_FULL, alpha=0.10, linewidth=0, zorder=0)
    axis.axhline(-0.5, color=_GUIDE, linestyle="--", linewidth=0.9, zorder=0)
    groups = [(_FULL, "full gradient", own[own.scheme == FULL])]
    exact = own[own.scheme == EXACT]
    groups += [(c, rf"exact test, $\eta$ = {e:g}", exact[exact.eta == e]) for e, c in _etas(own).items()]
    constant = own[own.scheme == CONSTANT]
    if len(constant):
        first = constant.batch.iloc[0]
        groups.append((_CONSTANT[0], f"constant, b = {first:g}", constant[constant.batch == first]))
    for k, (color, label, part) in enumerate(groups):
        points = [
            (a * figures.beside(k, len(groups)), mean_interval(of.slope), True) for a, of in part.groupby("alpha")
        ]
        look = figures.Style(color, _MARKERS[k % len(_MARKERS)])
        figures.line_with_intervals(axis, points, look, label)
        for a, of in part.groupby("alpha"):
            place = a * figures.beside(k, len(groups))
            axis.plot([place] * len(of), of.slope, "_", color=color, alpha=0.5, markersize=4, zorder=1)


def _totals(axis: Any, own: "pandas.DataFrame") -> None:
    full = own[own.scheme == FULL].set_index(["alpha", "seed"]).total
    colors = _etas(own)
    for k, (eta, color) in enumerate(colors.items()):
        part = own[(own.scheme == EXACT) & (own.eta == eta)]
        points = []
        for a, of in part.groupby("alpha"):
            ratios = of.set_index(["alpha", "seed"]).total / full
            ratios = ratios.dropna()
            place = a * figures.beside(k + 1, len(colors) + 2)
            points.append((place, exp_interval(mean_interval(np.log(ratios))), True))
            axis.plot([place] * len(ratios), ratios, "_", color=color, alpha=0.5, markersize=4, zorder=1)
        figures.line_with_intervals(axis, points, figures.Style(color, _MARKERS[(k + 1) % len(_MARKERS)]), f"{eta:g}")
        axis.axhline(most(eta), color=color, linestyle="--", linewidth=0.9, zorder=0)


def _inequality(moments: "pandas.DataFrame", runs: "pandas.DataFrame") -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=figures.size(2, 1.4), layout="constrained", sharey="row")
    for column, (method, name) in enumerate(NAMES.items()):
        _moments(axes[0][column], moments[moments.method == method])
        axes[0][column].set(title=name, xlabel="frozen point: step of the full-gradient run")
        _kept(axes[1][column], runs[(runs.method == method) & (runs.scheme == SAMPLE)])
        axes[1][column].set(xscale="log", xlabel=r"step size $\alpha$", ylim=(-0.05, 1.05))
        alphas = sorted(runs.alpha.unique())
        axes[1][column].set_xticks(alphas, [f"{a:g}" for a in alphas])
        axes[1][column].minorticks_off()
    axes[0][0].set_ylabel(r"$E\|\hat g\|^2/\|g\|^2$ at the exact test's $b$")
    axes[1][0].set_ylabel("share of sampled steps")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=6, frameon=False, columnspacing=1.2)
    return figure


def _moments(axis: Any, own: "pandas.DataFrame") -> None:
    """Each seed's estimate with its interval over batches, at the points one after the other."""
    steps, colors = sorted(own.step.unique()), _etas(own)
    seeds = list(own.seed.unique())
    for k, (eta, color) in enumerate(colors.items()):
        part = own[own.eta == eta]
        place = [
            steps.index(step) + 0.24 * (k - (len(colors) - 1) / 2) + 0.15 * (seeds.index(seed) / len(seeds) - 0.4)
            for step, seed in zip(part.step, part.seed, strict=True)
        ]
        axis.vlines(place, part.low, part.high, color=color, linewidth=0.8, zorder=2)
        look = {"color": color, "markersize": 2.5, "zorder": 3}
        axis.plot(place, part.ratio, _MARKERS[(k + 1) % len(_MARKERS)], label=rf"$\eta$ = {eta:g}", **look)
        axis.axhline(1 + eta**2, color=color, linestyle="--", linewidth=0.9, zorder=0)
    axis.set_xticks(range(len(steps)), [f"{step}" for step in steps])


def _kept(axis: Any, own: "pandas.DataFrame") -> None:
    colors = _etas(own)
    for k, (eta, color) in enumerate(colors.items()):
        part = own[own.eta == eta].dropna(subset="kept")
        marker, places, means = _MARKERS[(k + 1) % len(_MARKERS)], [], []
        for a, of in part.groupby("alpha"):
            places.append(a * figures.beside(k, len(colors)))
            means.append(float(of.kept.mean()))
            axis.plot([places[-1]] * len(of), of.kept, "_", color=color, alpha=0.5, markersize=4, zorder=1)
        axis.plot(places, means, color=color, marker=marker, markersize=3.5, zorder=3)
