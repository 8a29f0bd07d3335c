"""Figure of `curves`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.adagrad_anisotropic.critical_batches import short

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_AXES = {"examples": "examples", "steps": "steps", "seconds": "seconds of training"}
_LINES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))  # from the smallest batch size to the largest


def draw(points: "pandas.DataFrame", costs: "pandas.DataFrame", settings: Any, question: str) -> "Figures":
    """points: gap by set, method, batch, seed and recording point; costs: medians to the target."""
    import matplotlib.pyplot as plt

    sets = list(costs["set"].unique())
    width, height = figures.size(2)
    shape: dict[str, Any] = {"squeeze": False, "sharey": "row", "layout": "constrained"}
    figure, axes = plt.subplots(len(sets), 3, figsize=(width, 0.85 * height * len(sets)), **shape)
    for row, name in zip(axes, sets, strict=True):
        for axis, (column, label) in zip(row, _AXES.items(), strict=True):
            _panel(axis, points[points["set"] == name], column, settings)
            axis.set(xscale="log", yscale="log", xlabel=label)
        of_set = points[points["set"] == name]
        start = of_set.gap[of_set.steps == 0].iloc[0]
        lowest = max(of_set.gap.min() / 1.5, settings.target * start / 30)
        for axis in row:
            axis.axhline(settings.target * start, color="black", linewidth=0.8, linestyle=":")
            axis.set_ylim(lowest, 2 * start)
            axis.minorticks_off()
        row[0].set_title(f"{short(name)}, batches of {', '.join(map(str, settings.batch_sizes[name]))}")
        row[0].set_ylabel(r"gap $f(w_t)-f^*$")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(settings.methods) * 3, frameon=False)
    return {"curves": (figure, _caption(sets, settings, question))}


def _panel(axis: Any, points: "pandas.DataFrame", column: str, settings: Any) -> None:
    for method in settings.methods:
        look = figures.style(method)
        for place, batch in enumerate(map(str, settings.batch_sizes[points["set"].iloc[0]])):
            part = points[(points.method == method) & (points.batch == batch) & (points.steps > 0)]
            for _, seed in part.groupby("seed"):
                axis.plot(seed[column], seed.gap, color=look.color, linewidth=0.4, alpha=0.4)
            grouped = part.assign(log=np.log(part.gap.clip(lower=1e-12))).groupby("steps")
            line = _LINES[place % len(_LINES)]
            label = f"{method}, {('small', 'middle', 'largest')[place]}"
            axis.plot(
                grouped[column].mean() if column != "steps" else grouped.log.mean().index,
                np.exp(grouped.log.mean()),
                color=look.color,
                linestyle=line,
                linewidth=1.1,
                label=label,
            )


def _caption(sets: list[str], settings: Any, question: str) -> str:
    (iterate,) = settings.iterate
    return (
        f"{question} Gap to the optimum against examples, steps and seconds of training, of "
        f"{' and '.join(settings.methods)} on {', '.join(map(short, sets))} (logistic regression, l2 = {settings.l2}, "
        f"{iterate} iterate), each batch size at the rate that needs the fewest examples to the dotted line, "
        f"{settings.target:g} of the first gap. Reading: small batches are ahead in examples, large ones in steps, and "
        f"in seconds what a step costs decides. Thin lines: {len(settings.alone)} seeds, each run alone; thick: their "
        "median. The seconds are those of the machine that drew this figure (one thread for small steps), and "
        "leave out evaluation. Sets, batch sizes and target are our choices."
    )
