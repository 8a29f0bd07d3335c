"""Figure of `curves`."""

from typing import TYPE_CHECKING, Any

from experiments import figures
from experiments.papers.adagrad_anisotropic.names import short
from experiments.theory.critical_batch import LEAST_GAP

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_AXES = {"examples": "examples", "steps": "steps", "seconds": "seconds of training"}
_LINES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1, 1, 1)), (0, (6, 1, 1, 1, 1, 1)))  # the smallest batch first


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
    handles, labels = max((row[0].get_legend_handles_labels() for row in axes), key=lambda found: len(found[1]))
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6), frameon=False)
    return {"curves": (figure, _caption(sets, settings, question))}


def _panel(axis: Any, points: "pandas.DataFrame", column: str, settings: Any) -> None:
    for method in settings.methods:
        look = figures.style(method)
        batches = settings.batch_sizes[points["set"].iloc[0]]
        for place, batch in enumerate(map(str, batches)):
            part = points[(points.method == method) & (points.batch == batch) & (points.steps > 0)]
            part = part.assign(gap=part.gap.clip(lower=LEAST_GAP))
            for _, seed in part.groupby("seed"):
                axis.plot(seed[column], seed.gap, color=look.color, linewidth=0.4, alpha=0.4)
            middle = part[["steps", "examples", "seconds", "gap"]].groupby("steps", as_index=False).median()
            line = {"color": look.color, "linestyle": _LINES[place % len(_LINES)], "linewidth": 1.1}
            axis.plot(middle[column], middle.gap, label=f"{method}, {_name(place, len(batches))}", **line)


def _name(place: int, count: int) -> str:
    """What a batch size is called in every set: smallest, largest, and those between."""
    if place in (0, count - 1):
        return "largest" if place else "smallest"
    return "middle" if count == 3 else f"no. {place + 1}"


def _caption(sets: list[str], settings: Any, question: str) -> str:
    (iterate,) = settings.iterate
    return (
        f"{question} Gap to the optimum against examples, steps and seconds of training, of "
        f"{' and '.join(settings.methods)} on {', '.join(map(short, sets))} (logistic regression, l2 = {settings.l2}, "
        f"{iterate} iterate), each batch size at the rate that needs the fewest examples to the dotted line, "
        f"{settings.target:g} of the first gap. Reading: what is further left is ahead, and a batch size that is ahead "
        f"in one panel may be behind in another. Thin lines: {len(settings.alone)} seeds, each run alone; thick: the "
        "median of their gaps at each recorded step, against the median of their seconds there. The seconds are "
        "those of the machine that ran the runs (one thread for small steps), and leave out evaluation. Sets, batch "
        "sizes and target are our choices."
    )
