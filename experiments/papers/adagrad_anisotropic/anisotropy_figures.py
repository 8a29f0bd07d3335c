"""Figures of the study `anisotropy`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.adagrad_anisotropic.anisotropy_tables import MAIN
from experiments.papers.adagrad_anisotropic.names import short

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas

    from experiments.study import Figures

_ADAGRAD, _SGD = figures.style("adagrad"), figures.style("sgd")


def draw(tables: "Mapping[str, pandas.DataFrame]", settings: Any, question: str) -> "Figures":
    """For the first l2 and the smallest certified L."""
    l2 = str(settings.l2[0])
    constants, noise, coefficients, curves = (
        tables[name][tables[name].l2 == l2] for name in ("constants", "noise", "coefficients", "curves")
    )
    path = noise[noise["where"] == MAIN].groupby("set", sort=False)[["sigma_1", "sigma_2"]].mean()
    shown = constants.set_index("set").join(path)
    shown["L"] = shown.d * shown.L_inf / shown.L_1
    shown["sigma"] = np.sqrt(shown.d) * shown.sigma_2 / shown.sigma_1
    shown = shown.sort_values(["kind", "L"], ascending=[False, True])  # real sets at the top, the most uneven first
    sets = f"{(shown.kind == 'real').sum()} real sets and {(shown.kind != 'real').sum()} made-up problems (grey names)"
    taken = (
        "sigma is that of one example's gradient along AdaGrad's path, the largest by coordinate at the recorded "
        f"points (w_0 = 0 included; batch size {settings.batch_size}, {settings.passes} passes, tuned rate, mean of "
        f"{len(settings.seeds)} seeds)"
    )
    ours = f"Logistic regression, l2 = {l2}; sets, scaling and paths are our choices"
    of_norms = (
        f"{question} Left: ||L||_1 of the smallest L that is certified (red square) against d ||L||_inf (blue dot) and "
        "d lambda_max (bar: SGD's best constant); right: ||sigma||_1 against sqrt(d) ||sigma||_2. Reading: the number "
        "is the factor between square and dot; 1 means that all coordinates are alike, claim A6 wants 3 on the left "
        "and 1.2 on the right. "
        f"The longer the line, the more is concentrated on few of the d coordinates. n: {sets}; {taken}. {ours}."
    )
    of_ratios = (
        "Whose bound has the smaller coefficients? SGD's over AdaGrad's, R_b for the bias and R_n for the noise, on a "
        "box (open) and for the distance from w_0 = 0 to a real minimiser w* (filled; bar: with lambda_max in place of "
        "||L||_inf). Reading: right of the vertical line the bound favours AdaGrad. A box does so by construction; "
        "from open to filled is what is lost because w* is not equally large in all coordinates: a factor of "
        "||w*||_2^2/(d ||w*||_inf^2) for R_b and its root for R_n. Claim A7 wants both filled dots to the right. "
        f"n: {sets}. Where there is no finite minimiser w* is that with l2 = 1/n; {taken}. {ours}."
    )
    made = {
        "anisotropy": (_norms(shown), of_norms),
        "bound_ratios": (_ratios(coefficients[coefficients.sigma == MAIN], shown), of_ratios),
    }
    if len(curves):
        of_curves = (
            "How uneven are the coordinates? L_j of the smallest certified L (left) and sigma_j at w_0 = 0 (right), "
            "sorted and divided by the largest, against the share of the coordinates. Reading: a curve that falls "
            "early has its mass on few coordinates; a flat one has nothing for AdaGrad to use. Dashed: A_jj, only a "
            f"lower bound for L_j. n: {curves['set'].nunique()} sets, only columns with a non-zero. {ours}."
        )
        made["sorted_coordinates"] = _curves(curves), of_curves
    return made


def _norms(shown: "pandas.DataFrame") -> Any:
    figure, axes = _by_set(shown)
    root = np.sqrt(shown.d)
    pairs = (
        ("L", shown.L_1, shown.d * shown.L_inf, "$\\|L\\|_1$", "$d\\,\\|L\\|_\\infty$"),
        ("sigma", shown.sigma_1, root * shown.sigma_2, "$\\|\\sigma\\|_1$", "$\\sqrt{d}\\,\\|\\sigma\\|_2$"),
    )
    heights = np.arange(len(shown))
    for axis, (name, own, other, own_label, other_label) in zip(axes, pairs, strict=True):
        axis.hlines(heights, own, other, color="#BBBBBB", linewidth=1.0, zorder=1)
        axis.plot(own, heights, _ADAGRAD.marker, color=_ADAGRAD.color, markersize=4, label=own_label)
        axis.plot(other, heights, _SGD.marker, color=_SGD.color, markersize=4, label=other_label)
        if name == "L":
            eigenvalue = shown.d * shown.lambda_max
            axis.plot(eigenvalue, heights, "|", color=_SGD.color, markersize=7, label="$d\\,\\lambda_{\\max}$")
        for height, most, ratio in zip(heights, np.maximum(own, other), shown[name], strict=True):
            axis.annotate(f"{ratio:.3g}", (most, height), (5, 0), textcoords="offset points", va="center", fontsize=6.5)
        axis.set(
            xscale="log", ylim=(-0.6, len(shown) - 0.4), xlabel=f"norm of ${'L' if name == 'L' else chr(92) + 'sigma'}$"
        )
        low, high = axis.get_xlim()
        axis.set_xlim(low, high * (high / low) ** 0.12)
        axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.2)
    return figure


def _ratios(table: "pandas.DataFrame", shown: "pandas.DataFrame") -> Any:
    figure, axes = _by_set(shown)
    wide = table.set_index(["set", "domain"]).sort_index()
    box, real = (wide.xs(domain, level="domain").loc[shown.index] for domain in ("box", "comparator"))
    heights = np.arange(len(shown))
    for axis, ratio in zip(axes, ("R_b", "R_n"), strict=True):
        axis.hlines(heights, real[ratio], box[ratio], color="#BBBBBB", linewidth=1.0, zorder=1)
        axis.axvline(1.0, color="black", linewidth=0.8, zorder=0)
        axis.plot(box[ratio], heights, "o", color="black", markerfacecolor="white", markersize=4, label="box")
        axis.plot(real[ratio], heights, "o", color="black", markersize=4, label="minimiser $w^*$")
        if ratio == "R_b":
            label = "$w^*$, with $\\lambda_{\\max}$"
            axis.plot(real["R_b, lambda_max"], heights, "|", color="black", markersize=7, label=label)
        axis.set(
            xscale="log",
            ylim=(-0.6, len(shown) - 0.4),
            xlabel=f"${ratio}$: {'bias' if ratio == 'R_b' else 'noise'}, SGD / AdaGrad",
        )
        figures.plain_log_ticks(axis, along="x")
        axis.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.2)
    return figure


def _by_set(shown: "pandas.DataFrame") -> tuple[Any, Any]:
    """Two panels with a line for each set."""
    import matplotlib.pyplot as plt

    width, _ = figures.size(2)
    figure, axes = plt.subplots(1, 2, figsize=(width, 0.9 + 0.17 * len(shown)), sharey=True, layout="constrained")
    axes[0].set_yticks(np.arange(len(shown)), [f"{short(name)} ({d:,})" for name, d in shown.d.items()])
    for label, kind in zip(axes[0].get_yticklabels(), shown.kind, strict=True):
        label.set_color("black" if kind == "real" else "#7F7F7F")
    axes[0].set_ylabel("set (d)")
    for axis in axes:
        axis.grid(visible=False, axis="y")
        axis.set_prop_cycle(linestyle=["none"])
    return figure, axes


def _curves(curves: "pandas.DataFrame") -> Any:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=figures.size(2, ratio=0.85), sharey=True, layout="constrained")
    names = list(curves["set"].unique())
    colors = plt.get_cmap("viridis")(np.linspace(0.0, 0.88, len(names)))
    for name, color in zip(names, colors, strict=True):
        part = curves[curves["set"] == name]
        for axis, column in zip(axes, ("L", "sigma"), strict=True):
            axis.plot(part.share, part[column] / part[column].max(), color=color, label=short(name))
        axes[0].plot(part.share, part["L, diagonal"] / part.L.max(), "--", color=color, linewidth=0.7)
    least = min(1e-1, max(1e-6, float((curves.L / curves.groupby("set").L.transform("max")).min()) / 2))
    for axis, label in zip(
        axes, ("$L_j\\,/\\,\\|L\\|_\\infty$", "$\\sigma_j\\,/\\,\\|\\sigma\\|_\\infty$"), strict=True
    ):
        axis.set(xscale="log", yscale="log", xlabel="rank / d", ylabel=label, ylim=(least, 1.5))
        axis.tick_params(labelleft=True)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure
