"""Figures of the study `networks`, with their captions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.figures import Style
from experiments.papers.practical_adam import looks, networks_tables
from experiments.papers.practical_adam.networks_plan import Method, of_r
from experiments.papers.practical_adam.networks_tables import MEANS_NOTHING, PAPERS, TUNED
from experiments.statistics import Interval, exp_interval, mean_interval

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

_ANOTHER = Style("#009E73", "P", "--")
_OF_V_0 = (Style("#0072B2", "o"), Style("#E69F00", "^"), Style("#CC79A7", "v"), Style("#56B4E9", "P"))
_OF_TUNED = Style("#000000", "D", "--")
_FEW = 1.5  # ratio of losses below which a logarithmic axis would have no ticks
_AMSGRAD = "AMSGrad"


def draw(tables: Mapping[str, "pandas.DataFrame"], settings: Any, question: str) -> "Figures":
    """All of them."""
    curves = tables["curves"]
    drawn = {
        "networks": (
            _curves(curves[(curves.rate == 1) & (curves.v_0 == settings.v_0)], settings.methods),
            _curves_caption(settings, question, "the paper's learning rate", list(curves.network.unique())),
        )
    }
    if "tuning" in tables:
        tuned = networks_tables.tuned(curves, tables["tuning"])
        of_method = "the learning rate that each method trains best with on other seeds"
        drawn["networks_tuned"] = (
            _curves(tuned, settings.methods),
            _curves_caption(settings, question, of_method, list(tuned.network.unique())) + _picked(tables["tuning"]),
        )
    arms = networks_tables.arms(tables)
    drawn["networks_by_r"] = (_by_r(arms, settings.methods), _by_r_caption(settings))
    return drawn


def _looks(methods: Sequence[Method]) -> dict[str, Style]:
    """The family by its exponent; the others apart."""
    colors = looks.of_exponents(method.r for method in methods if method.r is not None)
    found = {m.name: Style(colors[m.r], "o") for m in methods if m.r is not None}
    others = [method.name for method in methods if method.r is None]
    return found | {name: looks.OTHERS.get(name, _ANOTHER) for name in others}


def _legend(figure: Any, axes: Any, **more: Any) -> None:
    """One for all panels, in the order of the one that has the most entries."""
    entries = sorted((axis.get_legend_handles_labels() for axis in axes), key=lambda found: -len(found[1]))
    found: dict[str, Any] = {}
    for handles, labels in entries:
        found |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in found}
    shape = {"loc": "outside upper center", "ncols": len(found), "frameon": False}
    figure.legend(found.values(), found.keys(), **shape, **more)


# Curves --------------------------------------------------------------------------------------------------------------


def _curves(table: "pandas.DataFrame", methods: Sequence[Method]) -> Any:
    """Training loss and test accuracy against passes, a row for each network."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    networks = list(table.network.unique())
    width, height = figures.size(2)
    tall = (0.25 + 0.85 * len(networks)) * height
    figure, axes = plt.subplots(len(networks), 2, squeeze=False, figsize=(width, tall), layout="constrained")
    for (left, right), network in zip(axes, networks, strict=True):
        own = table[table.network == network]
        for name, look in _looks(methods).items():
            for axis, value in ((left, "loss"), (right, "test_accuracy")):
                _lines(axis, own[own.method == name], value, look, name)
        if own.loss.max() > _FEW * own.loss.min():
            left.set_yscale("log")
            figures.plain_log_ticks(left)
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_ylabel("training loss")
        right.set_ylabel("test accuracy (%)")
        left.set_title(network, loc="left")
        for axis in (left, right):
            axis.set_xlim(left=0)
            axis.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10]))
    for axis in axes[-1]:
        axis.set_xlabel("passes over the data")
    _legend(figure, axes[:, 0], handlelength=1.8)
    return figure


def _lines(axis: Any, table: "pandas.DataFrame", value: str, look: Style, label: str) -> None:
    """Each seed thin, their mean thick, where all of them have a value."""
    if table.empty:
        return
    wide = table.pivot(index="passes", columns="seed", values=value) * (100 if value == "test_accuracy" else 1)
    axis.plot(wide.index, wide.to_numpy(), look.line, color=look.color, linewidth=0.4, alpha=0.45)
    mean = np.exp(np.log(wide).mean(axis=1)) if value == "loss" else wide.mean(axis=1)
    whole = mean[wide.notna().all(axis=1)]
    axis.plot(whole.index, whole, look.line, color=look.color, linewidth=1.4, label=label)


def _curves_caption(settings: Any, question: str, at: str, networks: Sequence[str]) -> str:
    told = "; ".join(
        f"{name}: {settings.plans[name].passes} passes in batches of {settings.plans[name].batch_size}"
        for name in networks
    )
    return (
        f"{question} Training loss and test accuracy against passes over the data at {at}, Generic Adam with "
        f"alpha_t = lr/t^{settings.s:g}, beta_t = {settings.beta:g} and theta_t = 1 - ({settings.c:g} + "
        f"{1 - settings.c:g} r)/t^r; r = 0 is Adam with beta_2 = {1 - settings.c:g} and without correction of bias, "
        f"r = 1 is AdaFom. {_others(settings)}{told}. Thin lines: {len(settings.seeds)} seeds, which share data order "
        f"and initialisation between methods; thick: their mean (geometric for the loss). Passes, the activation of "
        f"LeNet and GroupNorm are our choices, as is v_0 = {settings.v_0:g}."
    )


def _others(settings: Any) -> str:
    told = [f"{name}: {', '.join(words)}" for name, words in settings.others.items()]
    if _AMSGRAD in settings.others:
        told.append(f"{_AMSGRAD} is r = 0 as long as no v_t falls")
    return f"{'; '.join(told)}. " if told else ""


def _picked(tried: "pandas.DataFrame") -> str:
    """Which multiples of the paper's rate were picked."""
    picked = tried[tried.picked].drop_duplicates(networks_tables.KEYS)
    said = []
    for network, rows in picked.groupby("network", sort=False):
        of_method = ", ".join(f"{row.method}: {row.rate:g}" for row in rows.itertuples())
        said.append(f"{network} ({of_method})")
    tested = ", ".join(f"{rate:g}" for rate in sorted(tried.rate.unique()))
    return f" Multiples of the paper's rate that were picked, of {tested}: {'; '.join(said)}."


# What r changes ------------------------------------------------------------------------------------------------------


def _by_r(arms: Mapping[tuple[str, str], "pandas.DataFrame"], methods: Sequence[Method]) -> Any:
    """Final loss over that of r = 0, and accuracy minus it, by method; a column for each network."""
    import matplotlib.pyplot as plt

    networks = list(next(iter(arms.values())).network.unique())
    width, height = figures.size(2)
    shape = min(width, (0.35 + 0.325 * len(networks)) * width), 1.5 * height
    figure, axes = plt.subplots(2, len(networks), squeeze=False, sharex="col", figsize=shape, layout="constrained")
    for (above, below), network in zip(axes.T, networks, strict=True):
        there = [m for m in methods if m.name != of_r(0) and _has(arms, network, m.name)]
        for place, ((rate, v_0), table) in enumerate(arms.items()):
            own = table[table.network == network]
            if own.empty:
                continue
            look = _OF_TUNED if rate == TUNED else _OF_V_0[place % len(_OF_V_0)]
            shift = 0.12 * (place - (len(arms) - 1) / 2)
            for axis, kind in ((above, "loss"), (below, "test_accuracy")):
                points = [(k + shift, _against_zero(own, m.name, kind), m.r is not None) for k, m in enumerate(there)]
                figures.line_with_intervals(axis, points, look, f"{rate}, $v_0$ = {v_0}")
        above.set_yscale("log")
        above.axhline(1, color="black", linewidth=0.6)
        below.axhspan(-MEANS_NOTHING, MEANS_NOTHING, color="#DDDDDD", linewidth=0, zorder=0)
        figures.plain_log_ticks(above)
        above.set_title(network, loc="left")
        below.set_xticks(range(len(there)), [m.name.removeprefix("r = ") for m in there])
        below.set_xlim(-0.5, len(there) - 0.5)
        below.set_xlabel("r, and other methods")
    axes[0][0].set_ylabel("final training loss,\nover that of r = 0")
    axes[1][0].set_ylabel("test accuracy minus that\nof r = 0 (points)")
    _legend(figure, axes[0], title="learning rate")
    return figure


def _has(arms: Mapping[tuple[str, str], "pandas.DataFrame"], network: str, method: str) -> bool:
    return any(((table.network == network) & (table.method == method)).any() for table in arms.values())


def _against_zero(rows: "pandas.DataFrame", method: str, kind: str) -> Interval:
    """A method against r = 0, paired by seed: the ratio of losses, or the difference of accuracies in points."""
    own, zero = (rows[rows.method == name].set_index("seed")[kind].sort_index() for name in (method, of_r(0)))
    own, zero = own.align(zero, join="inner")
    if kind == "loss":
        with np.errstate(invalid="ignore"):  # inf - inf: both diverged
            found = exp_interval(mean_interval(np.log(own.to_numpy()) - np.log(zero.to_numpy())))
        return found if found.low > 0 else replace(found, low=-math.inf)  # without bounds, none are drawn
    return mean_interval(100 * (own.to_numpy() - zero.to_numpy()))


def _by_r_caption(settings: Any) -> str:
    return (
        f"What does the decay change on networks? Final training loss over that of r = 0 (1: the same), and test "
        f"accuracy minus that of r = 0 in percentage points, at {PAPERS} learning rate from several v_0, and at the "
        f"multiple of that rate that each method trains best with on other seeds ({TUNED}). The values of v_0 and the "
        f"multiples are ours, and were chosen with results at v_0 = {settings.v_0:g} known. Mean and 95% interval over "
        f"{len(settings.seeds)} seeds, paired: the same data order and initialisation. Grey: differences of accuracy "
        f"below {MEANS_NOTHING:g} point, which mean nothing. Without correction of bias the first step of r = 0 is "
        f"{settings.c**-0.5:.3g} times as long as that of r = 1 where g^2 is far above v_0/c, "
        f"{settings.v_0 / settings.c:.0e} for v_0 = {settings.v_0:g}; elsewhere v_0 shortens it."
    )
