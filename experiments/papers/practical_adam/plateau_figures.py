"""Figures of the study `plateau`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.practical_adam.plateau_runs import (
    ALPHA_DECAYS,
    DECAYING,
    FIXED,
    RATIO,
    THETA_RISES,
    predicted_square,
)
from experiments.statistics import exp_interval, mean_interval

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_OF_THETA = ("#56B4E9", "#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7")  # small to large
_DECAY, _GUIDE, _MIXED = "#000000", "#666666", "#7F7F7F"


def draw(tables: "Mapping[str, pandas.DataFrame]", settings: Any, question: str) -> "Figures":
    """The gradient norm by steps, and the height of the plateaus by theta."""
    return {
        "gradient_norm_by_steps": _curves(tables, settings, question),
        "plateau_by_theta": _heights(tables["lines"], settings),
    }


def _curves(tables: "Mapping[str, pandas.DataFrame]", settings: Any, question: str) -> tuple[Any, str]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=figures.size(2, 0.85), layout="constrained", sharey=True)
    curves = tables["curves"]
    titles = (rf"$\alpha$ = {settings.alpha:g}", rf"$\alpha = {settings.ratio:g}\sqrt{{1-\theta}}$")
    for axis, family, title in zip(axes, (FIXED, RATIO), titles, strict=True):
        for theta, color in _colors(settings).items():
            part = curves[(curves.line == family) & (curves.theta == theta)]
            _line(axis, part, color, rf"$\theta$ = {theta:g}")
            _predicted(axis, part, float(part.rate.iloc[0]) * np.ones(2), settings)
        both = curves[curves.line == DECAYING]
        _line(axis, both, _DECAY, rf"$\alpha_t = {settings.lr:g}/\sqrt{{t}}$, $\theta_t = 1 - 1/t$")
        late = np.array([both.steps.max() / 10, both.steps.max()])
        _predicted(axis, both, settings.lr / np.sqrt(late), settings)
        axis.set(xscale="log", yscale="log", xlabel="steps $t$", title=f"constant: {title}")
    for name, line, label in (
        (ALPHA_DECAYS, ":", rf"$\alpha_t$ decays, $\theta$ = {settings.theta:g}"),
        (THETA_RISES, "-.", rf"$\theta_t = 1-1/t$, $\alpha$ = {settings.alpha:g}"),
    ):
        _line(axes[0], curves[curves.line == name], _MIXED, label, line)
    known = tables["horizons"].groupby("horizon").norm
    ends = np.exp(known.apply(lambda norms: np.log(norms).mean()))
    label = rf"$\alpha = {settings.lr:g}/\sqrt{{T}}$, $\theta = 1-1/T$, at $T$"
    axes[0].plot(ends.index, ends, "o", color=_DECAY, markerfacecolor="white", markersize=3.5, zorder=4, label=label)
    axes[0].set_ylabel(r"$\|\nabla f\|$")
    figures.plain_log_ticks(axes[0])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, handlelength=2.2)
    return figure, _curves_caption(tables, settings, question)


def _colors(settings: Any) -> dict[float, str]:
    return {theta: _OF_THETA[k % len(_OF_THETA)] for k, theta in enumerate(sorted(settings.thetas))}


def _line(axis: Any, part: "pandas.DataFrame", color: str, label: str, line: str = "-") -> None:
    """Seeds thin, their geometric mean on top."""
    for _, seed in part.groupby("seed"):
        axis.plot(seed.steps, seed.norm, color=color, alpha=0.2, linewidth=0.4, zorder=1)
    logs = np.log(part.norm).groupby(part.steps).mean()
    axis.plot(logs.index, np.exp(logs), line, color=color, label=label, zorder=3)


def _predicted(axis: Any, part: "pandas.DataFrame", alpha: np.ndarray, settings: Any) -> None:
    """What is expected near the minimum, over the last decade of steps."""
    last = float(part.steps.max())
    expected = np.sqrt(predicted_square(settings.bowl, settings.batch_size, alpha))
    axis.plot([last / 10, last], expected, "--", color=_GUIDE, linewidth=0.9, zorder=5)


def _curves_caption(tables: "Mapping[str, pandas.DataFrame]", settings: Any, question: str) -> str:
    slopes = tables["lines"].groupby("line", sort=False).slope.agg(["min", "max"])
    shown = "; ".join(f"{name}: {row['min']:.3f} to {row['max']:.3f}" for name, row in slopes.iterrows())
    return (
        f"{question} Root mean square of the gradient norm in windows (five a decade) against steps, with alpha the "
        "same for every constant theta (left), or in proportion to sqrt(1 - theta) (right). Thin: "
        f"{len(settings.seeds)} replicas; thick: their geometric mean; circles: runs with a known horizon T, over "
        "their last tenth. Dashed, over the last decade: sqrt(d alpha noise/sqrt(b)), what is expected near the "
        "minimum for constant and for decaying alpha (derived by us, no constant is fitted). Slopes over the last "
        f"decade, over lines and replicas: {shown}. Two pairs are beside the claim: alpha decays with theta constant, "
        "and alpha constant with theta_t = 1 - 1/t; it is alpha that decides. The bowl, in d = "
        f"{settings.dimension}, noise {settings.noise:g}, b = {settings.batch_size}. Set-up is ours."
    )


def _heights(lines: "pandas.DataFrame", settings: Any) -> tuple[Any, str]:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=figures.size(1, 0.85), layout="constrained")
    looks = {FIXED: figures.Style("#0072B2", "o"), RATIO: figures.Style("#D55E00", "s")}
    labels = {
        FIXED: rf"$\alpha$ = {settings.alpha:g}",
        RATIO: rf"$\alpha = {settings.ratio:g}\sqrt{{1-\theta}}$",
    }
    for name, label in labels.items():
        points = []
        for theta, part in lines[lines.line == name].groupby("theta"):
            gap = 1 - float(theta)
            axis.plot([gap] * len(part), part.height, "_", color=looks[name].color, alpha=0.45, markersize=4)
            points.append((gap, exp_interval(mean_interval(np.log(part.height))), True))
        figures.line_with_intervals(axis, points, looks[name], label)
        gaps = np.array([min(x for x, *_ in points), max(x for x, *_ in points)])
        rates = settings.ratio * np.sqrt(gaps) if name == RATIO else np.full(2, settings.alpha)
        expected = predicted_square(settings.bowl, settings.batch_size, rates)
        axis.plot(gaps, expected, "--", color=_GUIDE, linewidth=0.9, zorder=4)
    axis.set(xscale="log", yscale="log", xlabel=r"$1 - \theta$", ylabel=r"plateau of $\|\nabla f\|^2$")
    figures.plain_log_ticks(axis)
    figures.label_lines(axis)
    return figure, (
        "How high is the plateau? The mean of ||grad f||^2 over the last decade of steps against 1 - theta. The bound "
        "says order sqrt(1 - theta), which is what a constant alpha/sqrt(1 - theta) must give; with alpha itself "
        "constant theta should make no difference. Dashed: d alpha noise/sqrt(b), expected near the minimum (derived "
        "by us, nothing fitted); where it is large the bowl is no longer quadratic. Markers: geometric mean of "
        f"{len(settings.seeds)} replicas (dashes) with 95% interval. The bowl, in d = {settings.dimension}, noise "
        f"{settings.noise:g}, b = {settings.batch_size}, {settings.steps:,} steps. Set-up is ours."
    )
