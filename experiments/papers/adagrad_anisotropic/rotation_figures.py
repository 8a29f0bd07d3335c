"""Figure of the control: gaps before and after random rotations, and by how much each method moved."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.statistics import exp_interval, mean_interval

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_SETS = 4  # side by side at most


def draw(fresh: "pandas.DataFrame", settings: Any, question: str) -> "Figures":
    """For the first l2, batch size and readout."""
    readout, l2, size = next(iter(settings.readouts)), str(settings.l2[0]), settings.batch_sizes[0]
    table = fresh[(fresh.readout == readout) & (fresh.l2 == l2) & (fresh.batch_size == size)]
    sets = list(table["set"].unique())[:_SETS]
    methods = [m for m in settings.methods if m in set(table.method)]
    caption = (
        f"{question} Above: the gap after {settings.passes} passes (logistic regression, l2 = {l2}, batch {size}, "
        f"{readout} iterate), filled for the set as it is, open after its rows were turned at random; below: the gap "
        "after the rotation over that before, paired by seed. At 1 a method does not care. SGD and AdaGrad-Norm "
        "commute with rotations and see the same examples: that they stay at 1 is a check of the code, made in one "
        "rotation. Above 1 a method lost something: where AdaGrad was ahead of SGD, so much of its advantage came from "
        f"the axes. Each method was tuned again, in every rotation, on {len(settings.tuning_seeds)} seeds. Geometric "
        f"means over {len(settings.seeds)} fresh ones; the 95% intervals are over the {len(settings.rotations)} "
        "rotations, dashes the single ones, and where there are not several, over seeds. *: a best learning rate is at "
        "the edge of its grid. Sets, batch size and passes are ours."
    )
    return {"rotation": (_figure(table, sets, methods), caption)}


def _figure(table: "pandas.DataFrame", sets: list[str], methods: list[str]) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    figure, axes = plt.subplots(
        2,
        len(sets),
        figsize=figures.size(min(2, len(sets)), 1.15),
        squeeze=False,
        sharex=True,
        sharey="row",
        layout="constrained",
        height_ratios=(3, 2),
    )
    for (above, below), name in zip(axes.T, sets, strict=True):
        of_set = table[table["set"] == name]
        for place, method in enumerate(methods):
            cell, look = of_set[of_set.method == method], figures.style(method)
            logs = np.log(cell.pivot(index="seed", columns="rotation", values="value"))
            before, after = logs[0], logs.drop(columns=0)
            # where there are several rotations they are the unit, otherwise the seeds are
            turned, moved = (v.mean() if v.shape[1] > 1 else v.iloc[:, 0] for v in (after, after.sub(before, axis=0)))
            for axis, values, aside, face in (
                (above, before, -0.17, look.color),
                (above, turned, 0.17, "white"),
                (below, moved, 0.0, look.color),
            ):
                at, mean = place + aside, exp_interval(mean_interval(values))
                singles = np.exp(values)
                axis.plot([at] * len(values), singles, "_", color=look.color, alpha=0.45, markersize=5, zorder=1)
                axis.plot([at, at], [mean.low, mean.high], color=look.color, linewidth=1.0, zorder=2)
                axis.plot(at, mean.value, look.marker, color=look.color, markerfacecolor=face, markersize=5, zorder=3)
            if cell.edge.any():
                above.annotate("*", (place, np.exp(before.mean())), (0, 6), textcoords="offset points", ha="center")
        below.axhline(1.0, color="black", linewidth=0.8)
        above.set(yscale="log", title=f"{name}, n = {of_set.examples.iloc[0]:,}")
        below.set(yscale="log", xlim=(-0.6, len(methods) - 0.4))
        below.set_xticks(range(len(methods)), methods, rotation=30, ha="right")
    for row, label in zip(axes, (r"gap $f(w_T)-f^*$", "gap, rotated / not"), strict=True):
        figures.plain_log_ticks(row[0])
        row[0].set_ylabel(label)
    handles = [
        Line2D([], [], color="black", marker="o", linestyle="none", markersize=4, markerfacecolor=face)
        for face in ("black", "white")
    ]
    axes[0][-1].legend(handles, ["as it is", "rotated"], frameon=False)
    return figure
