"""Figures of the synthetic families: the map of the gain beside the bounds' ratio, and the one against the other."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.adagrad_anisotropic import gains
from experiments.statistics import mean_interval, rank_correlation

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_FAMILIES = 2  # rows of the map
_PREDICTORS = {"bounds": "whole bounds", "R_b": "bias: $R_b$", "R_n": "noise: $R_n$"}
_MARKERS = "osD^vP"  # by density
_SGD, _ADAGRAD = "sgd", "adagrad"


def draw(tables: "Mapping[str, pandas.DataFrame]", settings: Any, question: str) -> "Figures":
    """Both figures, for the first batch size and readout, constant-rate SGD and the main AdaGrad."""
    readout, size = next(iter(settings.readouts)), settings.batch_sizes[0]
    cells = _cells(tables, readout, size)
    names = [*dict.fromkeys(cells.family)]
    # the main family and one that is of another kind, not only another l2
    other = [name for name in names if name.split(",")[0] != names[0].split(",")[0]]
    shown = [names[0], *other, *(n for n in names[1:] if n not in other)][:_FAMILIES]
    dense = _effective(cells[cells.family == names[0]])
    about = (
        f"Gap after {settings.examples:,} examples, batch {size}, {readout} iterate, each method at its own learning "
        f"rate, tuned on {len(settings.tuning_seeds)} seeds; means over {len(settings.seeds)} fresh seeds. "
        "R: SGD's bound over AdaGrad's at this batch size and number of steps, without constants, for the minimiser w* "
        "and w_0 = 0, with the smallest certified ||L||_1; sigma is taken at w_0 only, where the theorem wants its "
        "supremum. The density is that of the model that made the targets; w*, the minimiser of noisy rows, is not "
        "zero where that model is: its effective density ||w*||_2^2/(d ||w*||_inf^2), a column of the table, is in the "
        f"first family, {dense}. Families, imbalance, density, batch size and number of examples are ours."
    )
    of_map = (
        f"{question} Left: the gain log(SGD's gap / AdaGrad's gap), above 0 where AdaGrad is closer to the optimum; "
        "right: what the theory predicts, log R. Where the two maps look alike, it predicts well, however far both are "
        f"from each other's scale. *: a best learning rate is at the edge of its grid. {about}"
    )
    problems = len(cells[cells.family == shown[0]])
    of_scatter = (
        f"{question} The gain against R, problem by problem ({problems} of each family), with the 95% interval over "
        "seeds and Spearman's rank correlation: against the ratio of the whole bounds (claim A8 wants at least 0.8 "
        "there, in the first family) and against its two parts. A perfect prediction of the order rises from left to "
        f"right. Open: a best learning rate is at the edge of its grid. {about}"
    )
    return {"family_map": (_map(cells, shown), of_map), "family_scatter": (_scatter(cells, shown), of_scatter)}


def _cells(tables: "Mapping[str, pandas.DataFrame]", readout: str, size: int) -> "pandas.DataFrame":
    """One row for each problem: its labels, gain with interval, and ratios."""
    import pandas as pd

    gaps, rows = tables["gaps"], []
    keys = ("family", "imbalance", "density", "batch_size")
    for labels, of, edge in gains.by_cell(gaps[gaps.batch_size == size], keys, readout, _SGD, _ADAGRAD):
        gain = mean_interval(gains.log_ratio(of[_SGD], of[_ADAGRAD]))
        rows.append({**labels, "gain": gain.value, "low": gain.low, "high": gain.high, "edge": edge})
    return pd.DataFrame(rows).merge(tables["coefficients"], on=list(keys))


def _effective(cells: "pandas.DataFrame") -> str:
    """By density of the model, the range of the effective one."""
    ranges = cells.groupby("density").effective_density.agg(["min", "max"])
    return ", ".join(f"{low:.2g} to {high:.2g} at density {at:g}" for at, low, high in ranges.itertuples())


def _map(cells: "pandas.DataFrame", families: list[str]) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(families), 2, figsize=figures.size(2, 0.62 * len(families)), squeeze=False, layout="constrained"
    )
    for (left, right), family in zip(axes, families, strict=True):
        table = cells[cells.family == family]
        gain, edge = (table.pivot(index="density", columns="imbalance", values=v) for v in ("gain", "edge"))
        _tiles(figure, left, gain, edge)
        logs = table.assign(log=np.log(table["bounds"]))
        _tiles(figure, right, logs.pivot(index="density", columns="imbalance", values="log"))
        left.set(title=f"{family}: gain, log(SGD / AdaGrad)", ylabel="density of the generating model")
        right.set_title(f"{family}: predicted, $\\log R$")
    for axis in axes[-1]:
        axis.set_xlabel("imbalance (power of the law)")
    return figure


def _tiles(figure: Any, axis: Any, values: "pandas.DataFrame", starred: "pandas.DataFrame | None" = None) -> None:
    """A matrix of numbers with the sign as colour; each map has a scale of its own, symmetric about zero."""
    stars = np.zeros(values.shape, dtype=bool) if starred is None else starred.fillna(False).to_numpy(dtype=bool)
    finite = values.to_numpy()[np.isfinite(values.to_numpy())]
    most = max(float(np.abs(finite).max(initial=0.0)), 1e-9)
    image = axis.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", origin="lower")
    for row, of_row in enumerate(values.to_numpy()):
        for column, value in enumerate(of_row):
            if math.isfinite(value):
                ink = "white" if abs(value) > 0.6 * most else "black"
                star = "*" if stars[row, column] else ""
                axis.text(column, row, f"{value:.2f}{star}", ha="center", va="center", fontsize=7, color=ink)
    axis.set_xticks(range(values.shape[1]), [f"{v:g}" for v in values.columns])
    axis.set_yticks(range(values.shape[0]), [f"{v:g}" for v in values.index])
    axis.grid(visible=False)
    axis.tick_params(length=0)
    figure.colorbar(image, ax=axis, shrink=0.9)


def _scatter(cells: "pandas.DataFrame", families: list[str]) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    figure, axes = plt.subplots(
        len(families),
        len(_PREDICTORS),
        figsize=figures.size(2, 0.62 * len(families)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    densities, imbalances = sorted(cells.density.unique()), sorted(cells.imbalance.unique())
    colors = plt.get_cmap("viridis")(np.linspace(0.0, 0.9, len(imbalances)))
    for row, family in zip(axes, families, strict=True):
        table = cells[cells.family == family]
        for axis, (predictor, name) in zip(row, _PREDICTORS.items(), strict=True):
            for cell in table.to_dict(orient="records"):
                color = colors[imbalances.index(cell["imbalance"])]
                axis.plot([cell[predictor]] * 2, [cell["low"], cell["high"]], color=color, linewidth=1.0)
                marker = _MARKERS[densities.index(cell["density"]) % len(_MARKERS)]
                face = "white" if cell["edge"] else color
                axis.plot(cell[predictor], cell["gain"], marker, color=color, markerfacecolor=face, markersize=4)
            axis.axhline(0.0, color="black", linewidth=0.8)
            order = rank_correlation(list(table[predictor]), list(table.gain))
            axis.set(xscale="log", title=f"{name}, rank correlation {order:.2f}")
            _few_ticks(axis)
        row[0].set_ylabel(f"{family}\ngain, log(SGD / AdaGrad)")
    for axis in axes[-1]:
        axis.set_xlabel("SGD's bound / AdaGrad's bound")
    shapes = [
        Line2D([], [], color="grey", marker=_MARKERS[i % len(_MARKERS)], linestyle="none", markersize=4)
        for i in range(len(densities))
    ]
    tints = [Line2D([], [], color=c, marker="s", linestyle="none", markersize=5) for c in colors]
    labels = [f"density {d:g}" for d in densities] + [f"imbalance {i:g}" for i in imbalances]
    figure.legend([*shapes, *tints], labels, loc="outside lower center", ncols=len(labels) // 2 + 1, frameon=False)
    return figure


def _few_ticks(axis: Any) -> None:
    """Numbers such as 0.2, 0.5, 1 on a logarithmic horizontal axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_xlim()
    steps = (1.0, 2.0, 5.0) if high / low < 30 else (1.0, 3.0) if high / low < 300 else (1.0,)
    axis.xaxis.set_major_locator(LogLocator(subs=steps))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
