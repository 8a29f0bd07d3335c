"""The same runs against examples, steps and seconds: what does a larger batch cost, and in what?"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import config, curves
from experiments.papers.adagrad_anisotropic import curve_figures
from experiments.papers.adagrad_anisotropic.studies import examples_to_target
from experiments.session import Session
from experiments.study import Found
from experiments.theory import critical_batch
from optim.settings import SettingError, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "What does a larger batch cost in examples, in steps and in seconds?"


@dataclass(kw_only=True)
class Settings:
    """What is run: points of `examples_to_target`, whose tuning is shared where these settings agree with its own."""

    sets: list[str] = field(metadata={"doc": "tasks"})
    batch_sizes: dict[str, Any] = field(metadata={"doc": 'by set, a few batch sizes, or "full"; the smallest first'})
    passes: dict[str, Any] = field(metadata={"doc": "by set, the budget in passes over the data"})
    steps: dict[str, Any] = field(metadata={"doc": "by set, the updates that a budget has beyond the passes"})
    target: float = setting(0.1, above=0.0, below=1.0, doc="share of the first gap that rates are picked for")
    l2: Any = field(metadata={"doc": 'strength of the l2 term; "1/n" for one over the number of examples'})
    iterate: dict[str, Any] = field(metadata={"doc": "metric by name of the iterate that is shown"})
    methods: dict[str, Any] = field(metadata={"doc": "overrides by name"})
    grid: dict[str, Any] = field(metadata={"doc": "first and last learning rate to begin with, by method"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring learning rates")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds of the tuning"})
    alone: list[int] = field(metadata={"doc": "other seeds, each of them run alone so that it has a clock of its own"})

    def __post_init__(self) -> None:
        for name in ("batch_sizes", "passes", "steps"):
            if set(getattr(self, name)) != set(self.sets) or not all(getattr(self, name).values()):
                raise SettingError(f"{name} must have an entry for each of the sets, and for no other")
        if len(self.iterate) != 1:
            raise SettingError("iterate must name one iterate with its metric")
        if not self.alone or set(self.alone) & {*self.tuning_seeds, *self.seeds}:
            raise SettingError(f"alone must hold seeds that are neither for tuning nor among seeds, not {self.alone}")
        self.tuned()

    def tuned(self) -> examples_to_target.Settings:
        """The settings of `examples_to_target` that pick the rates."""
        return examples_to_target.Settings(
            sets=self.sets,
            batch_sizes=list(dict.fromkeys(size for sizes in self.batch_sizes.values() for size in sizes)),
            targets=[self.target],
            l2=[self.l2],
            methods=self.methods,
            readouts=self.iterate,
            grid=self.grid,
            factor=[self.factor],
            tuning_seeds=self.tuning_seeds,
            seeds=self.seeds,
            only={
                name: {"batch_sizes": self.batch_sizes[name], "passes": self.passes[name], "steps": self.steps[name]}
                for name in self.sets
            },
        )


def measure(settings: Settings, session: Session) -> Found:
    """Run it. Tables: `points`, every recording point of the runs that had the machine to themselves, and `costs`,
    medians over these runs, with the lowest and the highest.
    """
    import pandas as pd

    tuned = settings.tuned()
    fresh = examples_to_target.tune(tuned, session).fresh
    keys = ["set", "batch", "method"]
    rates = fresh.drop_duplicates(keys).set_index(keys)
    (metric,) = settings.iterate.values()
    points, costs, asked = [], [], set()
    for cell in examples_to_target.cells(tuned):
        picked = rates.loc[tuple(cell.labels[k] for k in keys)]
        labels = {k: cell.labels[k] for k in (*keys, "batch_size")} | {
            "lr": float(picked.lr),
            "edge": bool(picked.edge),
        }
        (one,) = config.request([*cell.words, f"optimizer.lr={float(picked.lr)!r}"]).runs
        of_cell = []
        for seed in settings.alone:
            run = replace(one, seed=seed)
            session.complete([run], f"alone, seed {seed}")
            curve = curves.read(session.store, [run.id], [metric])[run.id]
            asked.add(run.id)
            of_cell.append(_cost(curve, metric, settings.target))
            columns = {"steps": curve.steps, "examples": curve.examples, "seconds": curve.seconds}
            points.append(pd.DataFrame({**labels, "seed": seed, **columns, "gap": curve.values[metric]}))
        costs.append({**labels, "target": settings.target, **_spread(of_cell)})
    return Found({"points": pd.concat(points, ignore_index=True), "costs": pd.DataFrame(costs)}, frozenset(asked))


def _cost(curve: curves.Curve, metric: str, target: float) -> dict[str, float]:
    """Steps, examples and seconds to the target."""
    gaps = curve.values[metric]
    steps = critical_batch.steps_to(curve.steps, gaps, target * gaps[0])
    if not np.isfinite(steps):
        return dict.fromkeys(("steps", "examples", "seconds"), np.inf)
    at = {name: float(np.interp(steps, curve.steps, getattr(curve, name))) for name in ("examples", "seconds")}
    return {"steps": steps, **at}


def _spread(costs: list[dict[str, float]]) -> dict[str, float]:
    """Of each cost its median, and as <cost>_min and <cost>_max its ends."""
    spread: dict[str, float] = {}
    for name in costs[0]:
        values = [cost[name] for cost in costs]
        spread |= {name: float(np.median(values)), f"{name}_min": min(values), f"{name}_max": max(values)}
    return spread


def draw(found: Found, settings: Settings) -> "Figures":
    """One row for each set: the gap against examples, against steps and against seconds."""
    return curve_figures.draw(found.tables["points"], found.tables["costs"], settings, QUESTION)
