"""A small network: how fast does the mean gradient norm fall, and does curvature grow with the gradient?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import checks, config, curves, protocol, table
from experiments.papers.adagrad_anisotropic import gains, nonconvex_figures
from experiments.protocol import Cell, Finals, Outcome, Protocol
from experiments.session import Session
from experiments.sets import examples_in
from experiments.spec import Run
from experiments.study import Found
from experiments.theory.running_mean import running_means
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

QUESTION = "Does the mean gradient norm of a small network fall as the non-convex rates say?"
NORMS = {"l1": "gradient_norm_l1", "l2": "gradient_norm"}  # metrics of the probes
GROUPS = 10  # of coordinates in the scatter


@dataclass(kw_only=True)
class Settings:
    """What is run; all of it is ours."""

    tasks: list[str] = field(metadata={"doc": "networks"})
    batch_sizes: list[Any] = field(metadata={"doc": 'whole numbers, and "full" for the exact gradient'})
    steps: list[int] = field(metadata={"doc": "T: each run goes to the last one"})
    methods: dict[str, Any] = field(metadata={"doc": "overrides by name"})
    norms: dict[str, Any] = field(metadata={"doc": "l1 or l2 by method: the norm that its rate is about"})
    eps: dict[str, Any] = setting({"default": {}}, doc="what guards the division: overrides by method, by name")
    grid: dict[str, Any] = field(metadata={"doc": "first and last learning rate to begin with, by method"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring learning rates")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})
    scatter_every: int = setting(9, minimum=1, doc="curvature is measured at every so many recording points")

    def __post_init__(self) -> None:
        gains.check_methods(self.methods, self.grid)
        checks.distinct(self, "tasks", "batch_sizes", "steps", "eps")
        if len(self.steps) < 3 or not all(is_number(t) and t >= 1 and t == int(t) for t in self.steps):
            raise SettingError(f"steps must hold three whole numbers or more, from 1, not {self.steps}")
        for method in self.methods:
            if self.norms.get(method) not in NORMS:
                raise SettingError(f"norms: '{method}' must have l1 or l2, not {self.norms.get(method)!r}")


def measure(settings: Settings, session: Session) -> Found:
    """Run it. Tables: `means`, one row for each fresh seed, T and way of tuning; `scatter`, curvature by group.

    A mean is that of the gradient norm at w_0 to w_{T-1}: exact for the full batch, and otherwise of the full gradient
    at up to 64 recording points, taken to be linear in between.
    """
    sizes = examples_in(settings.tasks)
    cells = [
        _cell(settings, name, n, eps, batch, method)
        for name, n in sizes.items()
        for eps in settings.eps
        for batch in settings.batch_sizes
        for method in settings.methods
        if eps == next(iter(settings.eps)) or method in settings.eps[eps]
    ]
    how = Protocol(tuple(settings.tuning_seeds), tuple(settings.seeds), settings.factor, tuning_record="log")
    scored = _Scored(session, settings)
    found = protocol.measure(cells, how, scored)
    means = _means(found, scored, settings)
    scatter, shown = _scatter(found, settings, session)
    return Found({"means": means, "scatter": scatter}, found.reported | shown)


def _cell(settings: Settings, name: str, n: int, eps: str, batch: Any, method: str) -> Cell:
    exact = batch == "full"
    words = [
        f"task={name}",
        *settings.methods[method],
        *settings.eps[eps].get(method, []),
        "batch_size=full" if exact else f"batch_size.size={batch}",
        f"probe=[{'mean_gradient_norm' if exact else 'gradient_norm'}]",
        f"budget.steps={max(settings.steps)}",
        "record=log",
        "dtype=float64",
    ]
    labels = {
        "task": name,
        "examples": n,
        "eps": eps,
        "batch": str(batch),
        "batch_size": n if exact else int(batch),
        "method": method,
        "norm": settings.norms[method],
    }
    metric = f"{settings.norms[method]} {{}}"
    readouts = {f"T = {steps}": metric.format(steps) for steps in settings.steps}
    return Cell(labels, tuple(words), checks.rates(settings.grid[method], settings.factor), readouts)


class _Scored:
    """`session.complete`, which adds to the last metrics of a run the mean gradient norms to every T."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session, self.settings = session, settings
        self.known: dict[str, Mapping[str, float | None]] = {}

    def __call__(self, runs: Sequence[Run], purpose: str) -> Finals:
        finals = self.session.complete(runs, purpose)
        for exact in (True, False):
            fresh = [r.id for r in runs if r.id not in self.known and r.experiment.batch_size.whole == exact]
            names = [f"mean_{name}" if exact else name for name in NORMS.values()]
            for run, curve in curves.read(self.session.store, fresh, names).items():
                self.known[run] = {**finals[run], **self._scores(curve, names, exact)} if finals[run] else {}
        return self.known

    def _scores(self, curve: curves.Curve, names: Sequence[str], exact: bool) -> dict[str, float]:
        scores: dict[str, float] = {}
        for norm, name in zip(NORMS, names, strict=True):
            values, wanted = curve.values[name], self.settings.steps
            if exact:  # the probe has followed every step; between two points the sum is taken to grow evenly
                found = np.interp(wanted, curve.steps, curve.steps * values) / np.asarray(wanted)
            else:
                found = running_means(curve.steps, values, wanted)
            scores |= {f"{norm} {steps}": float(mean) for steps, mean in zip(wanted, found, strict=True)}
        return scores


def _means(found: Outcome, scored: _Scored, settings: Settings) -> "pandas.DataFrame":
    """One row for each cell, fresh seed, T, and way of tuning: at each T, or at the last T for all."""
    import pandas as pd

    fresh = found.fresh
    steps = fresh.readout.str.removeprefix("T = ").astype(int)
    each = fresh.assign(steps=steps, tuned="at each T").drop(columns="readout")
    rows = []
    for row in each[each.steps == max(settings.steps)].to_dict(orient="records"):
        for wanted in settings.steps:
            value = scored.known[row["run"]].get(f"{row['norm']} {wanted}")
            mean = math.inf if value is None else value
            rows.append({**row, "steps": wanted, "tuned": "at the last T", "value": mean})
    return pd.concat([each, pd.DataFrame(rows)], ignore_index=True)


def _scatter(found: Outcome, settings: Settings, session: Session) -> tuple["pandas.DataFrame", frozenset[str]]:
    """Gradient and curvature by group of coordinates along one full-batch run of each method on each task."""
    import pandas as pd

    last = found.fresh[found.fresh.readout == f"T = {max(settings.steps)}"]
    chosen = last[(last.eps == next(iter(settings.eps))) & (last.seed == settings.seeds[0])]
    chosen = chosen[chosen.batch_size == chosen.groupby("task").batch_size.transform("max")]
    runs = {}
    for row in chosen.to_dict(orient="records"):
        words = [
            f"task={row['task']}",
            *settings.methods[row["method"]],
            "batch_size=full" if row["batch"] == "full" else f"batch_size.size={row['batch']}",
            f"optimizer.lr={row['lr']!r}",
            f"seed={row['seed']}",
            "probe=[smoothness_scatter]",
            f"probe.smoothness_scatter.every={settings.scatter_every}",
            f"probe.smoothness_scatter.groups={GROUPS}",
            f"budget.steps={max(settings.steps)}",
            "record=log",
            "dtype=float64",
        ]
        (run,) = config.request(words).runs
        runs[run.id] = (run, {k: row[k] for k in ("task", "method", "batch", "lr", "seed")})
    session.complete([run for run, _ in runs.values()], "curvature along the path")
    found_points = table.load(session.store, only=set(runs))
    of_groups = found_points[found_points.metric.str.match("scatter_|smoothness_l1|diagonal_l1")]
    wide = of_groups.pivot(index=["run", "step"], columns="metric", values="value").reset_index()
    if "scatter_correlation" not in wide:  # too few points for it in any run
        wide["scatter_correlation"] = math.nan
    labels = pd.DataFrame([{"run": run, **about} for run, (_, about) in runs.items()])
    return labels.merge(wide, on="run"), frozenset(runs)


def draw(found: Found, settings: Settings) -> "Figures":
    """The mean norms against T, and curvature against gradient."""
    return nonconvex_figures.draw(found.tables, settings, QUESTION)
