"""Figures of `examples_to_target`."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.adagrad_anisotropic.critical_batches import CONDITIONAL
from experiments.papers.adagrad_anisotropic.names import short
from experiments.statistics import exp_interval, mean_interval
from experiments.theory.critical_batch import Fit

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_ACROSS = 3  # sets in a figure


def draw(runs: "pandas.DataFrame", fits: "pandas.DataFrame", settings: Any, question: str) -> "Figures":
    """Of the runs and fits of the main arm."""
    made = {}
    sets = list(runs["set"].unique())
    for first in range(0, len(sets), _ACROSS):
        name = "examples_to_target" + (f"_{first // _ACROSS + 1}" if len(sets) > _ACROSS else "")
        made[name] = _examples(runs, fits, sets[first : first + _ACROSS], settings, question)
    made["critical_batch"] = _critical(fits, settings)
    return made


def _examples(
    runs: "pandas.DataFrame", fits: "pandas.DataFrame", sets: list[str], settings: Any, question: str
) -> tuple[Any, str]:
    import matplotlib.pyplot as plt

    rows = max(len(settings.targets_of(name)) for name in sets)
    columns = 1 if len(sets) == 1 else 2
    width, height = figures.size(columns)
    shape: dict[str, Any] = {"squeeze": False, "sharex": "col", "layout": "constrained"}
    figure, axes = plt.subplots(rows, len(sets), figsize=(width, 0.78 * height * rows), **shape)
    for column, name in zip(axes.T, sets, strict=True):
        for axis in column[len(settings.targets_of(name)) :]:
            axis.set_visible(False)
        for axis, target in zip(column, settings.targets_of(name), strict=False):
            for place, method in enumerate(settings.methods):
                part = runs[(runs["set"] == name) & (runs.target == target) & (runs.method == method)]
                law = fits[(fits["set"] == name) & (fits.target == target) & (fits.method == method)]
                if len(part):
                    _line(axis, part, law.iloc[0], figures.beside(place, len(settings.methods)))
            axis.set(xscale="log", yscale="log")
            axis.minorticks_off()
            low, high = axis.get_ylim()
            if high < 100 * low:
                figures.plain_log_ticks(axis)
            axis.set_title(f"{short(name)}: to {target:g} of the first gap")
        axis.set_xlabel("batch size (examples per step)")  # the last that is shown
        axis.tick_params(labelbottom=True)
    for row in axes:
        row[0].set_ylabel("examples needed")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure, _caption(sets, settings, question)


def _line(axis: Any, part: "pandas.DataFrame", law: "pandas.Series[Any]", aside: float) -> None:
    """One method: seeds, mean with interval, the fitted law, and where its critical batch is."""
    look = figures.style(part.method.iloc[0])
    for batch, cell in part.groupby("batch", sort=False):
        size = cell.batch_size.iloc[0] * aside
        reached = cell.needed[np.isfinite(cell.needed)]
        axis.plot([size] * len(reached), reached, "_", color=look.color, alpha=0.45, markersize=4, zorder=1)
        if len(reached) < len(cell):
            top = axis.get_xaxis_transform()
            axis.plot(size, 0.96, "^", color=look.color, markerfacecolor="white", markersize=4, transform=top)
            continue
        interval = exp_interval(mean_interval(np.log(reached)))
        axis.plot([size, size], [interval.low, interval.high], color=look.color, linewidth=1.0)
        face = "white" if batch == "full" else look.color
        axis.plot(size, interval.value, look.marker, color=look.color, markerfacecolor=face, markersize=3.5, zorder=3)
    critical = law.critical.value
    axis.plot([], [], look.marker, color=look.color, linestyle="-", markersize=3.5, label=part.method.iloc[0])
    if not 0 < critical < math.inf:
        return
    fitted = Fit(law.least, critical, 0.0)
    sizes = np.geomspace(law.smallest, law.largest, 60)
    axis.plot(sizes, [fitted.at(size) for size in sizes], color=look.color, zorder=2)
    inside = law.smallest / 3, law.largest * 3
    for value, line in ((critical, "-"), (law.predicted, (0, (4, 2)))):
        if inside[0] <= value <= inside[1]:
            axis.axvline(value, color=look.color, linestyle=line, linewidth=0.9, alpha=0.75, zorder=0)


def _caption(sets: list[str], settings: Any, question: str) -> str:
    return (
        f"{question} Examples until the gap to the optimum is a given share of the gap at the start, against the batch "
        f"size ({', '.join(map(short, sets))}; logistic regression, l2 = {settings.l2[0]}, "
        f"{next(iter(settings.readouts))} iterate). Reading: where a curve is flat a larger batch costs nothing; where "
        "it rises like the batch size, steps are all that counts. Curves: the fit N_0 (1 + M/M*) on log N; vertical "
        "lines: its critical batch M* (solid) and the predicted one (dashed, ||sigma||_1^2/(||L||_1 eps) for AdaGrad "
        "and ||sigma||_2^2/(lambda_max eps) for SGD, sigma at w_0, known up to a constant). Each point has its own "
        f"learning rate, the one that needs the fewest examples on {len(settings.tuning_seeds)} other seeds, on a grid "
        f"of factor {settings.factor[0]:g} widened until it is inside. Dashes: {len(settings.seeds)} seeds; markers: "
        "their geometric mean with 95% interval; open triangles at the top: batch sizes at which a seed never gets "
        "there, not in the fit; other open markers: the exact gradient, not in the fit either. "
        f"{CONDITIONAL}. The gap is recorded at up to 64 points, evenly spaced on a logarithmic axis, and taken to be "
        "a line in log-log between two of them. Sets, targets, batch sizes and grids are our choices; batches are "
        "drawn with replacement, so that they may be larger than the set."
    )


def _critical(fits: "pandas.DataFrame", settings: Any) -> tuple[Any, str]:
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=figures.size(1, ratio=0.85), layout="constrained")
    values, targets = [], sorted(fits.target.unique(), reverse=True)
    for method, part in fits.groupby("method", sort=False):
        look = figures.style(str(method))
        kept = [row for row in part.to_dict(orient="records") if 0 < row["critical"].value < math.inf]
        for row in kept:
            critical, at = row["critical"], row["predicted"]
            shown = [end for end in (critical.low, critical.value, critical.high) if 0 < end < math.inf]
            axis.plot([at] * len(shown), shown, color=look.color, linewidth=1.0, zorder=2)
            place = targets.index(row["target"])
            inside = row["smallest"] <= critical.value <= row["largest"]
            face: dict[str, Any] = {
                "markersize": 3 + 1.5 * place,
                "markerfacecolor": look.color if inside else "white",
                "alpha": 0.85,
            }
            axis.plot(at, critical.value, look.marker, color=look.color, **face)
            values += [at, critical.value]
        axis.plot([], [], look.marker, color=look.color, markersize=4, label=str(method))
    if values:
        ends = np.array([min(values) / 2, max(values) * 2])
        axis.plot(ends, ends, color="black", linewidth=0.8)
        axis.annotate("fitted = predicted", (ends[1], ends[1]), ha="right", va="bottom", rotation=0, fontsize=6.5)
    axis.set(xscale="log", yscale="log", xlabel="predicted critical batch (up to a constant)", ylabel="fitted $M^*$")
    figures.label_lines(axis)
    larger = ", ".join(f"{target:g}" for target in targets)
    return figure, (
        "Does the predicted critical batch tell the measured one? Fitted M* with its 95% interval (bootstrap over "
        f"{len(settings.seeds)} seeds, for the picked learning rates) against ||sigma||_1^2/(||L||_1 eps) (AdaGrad) "
        "and ||sigma||_2^2/(lambda_max eps) (others), sigma at w_0 and L certified; one marker for each set and "
        f"target, larger for a harder target ({larger} of the first gap, in order of size). The bounds leave constants "
        "open, so a line parallel to the diagonal would agree with them. Open: M* outside the batch sizes that were "
        "fitted, an extrapolation. Fits without a critical batch within a factor of 1,000 of the sizes are left out. "
        f"l2 = {settings.l2[0]}, {next(iter(settings.readouts))} iterate; sets and targets are our choices."
    )
