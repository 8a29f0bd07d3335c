"""Figures of the study `plane`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.practical_adam.counterexample_verdicts import DRIFT, END
from experiments.schedule_plane import Outcome, draw_plane
from experiments.statistics import mean_interval

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_GUIDE = "#999999"


def draw(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> "Figures":
    """The plane with what was measured on it, and cuts through it."""
    return {
        "exponent_plane": (_planes(tables["points"], settings), _plane_caption(tables["points"], settings, question)),
        "step_exponent": (_cuts(tables, settings), _cut_caption(settings)),
    }


def _planes(points: "pandas.DataFrame", settings: Any) -> Any:
    """One panel for each form, at the main beta."""
    import matplotlib.pyplot as plt

    shown: Any = None
    names = list(settings.parsed)
    figure, axes = plt.subplots(
        1, len(names), figsize=figures.size(2, 1.0), layout="constrained", sharey=True, squeeze=False
    )
    for axis, name in zip(axes[0], names, strict=True):
        own = points[(points.form == name) & (points.beta == settings.beta[0])]
        outcomes = [
            Outcome(row.r, row.s, row.end, bool(row.condition and row.drift >= DRIFT)) for row in own.itertuples()
        ]
        shown = draw_plane(axis, measured=outcomes)
        axis.set_title(f"{name}, {own.steps.iloc[0]:,} steps")
        axis.label_outer()
    figure.colorbar(shown, ax=axes, aspect=30, pad=0.015).set_label("mean of $x$ over the last tenth")
    return figure


def _plane_caption(points: "pandas.DataFrame", settings: Any, question: str) -> str:
    said = []
    for name, own in points[points.beta == settings.beta[0]].groupby("form", sort=False):
        predicted = own[own.condition & (own.drift >= DRIFT)]
        rest = own.drop(predicted.index)
        said.append(
            f"{name}: {int((predicted.end < -END).sum())} of {len(predicted)} predicted points end below -0.5, and "
            f"{int((rest.end < -END).sum())} of the {len(rest)} others"
        )
    return (
        f"{question} Markers: mean of x over the last tenth of the steps and over {settings.seeds} seeds, on the "
        f"counterexample from x_1 = {settings.start:g}, lr = {settings.lr:g}, beta = {settings.beta[0]:g}. Shaded: the "
        "sufficient condition, 0 < r <= 2s < 2. Ringed: points for which theory predicts the right end, as they have "
        f"the condition and a drift sum of at least {DRIFT:g} left after the reversal. {'; '.join(said)}. The drift "
        "sum does not count noise, which holds x away from -1 where s is small. Elsewhere nothing is predicted: the "
        "condition is not necessary. The grid, and the steps and numbers of seeds, are ours."
    )


def _cuts(tables: Mapping[str, "pandas.DataFrame"], settings: Any) -> Any:
    """The main form at each r of the cuts: above x by t for every s, below the end by s."""
    import matplotlib.pyplot as plt

    name, cuts = next(iter(settings.parsed)), sorted(settings.cuts, reverse=True)
    curves, ends = (table[table.form == name] for table in (tables["curves"], tables["ends"]))
    points = tables["points"][(tables["points"].form == name) & (tables["points"].beta == settings.beta[0])]
    size = figures.size(2, 1.3)
    figure, axes = plt.subplots(2, len(cuts), figsize=size, layout="constrained", sharey=True, squeeze=False)
    colors = plt.get_cmap("viridis")
    exponents = sorted(settings.s)
    for column, r in enumerate(cuts):
        above, below = axes[0][column], axes[1][column]
        for s in exponents:
            part = curves[(curves.r == r) & (curves.s == s)]
            above.plot(part.t, part.x, color=colors(0.95 * s), label=f"{s:g}")
        own = ends[(ends.r == r) & (ends.beta == settings.beta[0])]
        for s in exponents:
            of = own[own.s == s].end
            interval = mean_interval(of)
            below.plot([s] * len(of), of, "_", color=colors(0.95 * s), alpha=0.6, markersize=6, zorder=1)
            if np.isfinite(interval.low):
                below.plot([s, s], [interval.low, interval.high], color=colors(0.95 * s), linewidth=1.0)
            below.plot([s], [interval.value], "o", color=colors(0.95 * s), markersize=4, zorder=3)
        line = points[points.r == r].sort_values("s")
        below.plot(line.s, line.end, color=_GUIDE, linewidth=0.8, zorder=0)
        below.axvspan(r / 2, min(1.0, max(exponents)), color="#000000", alpha=0.07, linewidth=0, zorder=0)
        above.set(xscale="log", xlabel="steps $t$", title=f"$r$ = {r:g}", ylim=(-1.08, 1.08))
        below.set(xlabel="$s$", xlim=(min(exponents) - 0.04, max(exponents) + 0.04))
    axes[0][0].set_ylabel("mean $x_t$")
    axes[1][0].set_ylabel("mean of $x$ over the last tenth")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", title="$s$", frameon=False, handlelength=1.2)
    return figure


def _cut_caption(settings: Any) -> str:
    name, form = next(iter(settings.parsed.items()))
    return (
        f"How does the step size's exponent decide? alpha_t = {settings.lr:g}/t^s on the {name} counterexample, beta = "
        f"{settings.beta[0]:g}, {form.steps:,} steps. Above: x, mean over {settings.seeds} seeds, for each s. Below: "
        "its mean over the last tenth of the steps; markers: mean over the seeds with its 95% interval, short dashes: "
        "each seed; shaded: the sufficient condition, r/2 <= s < 1. A large s brings x too little drift to arrive; a "
        "small one leaves it noise. The grid of s is ours: the paper's is not known."
    )
