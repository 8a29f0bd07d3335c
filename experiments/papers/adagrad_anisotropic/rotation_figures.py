"""Figure of the control: gaps before and after a random rotation, and by how much each method moved."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.statistics import exp_interval, mean_interval, paired_ratio

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
        f"{readout} iterate), filled for the set as it is, open after its rows were turned by one random rotation; "
        "below: the gap after the rotation over that before, paired by seed. At 1 a method does not care, as SGD and "
        "AdaGrad-Norm must not; above 1 it lost something: AdaGrad's advantage then came from the axes. Each method "
        f"was tuned again, on {len(settings.tuning_seeds)} seeds; geometric means and 95% intervals over "
        f"{len(settings.seeds)} fresh ones, dashes the single seeds. Sets, batch size and passes are ours."
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
            cell = of_set[of_set.method == method].pivot(index="seed", columns="rotated", values="value")
            look = figures.style(method)
            for turned, aside in ((False, -0.17), (True, 0.17)):
                gap = exp_interval(mean_interval(np.log(cell[turned])))
                at, face = place + aside, "white" if turned else look.color
                above.plot([at] * len(cell), cell[turned], "_", color=look.color, alpha=0.45, markersize=5, zorder=1)
                above.plot([at, at], [gap.low, gap.high], color=look.color, linewidth=1.0, zorder=2)
                above.plot(at, gap.value, look.marker, color=look.color, markerfacecolor=face, markersize=5, zorder=3)
            moved = paired_ratio(cell[True], cell[False])
            below.plot([place, place], [moved.low, moved.high], color=look.color, linewidth=1.2, zorder=2)
            below.plot(place, moved.value, look.marker, color=look.color, markersize=5, zorder=3)
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
