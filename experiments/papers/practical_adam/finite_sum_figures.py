"""Figures of the study `finite_sum`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.figures import Style
from experiments.papers.practical_adam import looks
from experiments.papers.practical_adam.finite_sum_runs import (
    ADAM,
    ADOPT,
    MINIMISER,
    REPLACEMENT,
    RESHUFFLED,
    bracket,
    predicted_boundary,
)

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_LOOKS = {
    (ADAM, RESHUFFLED): Style("#0072B2", "o"),
    (ADAM, REPLACEMENT): Style("#D55E00", "s"),
    (ADOPT, RESHUFFLED): looks.OTHERS["ADOPT"],
}
_LEAST = 1e-3  # distances below this are drawn as this


def draw(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> "Figures":
    """Maps of the grid, and by batch size the share that diverges and the boundary."""
    return {
        "finite_sum_square": (_maps(tables["square"], settings), _map_caption(tables, settings, question)),
        "finite_sum_shares": (_shares(tables), _share_caption(tables, settings)),
    }


def _name(method: str, sampling: str) -> str:
    return f"{method}, {'with replacement' if sampling == REPLACEMENT else sampling}"


def _maps(square: "pandas.DataFrame", settings: Any) -> Any:
    import matplotlib.pyplot as plt
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    image: Any = None
    rows, columns = len(_LOOKS), len(settings.batches)
    size = figures.size(2, 0.6 * rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    finite = square.distance[np.isfinite(square.distance)]
    away = settings.start - MINIMISER
    most = max(float(finite.max()), 10 * away) if len(finite) else 10 * away
    norm = TwoSlopeNorm(np.log10(away), np.log10(_LEAST), np.log10(most))
    betas, rests = np.array(settings.betas), np.array(settings.rests)
    ratio = math.sqrt(rests[1] / rests[0])
    across = np.append(rests / ratio, rests[-1] * ratio)  # edges of the cells, around their values
    along = np.append(betas, 1.0) - betas[1] / 2
    curve = np.geomspace(rests[0], 1, 200)
    for row, (method, sampling) in zip(axes, _LOOKS, strict=True):
        for axis, batch in zip(row, settings.batches, strict=True):
            own = square[(square.method == method) & (square.sampling == sampling) & (square.batch == batch)]
            grid = own.pivot(index="beta_1", columns="rest", values="distance").to_numpy()
            shown = np.log10(np.clip(np.where(np.isfinite(grid), grid, most), _LEAST, most))
            image = axis.pcolormesh(across, along, shown, norm=norm, cmap="RdYlBu_r", rasterized=True)
            axis.plot(curve, np.sqrt(1 - curve), "--", color="#000000", linewidth=0.9)
            if (method, sampling) == (ADAM, REPLACEMENT):
                axis.axvline(
                    predicted_boundary(settings.examples, batch), color="#000000", linestyle=":", linewidth=1.2
                )
            if sampling == RESHUFFLED and batch == settings.examples:
                axis.text(0.5, 0.5, "$b = n$", transform=axis.transAxes, color="#FFFFFF", ha="center", va="center")
            axis.grid(False)
            axis.set(xscale="log", xlim=(across[-1], across[0]), ylim=(along[0], along[-1]), yticks=[0, 0.5, 1])
        row[0].set_ylabel(f"{_name(method, sampling)}\n" + r"$\beta_1$")
    for axis, batch in zip(axes[0], settings.batches, strict=True):
        axis.set_title(f"$b$ = {batch}")
    decades = range(math.floor(-math.log10(settings.least)) + 1)
    for axis in axes[-1]:
        axis.set_xticks([10.0**-k for k in decades], ["1", *(f"{10.0**-k:g}" for k in decades[1:-1]), ""])
        axis.set_xticks([], minor=True)
        axis.set_xlabel(r"$1 - \beta_2$")
    bar = figure.colorbar(image, ax=axes, aspect=40, pad=0.015)
    bar.ax.set_yscale("linear")
    bar.locator = MaxNLocator(integer=True)
    bar.formatter = FuncFormatter(lambda v, _: f"$10^{{{v:g}}}$")
    bar.update_ticks()
    bar.set_label("$|x_T + 2|$")
    return figure


def _map_caption(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> str:
    shares = tables["shares"]
    adam = shares[(shares.method == ADAM) & (shares.sampling == RESHUFFLED)]
    said = ", ".join(f"{100 * row.share:.3g}% at b = {row.batch}" for row in adam.itertuples())
    return (
        f"{question} The finite sum of Zhang et al. with n = {settings.examples}, minimiser -2, x_1 = "
        f"{settings.start:g}, alpha_t = {settings.lr:g}/sqrt(t) and constant decays. v_0 is the mean square of the "
        "slope: with v_0 = 1e-8 (tried first) the start sends x so far away at small 1 - beta_2 that it does not come "
        f"back in time. Colour: |x_T + 2| after {settings.steps:,} steps, median over {settings.seeds} seeds; the "
        "middle of the scale is the distance at the start: blue came closer, red went away. Dashed: beta_1 = "
        "sqrt(beta_2). Dotted: 1 - beta_2 = 2 b/n^2, below which Adam without momentum is predicted to converge, to "
        f"leading order and for independent draws. Adam, reshuffled, went away in {said} of the cells (on this axis). "
        "At beta_2 = 0 Adam's m/|g| has no bound, and even b = n may end far away. ADOPT divides by the "
        "second moment before the current gradient. All settings are ours."
    )


def _shares(tables: Mapping[str, "pandas.DataFrame"]) -> Any:
    """Left the share of the grid that diverges, right the boundary without momentum, by batch size."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    shares, boundaries = tables["shares"], tables["boundaries"]
    figure, axes = plt.subplots(1, 2, figsize=figures.size(2, 0.75), layout="constrained")
    sizes = sorted(shares.batch.unique())
    for k, ((method, sampling), look) in enumerate(_LOOKS.items()):
        own = shares[(shares.method == method) & (shares.sampling == sampling)].sort_values("batch")
        axes[0].fill_between(own.batch, own.least, own.most, color=look.color, alpha=0.2, linewidth=0)
        axes[0].plot(own.batch, own.share, color=look.color, marker=look.marker, markersize=3.5,
                     label=_name(method, sampling))  # fmt: skip
        bounds = boundaries[(boundaries.method == method) & (boundaries.sampling == sampling)]
        for row in bounds[(bounds.inside > 0) & np.isfinite(bounds.outside)].itertuples():
            place = row.batch * 1.06 ** (k - 1)
            axes[1].plot([place, place], [row.inside, row.outside], "_-", color=look.color, markersize=5)
    predicted = boundaries[boundaries.method == ADAM].drop_duplicates("batch").sort_values("batch")
    axes[1].plot(
        predicted.batch, predicted.predicted, "--", color="#000000", linewidth=0.9, label="predicted", zorder=0
    )
    axes[0].set(ylabel="share that diverges", ylim=(-0.02, 1.02))
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[1].set(ylabel=r"boundary $1 - \beta_2$", yscale="log")
    for axis in axes:
        axis.set(xscale="log", xlabel="batch size $b$")
        axis.set_xticks(sizes, [f"{b}" for b in sizes])
        axis.set_xticks([], minor=True)
    handles = [*axes[0].get_legend_handles_labels()[0], *axes[1].get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _share_caption(tables: Mapping[str, "pandas.DataFrame"], settings: Any) -> str:
    square, boundaries = tables["square"], tables["boundaries"]
    inside = square[(square.method == ADAM) & (square.beta_1 < np.sqrt(1 - square.rest)) & square.diverged]
    part = len(inside) / max(1, int(((square.method == ADAM) & square.diverged).sum()))
    said = "; ".join(
        f"{_name(row.method, row.sampling)}, b = {row.batch}: {bracket(row.inside, row.outside)} ({row.predicted:.3g})"
        for row in boundaries[boundaries.method == ADAM].itertuples()
    )
    return (
        "How does the boundary between convergence and divergence move with the batch size? Left: share of the cells "
        "of the grid (beta_1 even, 1 - beta_2 even on a logarithmic axis) in which |x_T + 2| is larger than at the "
        f"start, on the finite sum with n = {settings.examples}; lines: mean over {settings.seeds} seeds, bands: the "
        f"smallest and largest of them. Of Adam's cells that diverge {100 * part:.0f}% have beta_1 < sqrt(beta_2): "
        "that alone is not enough. Right: at beta_1 = 0, bars from the largest 1 - beta_2 up to which the median over "
        "seeds converges to the next one of the grid; nothing where all converge. Dashed: the prediction 2 delta b/C "
        f"= 2 b/n^2, to leading order and for independent draws. Measured (predicted): {said}. All settings are ours."
    )
