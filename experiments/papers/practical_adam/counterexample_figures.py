"""Figures of the study `counterexample`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.figures import Style
from experiments.papers.practical_adam import looks
from experiments.papers.practical_adam.counterexample_captions import path_caption, regret_of, turns_caption
from experiments.papers.practical_adam.counterexample_forms import GENERIC

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_TOP = 30  # times the regret of standing at +1
_GUIDE = "#999999"


def draw(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> "Figures":
    """The iterate and its regret in each form, and the turns beside what is predicted."""
    found = {
        f"counterexample_{form}": (_paths(tables, form, settings), path_caption(tables, form, settings, question))
        for form in settings.parsed
    }
    return found | {"turning_steps": (_turns(tables, settings), turns_caption(settings))}


def _paths(tables: Mapping[str, "pandas.DataFrame"], form: str, settings: Any) -> Any:
    """Above the decays, below the other methods; x on the left, the average regret on the right."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=figures.size(2, 1.25), layout="constrained", sharex=True)
    curves, seeds, turns = (tables[name][tables[name].form == form] for name in ("curves", "seeds", "turns"))
    main = settings.beta[0]
    own = curves[(curves.kind == GENERIC) & (curves.beta == main)]
    colors = looks.of_exponents(own.r)
    for r, part in own.groupby("r"):
        of_seeds = seeds[(seeds.method == part.method.iloc[0]) & (seeds.beta == main)]
        _line(axes[0], part, of_seeds, Style(colors[r], ""), f"$r$ = {r:g}")
        row = turns[(turns.kind == GENERIC) & (turns.beta == main) & (turns.r == r)].iloc[0]
        if 1 < row.predicted < row.steps:
            for axis in axes[0]:
                axis.axvline(row.predicted, color=colors[r], linestyle="--", linewidth=0.9, zorder=0)
    for name, look in looks.OTHERS.items():
        part, of_seeds = (table[table.method == name] for table in (curves, seeds))
        if name == "RMSProp":
            part, of_seeds = (table[(table.method == "r = 1") & (table.beta == 0)] for table in (curves, seeds))
        if len(part):
            _line(axes[1], part, of_seeds, look, name)
    worst = tables["ends"][tables["ends"].form == form].worst.iloc[0]
    for row in axes:
        row[1].axhline(worst, color=_GUIDE, linestyle=":", linewidth=0.9, zorder=0)
        row[0].set(ylabel="$x_t$", ylim=(-1.08, 1.08), xscale="log")
        row[1].set(ylabel=f"{regret_of(settings.parsed[form])} average regret", yscale="log")
        if settings.parsed[form].cyclic:  # the first step's realised loss is that of the big slope
            row[1].set_ylim(top=_TOP * worst)
        figures.plain_log_ticks(row[1])
        handles, labels = row[0].get_legend_handles_labels()
        row[1].legend(handles, labels, frameon=False, loc="lower left", handlelength=1.8)
    axes[1][0].set_xlabel("steps $t$")
    axes[1][1].set_xlabel("steps $t$")
    return figure


def _line(axes: Any, part: "pandas.DataFrame", of_seeds: "pandas.DataFrame", look: Style, label: str) -> None:
    """The mean over seeds on top of every seed, or the page's own path on top of other places to begin at."""
    by_seed = of_seeds.pivot(index="seed", columns="t", values="x")
    gaps = np.full((len(by_seed), 1), np.nan)  # one line with gaps: quicker than many lines
    along = np.tile(np.append(by_seed.columns.to_numpy(dtype=float), np.nan), len(by_seed))
    xs = np.hstack([by_seed.to_numpy(), gaps]).ravel()
    axes[0].plot(along, xs, look.line, color=look.color, alpha=0.16, linewidth=0.4, zorder=1)
    axes[0].plot(part.t, part.x, look.line, color=look.color, label=label, linewidth=1.4, zorder=3)
    axes[1].plot(part.t, part.regret, look.line, color=look.color, zorder=3)


def _turns(tables: Mapping[str, "pandas.DataFrame"], settings: Any) -> Any:
    """Measured against predicted: one panel for each form, seeds as dashes beside the mean."""
    import matplotlib.pyplot as plt

    names = list(settings.parsed)
    size = figures.size(2, 0.8)
    figure, axes = plt.subplots(1, len(names), figsize=size, layout="constrained", sharey=True, squeeze=False)
    turns, ends = tables["turns"], tables["ends"]
    for axis, form in zip(axes[0], names, strict=True):
        steps = settings.parsed[form].steps
        own = turns[(turns.form == form) & (turns.kind == GENERIC) & (turns.r > 0)]
        shown = own[(own.predicted < 10 * steps)]
        colors = looks.of_exponents(turns[turns.kind == GENERIC].r)
        for k, beta in enumerate(settings.beta):
            for row in shown[shown.beta == beta].itertuples():
                place = row.predicted * 1.12 ** (2 * k - (len(settings.beta) - 1))
                _mark(axis, place, row, steps, colors[row.r], hollow=k > 0)
                of_seeds = ends[(ends.form == form) & (ends.method == row.method) & (ends.beta == beta)].turn
                kept = of_seeds[(of_seeds > 0) & (of_seeds < steps)]
                outside = place * 1.35 ** (2 * k - (len(settings.beta) - 1))
                if row.n == 1:  # one path is its own mean
                    continue
                axis.plot([outside] * len(kept), kept, "_", color=colors[row.r], alpha=0.6, markersize=3, zorder=1)
        span = np.array([10.0, 10.0 * max(settings.parsed[name].steps for name in names)])
        axis.plot(span, span, "--", color=_GUIDE, linewidth=0.9, zorder=0)
        axis.axhline(steps, color=_GUIDE, linestyle=":", linewidth=0.9, zorder=0)
        axis.set(xscale="log", yscale="log", title=form, xlabel="predicted reversal $t^*(r)$")
        if len(shown):
            axis.set_xlim(float(shown.predicted.min()) / 3, 10 * steps)
    lowest = turns[(turns.kind == GENERIC) & (turns.turn > 0)].turn.min()
    axes[0][0].set_ylim(bottom=max(1.0, (lowest if math.isfinite(lowest) else 100.0) / 10))
    axes[0][0].set_ylabel("last step with $x_t > 0$")
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, marker="o", linestyle="", markersize=4, label=f"$r$ = {r:g}")
               for r, c in looks.of_exponents(turns[turns.kind == GENERIC].r).items() if r > 0]  # fmt: skip
    handles += [
        Line2D([], [], color="#444444", marker="o", linestyle="", markersize=4, markerfacecolor=fill,
               label=rf"$\beta$ = {beta:g}")
        for beta, fill in zip(settings.beta, ("#444444", "none")[: len(settings.beta)], strict=True)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _mark(axis: Any, place: float, row: Any, steps: int, color: str, hollow: bool) -> None:
    """The turn of the mean with its interval; an arrow at the last step where it may never turn."""
    if not math.isfinite(row.turn):
        axis.plot([place], [steps], "^", color=color, markersize=5, markerfacecolor="none" if hollow else color)
        return
    if row.n > 1:
        axis.plot([place, place], [max(row.low, 1.0), min(row.high, steps)], color=color, linewidth=1.0, zorder=2)
    fill = "none" if hollow else color
    axis.plot([place], [row.turn], "o", color=color, markerfacecolor=fill, markersize=4, zorder=3)
