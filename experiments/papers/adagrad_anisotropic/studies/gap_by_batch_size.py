"""How far from the optimum does each method end after equally many examples, as a function of the batch size?"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import figures, protocol
from experiments.protocol import Cell, Complete, Outcome, Protocol
from experiments.sets import examples_in
from experiments.statistics import mean_interval
from optim.settings import setting

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

QUESTION = "Does AdaGrad beat SGD on logistic regression at every batch size, each at its own tuned learning rate?"
RESOLUTION = 1e-12
"""Gaps below it are set to it: f* is not known any better."""


@dataclass(kw_only=True)
class Settings:
    """What is run. The paper's own values are not known for most of it, so each is an arm or a stated choice."""

    sets: list[str] = field(metadata={"doc": "tasks"})
    batch_sizes: list[Any] = field(metadata={"doc": 'whole numbers, or "full" for the exact gradient'})
    passes: int = setting(20, minimum=1, doc="examples seen, in passes over the data: the same for every method")
    l2: list[Any] = field(metadata={"doc": 'strengths of the l2 term; "1/n" for one over the number of examples'})
    methods: dict[str, Any] = field(metadata={"doc": "overrides by name; the first two are compared by the claims"})
    readouts: dict[str, Any] = field(metadata={"doc": "metric by name of the iterate"})
    grid: dict[str, Any] = field(metadata={"doc": "first and last learning rate to begin with, by method"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring learning rates")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})
    sampling: str = setting("replacement", choices=("replacement", "reshuffled"), doc="how batches are drawn")


def measure(settings: Settings, complete: Complete) -> Outcome:
    """Run it. The tables' labels: set, examples, l2, batch, batch_size, steps, method."""
    sizes = examples_in(settings.sets)
    cells = [
        _cell(settings, name, n, l2, batch, method)
        for name, n in sizes.items()
        for l2 in settings.l2
        for batch in settings.batch_sizes
        for method in settings.methods
    ]
    found = protocol.measure(
        cells, Protocol(tuple(settings.tuning_seeds), tuple(settings.seeds), settings.factor), complete
    )
    for table in (found.tuning, found.fresh):
        table["value"] = table["value"].clip(lower=RESOLUTION)
    return found


def _cell(settings: Settings, name: str, n: int, l2: Any, batch: Any, method: str) -> Cell:
    size = n if batch == "full" else int(batch)
    words = [
        f"task={name}",
        f"task.l2={1 / n if l2 == '1/n' else float(l2)!r}",
        *settings.methods[method],
        *(["batch_size=full"] if batch == "full" else [f"batch_size.size={size}", f"sampling={settings.sampling}"]),
        f"budget.examples={settings.passes * n}",
        "average=uniform",
        "dtype=float64",
    ]
    low, high = settings.grid[method]
    grid = [float(low)]
    while grid[-1] < float(high):
        grid.append(grid[-1] * settings.factor)
    labels = {
        "set": name,
        "examples": n,
        "l2": str(l2),
        "batch": str(batch),
        "batch_size": size,
        "steps": -(-settings.passes * n // size),
        "method": method,
    }
    return Cell(labels, tuple(words), tuple(grid), dict(settings.readouts))


def draw(found: Outcome, settings: Settings) -> "tuple[Figure, str]":
    """Gap against batch size, one panel for each set, in the main arm; and the caption."""
    import matplotlib.pyplot as plt

    fresh = found.fresh
    main = fresh[(fresh.l2 == str(settings.l2[0])) & (fresh.readout == next(iter(settings.readouts)))]
    sets = list(main["set"].unique())
    figure, axes = plt.subplots(
        1, len(sets), figsize=figures.size(columns=min(len(sets), 2), ratio=0.72), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], sets, strict=True):
        _panel(axis, main[main["set"] == name], settings)
    axes[0][0].set_ylabel(r"gap $f(w_T)-f^*$")
    return figure, _caption(settings, sets)


def _panel(axis: Any, table: "pandas.DataFrame", settings: Settings) -> None:
    import numpy as np

    for method in settings.methods:
        own = table[table.method == method]
        look = figures.style(method)
        sizes, middle, low, high = [], [], [], []
        for size, cell in own.groupby("batch_size"):
            values = cell.value.to_numpy()
            axis.plot([size] * len(values), values, "_", color=look.color, alpha=0.35, markersize=5, zorder=1)
            interval = mean_interval(np.log(values))
            sizes.append(size)
            middle.append(np.exp(interval.value))
            low.append(np.exp(interval.low))
            high.append(np.exp(interval.high))
        axis.fill_between(sizes, low, high, color=look.color, alpha=0.2, linewidth=0)
        axis.plot(sizes, middle, look.line, color=look.color, marker=look.marker, markersize=4, label=method)
    axis.set(xscale="log", yscale="log", xlabel="batch size (examples per step)")
    axis.set_title(f"{table['set'].iloc[0].removeprefix('logistic/')}, n = {table['examples'].iloc[0]:,}")
    ticks = table[["batch_size", "batch"]].drop_duplicates().sort_values("batch_size")
    axis.set_xticks(ticks.batch_size, [b if b != "full" else "full" for b in ticks.batch], rotation=45, ha="right")
    axis.minorticks_off()
    figures.label_lines(axis)


def _caption(settings: Settings, sets: list[str]) -> str:
    l2 = settings.l2[0]
    return (
        f"{QUESTION} Gap to the optimum after {settings.passes} passes over the data, the same number of examples at every "
        f"batch size ({', '.join(s.removeprefix('logistic/') for s in sets)}; binary logistic regression, l2 = {l2}, "
        f"{next(iter(settings.readouts))} iterate). Each point has its own learning rate, tuned on "
        f"{len(settings.tuning_seeds)} seeds over a grid of factor {settings.factor:g} that is widened until the best rate is "
        f"inside it. Ticks: the {len(settings.seeds)} fresh seeds; lines: their geometric mean; bands: its 95% interval. "
        "Sets, batch sizes, passes, grid, sampling with replacement and w_0 = 0 are our choices: the paper's own are not "
        "known. Equal examples means fewer steps at larger batches; the full batch is the exact gradient."
    )
