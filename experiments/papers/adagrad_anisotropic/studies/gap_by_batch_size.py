"""How far from the optimum does each method end after equally many examples, as a function of the batch size?"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures, protocol
from experiments.protocol import Cell, Outcome, Protocol
from experiments.session import Session
from experiments.sets import examples_in
from experiments.statistics import exp_interval, mean_interval, paired_ratio
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

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
    methods: dict[str, Any] = field(metadata={"doc": "overrides by name; the last one is compared with the others"})
    readouts: dict[str, Any] = field(metadata={"doc": "metric by name of the iterate"})
    grid: dict[str, Any] = field(metadata={"doc": "first and last learning rate to begin with, by method"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring learning rates")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})
    sampling: str = setting("replacement", choices=("replacement", "reshuffled"), doc="how batches are drawn")

    def __post_init__(self) -> None:
        for name in ("sets", "batch_sizes", "l2", "methods", "readouts"):
            values = getattr(self, name)
            if not values or len({str(v) for v in values}) < len(values):
                raise SettingError(f"{name} must name at least one thing, and none twice, not {values}")
        for size in self.batch_sizes:
            if size != "full" and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
                raise SettingError(f'batch_sizes must hold whole numbers from 1 or "full", not {size!r}')
        for l2 in self.l2:
            if l2 != "1/n" and not (is_number(l2) and l2 >= 0):
                raise SettingError(f'l2 must hold numbers from 0 or "1/n", not {l2!r}')
        for name in ("seeds", "tuning_seeds"):
            for seed in getattr(self, name):
                if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
                    raise SettingError(f"{name} must hold whole numbers from 0, not {seed!r}")
        for method, words in self.methods.items():
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise SettingError(f"methods: '{method}' must be a list of overrides, such as [optimizer=sgd]")
            ends = self.grid.get(method)
            if not (isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends)) and 0 < ends[0] <= ends[1]):
                raise SettingError(f"grid: '{method}' must have its first and last learning rate, 0 < first <= last")


def measure(settings: Settings, session: Session) -> Outcome:
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
        cells, Protocol(tuple(settings.tuning_seeds), tuple(settings.seeds), settings.factor), session.complete
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


def draw(found: Outcome, settings: Settings) -> "Figures":
    """Main arm, one column for each set: the gap against the batch size, and below it the first method's over the
    others', paired by seed; and the caption.
    """
    import matplotlib.pyplot as plt

    fresh = found.fresh
    main = fresh[(fresh.l2 == str(settings.l2[0])) & (fresh.readout == next(iter(settings.readouts)))]
    sets = list(main["set"].unique())
    columns = min(len(sets), 2)
    figure, axes = plt.subplots(
        2,
        len(sets),
        figsize=figures.size(columns, ratio=1.15),
        squeeze=False,
        sharex="col",
        sharey="row",
        height_ratios=(3, 2),
        layout="constrained",
    )
    for (above, below), name in zip(axes.T, sets, strict=True):
        table = main[main["set"] == name]
        _gaps(above, table, settings)
        _ratios(below, table, settings)
    axes[0][0].set_ylabel(r"gap $f(w_T)-f^*$")
    axes[1][0].set_ylabel("gap ratio to AdaGrad")
    return {"gap_by_batch_size": (figure, _caption(settings, sets))}


def _gaps(axis: Any, table: "pandas.DataFrame", settings: Settings) -> None:
    for place, method in enumerate(settings.methods):
        look = figures.style(method)
        points = []
        for size, cell in table[table.method == method].groupby("batch_size"):
            at = size * figures.beside(place, len(settings.methods))
            axis.plot([at] * len(cell), cell.value, "_", color=look.color, alpha=0.45, markersize=4, zorder=1)
            points.append((at, exp_interval(mean_interval(np.log(cell.value))), cell.batch.iloc[0] != "full"))
        figures.line_with_intervals(axis, points, look, method)
    axis.set(xscale="log", yscale="log")
    axis.set_title(f"{table['set'].iloc[0].removeprefix('logistic/')}, n = {table['examples'].iloc[0]:,}")
    figures.label_lines(axis)


def _ratios(axis: Any, table: "pandas.DataFrame", settings: Settings) -> None:
    """Above 1: AdaGrad is closer to the optimum."""
    challenger = list(settings.methods)[-1]
    for place, method in enumerate(list(settings.methods)[:-1]):
        points = []
        for size, cell in table.groupby("batch_size"):
            wide = cell.pivot(index="seed", columns="method", values="value")
            at = size * figures.beside(place, len(settings.methods))
            points.append((at, paired_ratio(wide[method], wide[challenger]), cell.batch.iloc[0] != "full"))
        figures.line_with_intervals(axis, points, figures.style(method), f"{method} / {challenger}")
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.axhline(1.2, color="black", linewidth=0.8, linestyle=":")
    axis.set(xscale="log", yscale="log", xlabel="batch size (examples per step)")
    ticks = table[["batch_size", "batch"]].drop_duplicates().sort_values("batch_size")
    axis.set_xticks(ticks.batch_size, [b if b != "full" else "\nfull" for b in ticks.batch])
    axis.minorticks_off()
    figures.plain_log_ticks(axis)
    figures.label_lines(axis)


def _caption(settings: Settings, sets: list[str]) -> str:
    l2 = settings.l2[0]
    return (
        f"{QUESTION} Gap to the optimum after {settings.passes} passes over the data, the same number of examples at "
        f"every batch size ({', '.join(s.removeprefix('logistic/') for s in sets)}; logistic regression, "
        f"l2 = {l2}, {next(iter(settings.readouts))} iterate). Each point has its own learning rate, tuned on "
        f"{len(settings.tuning_seeds)} seeds over a grid of factor {settings.factor:g} that is widened until the best "
        f"rate is inside it. Dashes: the {len(settings.seeds)} fresh seeds; markers: their geometric mean with its "
        "95% interval, shifted sideways so that methods do not hide each other. Below: gap of SGD over AdaGrad's, "
        "paired by seed; a cell whose interval is above the dotted line (1.2) counts for AdaGrad in claim A2. Sets, "
        "batch sizes, passes, grid, sampling with replacement and w_0 = 0 are our choices: the paper's own are not "
        "known. Equal examples means fewer steps at larger batches; the full batch is the exact gradient, for which "
        "all seeds agree."
    )
