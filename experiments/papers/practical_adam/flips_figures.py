"""Figures of the study `flips`."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import figures
from experiments.figures import Style
from experiments.papers.practical_adam.counterexample_verdicts import ONE_PATH
from experiments.papers.practical_adam.flips_runs import BATCH, WINDOW
from experiments.statistics import mean_interval

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_OF_BETA = (Style("#0072B2", "o"), Style("#D55E00", "s", ":"), Style("#009E73", "^"))
_MARKERS = ("o", "s", "^", "D", "v", "P")
MOST_BETA, MOST_FAMILIES = len(_OF_BETA), len(_MARKERS)
_GUIDE = "#999999"
_NAMES = {WINDOW: r"window $1/(1-\theta)$", BATCH: "batch size $b$"}
_PREDICTED = {WINDOW: r"$W^*$", BATCH: "$b^*$"}


def draw(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> "Figures":
    """The end by window and by batch size, and the measured flips beside the predicted ones."""
    main = next(iter(settings.parsed))
    return {
        "flips": (_ends(tables["ends"], main, settings), _ends_caption(tables["flips"], main, settings, question)),
        "flips_predicted": (_families(tables["flips"], settings), _families_caption(tables["flips"], settings)),
    }


def _ends(table: "pandas.DataFrame", family: str, settings: Any) -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=figures.size(2, 0.75), layout="constrained", sharey=True)
    for axis, (swept, name) in zip(axes, _NAMES.items(), strict=True):
        own = table[(table.family == family) & (table.swept == swept)]
        for beta, look in zip(settings.beta, _OF_BETA[: len(settings.beta)], strict=True):
            part, points = own[own.beta == beta], []
            for value, of in part.groupby("value"):
                points.append((value, mean_interval(of.end), True))
                axis.plot([value] * len(of), of.end, "_", color=look.color, alpha=0.45, markersize=4, zorder=1)
            figures.line_with_intervals(axis, points, look, rf"$\beta$ = {beta:g}")
        predicted = float(own.predicted.iloc[0])
        axis.axvline(predicted, color="#000000", linestyle="--", linewidth=0.9, zorder=0)
        look_of = {"fontsize": 8, "ha": "left", "va": "top", "xycoords": ("data", "axes fraction")}
        axis.annotate(_PREDICTED[swept], (predicted * 1.06, 1.0), **look_of)
        axis.axhline(0.0, color=_GUIDE, linewidth=0.7, zorder=0)
        axis.set(xscale="log", xlabel=name, ylim=(-1.08, 1.08))
        figures.plain_log_ticks(axis, "x")
    axes[0].set_ylabel("mean of $x$ over the last tenth")
    figures.label_lines(axes[0])
    return figure


def _ends_caption(flips: "pandas.DataFrame", family: str, settings: Any, question: str) -> str:
    form, said = settings.parsed[family], []
    for row in flips[flips.family == family].itertuples():
        name = "window" if row.swept == WINDOW else "batch size"
        said.append(f"{name} at beta = {row.beta:g}: {_shown(row)}, predicted {row.predicted:.3g}")
    made = form.family()
    markers = (
        f"Markers: mean over {settings.seeds} seeds with its 95% interval; short dashes: each seed; flips are of the "
        "mean, with a 95% interval by resampling the seeds."
    )
    if form.cyclic:
        markers = f"Markers: {ONE_PATH}; the big slope comes in a fixed order."
    return (
        f"{question} Slope {form.scale * form.big:g} with probability {made.probability:.3g}, else -{form.scale:g}; "
        f"alpha_t = {settings.lr:g}/sqrt(t), {form.steps:,} steps. Left: one draw a step, constant theta = 1 - 1/W; "
        f"right: means over b draws at theta = {1 - form.c:g}. {markers} Dashed: W* = C/(2 delta) and b* = C (1 - "
        f"theta)/(2 delta), to leading order. Measured flips: {'; '.join(said)}."
    )


def _families(flips: "pandas.DataFrame", settings: Any) -> Any:
    """Measured over predicted flips: below 1 it comes earlier."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=figures.size(2, 0.8), layout="constrained", sharey=False)
    for axis, (swept, name) in zip(axes, _NAMES.items(), strict=True):
        own = flips[(flips.swept == swept)]
        for marker, family in zip(_MARKERS[: len(settings.parsed)], settings.parsed, strict=True):
            for k, (beta, look) in enumerate(zip(settings.beta, _OF_BETA[: len(settings.beta)], strict=True)):
                row = own[(own.family == family) & (own.beta == beta)].iloc[0]
                if not 0 < row.flip < math.inf:
                    continue
                place = row.predicted
                low, high = row.low if row.low > 0 else row.flip, row.high if math.isfinite(row.high) else row.flip
                axis.plot([place, place], [low, high], color=look.color, linewidth=1.0, zorder=2)
                fill = look.color if k == 0 else "none"
                shape = {"marker": marker, "markersize": (4.0, 6.5, 6.5)[k], "markerfacecolor": fill, "linestyle": ""}
                axis.plot([place], [row.flip], color=look.color, zorder=3, **shape)
        span = [float(own.predicted.min()) / 2, float(own.predicted.max()) * 2]
        for part, style in ((1.0, "--"), (0.5, ":")):
            axis.plot(span, [part * x for x in span], style, color=_GUIDE, linewidth=0.9, zorder=0)
        axis.set(xscale="log", yscale="log", xlabel=f"predicted flip, {name}")
        figures.plain_log_ticks(axis, "x")
        figures.plain_log_ticks(axis)
    axes[0].set_ylabel("measured flip")
    figure.legend(handles=_handles(settings), loc="outside right center", frameon=False)
    return figure


def _handles(settings: Any) -> list[Any]:
    """Markers tell the families, colours the betas."""
    from matplotlib.lines import Line2D

    dots: dict[str, Any] = {"linestyle": "", "markersize": 4.5}
    families = [
        Line2D([], [], marker=marker, color="#444444", label=family, **dots)
        for marker, family in zip(_MARKERS[: len(settings.parsed)], settings.parsed, strict=True)
    ]
    betas = [
        Line2D([], [], marker="o", color=look.color, markerfacecolor=look.color if k == 0 else "none",
               label=rf"$\beta$ = {beta:g}", **dots)
        for k, (beta, look) in enumerate(zip(settings.beta, _OF_BETA[: len(settings.beta)], strict=True))
    ]  # fmt: skip
    return [*families, *betas]


def _families_caption(flips: "pandas.DataFrame", settings: Any) -> str:
    kept = flips[(flips.flip > 0) & (flips.flip < math.inf)]
    ratios = kept.flip / kept.predicted
    families = "; ".join(
        f"{name}: C = {form.big:g}, delta = {form.delta:.3g}, theta = {1 - form.c:g} for batches, {form.steps:,} steps"
        for name, form in settings.parsed.items()
    )
    betas = ", ".join(f"{beta:g} ({'filled' if k == 0 else 'hollow'})" for k, beta in enumerate(settings.beta))
    cyclic = ", ".join(name for name, form in settings.parsed.items() if form.cyclic)
    one_path = f" {cyclic}: {ONE_PATH}, and the prediction is not for it." if cyclic else ""
    span = f"{ratios.min():.2f} to {ratios.max():.2f} times" if len(kept) else "nowhere in the range that was looked at"
    return (
        "Do the flips come where they are predicted? Where the end crosses 0 (interpolated; 95% interval by resampling "
        "the seeds) against W* = C/(2 delta) and b* = C (1 - theta)/(2 delta). Dashed: equal; dotted: half. beta = "
        f"{betas}. Measured: {span} the prediction, which is to leading order and for independent draws. {families}. "
        f"{len(flips) - len(kept)} of {len(flips)} flips lie outside the range and are left out.{one_path}"
    )


def _shown(row: Any) -> str:
    def number(value: float) -> str:
        return "below the range" if value == 0 else "above the range" if math.isinf(value) else f"{value:.3g}"

    bounds = f"{number(row.low)} to {number(row.high)}" if row.n > 1 else ONE_PATH
    return f"{number(row.flip)} ({bounds})"
