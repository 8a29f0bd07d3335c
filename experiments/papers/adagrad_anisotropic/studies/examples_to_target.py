"""How many examples does each method need to reach a given gap, as a function of the batch size?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import checks, curves, protocol
from experiments.papers.adagrad_anisotropic import critical_batches, predicted_batches, target_figures
from experiments.papers.adagrad_anisotropic.studies import gap_by_batch_size
from experiments.papers.adagrad_anisotropic.studies.gap_by_batch_size import labels_of, variants, words_of
from experiments.protocol import Cell, Finals, Outcome, Protocol
from experiments.session import Session
from experiments.sets import content_of, examples_in
from experiments.spec import Run
from experiments.statistics import exp_interval, mean_interval
from experiments.study import Found
from experiments.theory import critical_batch
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

QUESTION = "Up to which batch size does a larger batch cost no more examples to reach a target?"


@dataclass(kw_only=True)
class Settings(gap_by_batch_size.Settings):
    """What is run. A budget is `passes` over the data and `steps` updates, the form that the law of N(M) has.

    `only` may also name the passes, the steps and the targets of a set.
    """

    steps: int = setting(300, minimum=1, doc="updates that a budget has beyond the passes")
    targets: list[float] = field(metadata={"doc": "gaps to be reached, in shares of the gap at the start"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for targets in (self.targets, *(self.targets_of(name) for name in self.sets)):
            good = all(is_number(target) and 0 < target < 1 for target in targets)
            if not targets or not good or len(set(targets)) < len(targets):
                raise SettingError(f"targets must hold different numbers between 0 and 1, not {targets}")

    def targets_of(self, name: str) -> list[float]:
        """The targets on a set."""
        targets: list[float] = self.only.get(name, {}).get("targets", self.targets)
        return targets


@dataclass(frozen=True, kw_only=True)
class Examples(Found):
    """runs: one row for each fresh run and target, with `needed`, the examples it took (inf: never). fits: see
    `critical_batches.fits`, with `predicted` (sigma at w_0) and `predicted_end` (sigma at the minimiser) beside.
    """

    runs: "pandas.DataFrame"
    fits: "pandas.DataFrame"


def measure(settings: Settings, session: Session) -> Examples:
    """Run it. Tables: `cells`, one row for each point with its picked rate and grid, and `fits`."""
    found = tune(settings, session)
    starts = _starts(found, session)
    runs = _by_target(found.fresh)
    runs["gap"] = runs.target * runs.run.map(starts)
    runs = runs.rename(columns={"value": "needed"})
    tuning = _by_target(found.tuning)
    fits = critical_batches.fits(runs)
    known = _constants(settings, session)
    predictions = [predicted_batches.predicted(row, known[row["set"], row["l2"]]) for row in fits.to_dict("records")]
    fits[["predicted", "predicted_end"]] = predictions
    tables = {"cells": _cells(runs, tuning), "fits": _plain(fits)}
    return Examples(tables, found.reported, runs=runs, fits=fits)


def tune(settings: Settings, session: Session) -> Outcome:
    """Every batch size and method at the rate that needs the fewest examples, for each readout and target.

    The readouts are called "<iterate> <target>"; a value is a number of examples, and the mean over the tuning seeds
    is infinite where one of them never gets there. Where no rate gets there, the lowest final gap is picked.
    """
    seeds = tuple(settings.tuning_seeds), tuple(settings.seeds)
    how = Protocol(*seeds, settings.factor[0], tuning_record="log")
    return protocol.measure(cells(settings), how, _Scored(session, settings))


def cells(settings: Settings) -> list[Cell]:
    """What is tuned. Labels: set, examples, l2, eps, sampling, grid, batch, batch_size, steps (allowed), method."""
    first, *others = variants(settings)
    found = []
    for name, n in examples_in(settings.sets).items():
        only = settings.only.get(name, {})
        more = others if settings.arm_sets is None or name in settings.arm_sets else []
        for variant in (first, *more):
            for batch in only.get("batch_sizes", settings.batch_sizes):
                if variant["sampling"] != "replacement" and batch != "full" and batch > n:
                    continue  # there are no such batches
                methods = only.get("methods", settings.methods)
                found += [_cell(settings, name, n, variant, batch, method) for method in methods]
    return found


class _Scored:
    """`session.complete`, which adds to the last metrics of a run the examples that it took to each target."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session, self.settings = session, settings
        self.targets = {target for name in settings.sets for target in settings.targets_of(name)}
        self.known: dict[str, Mapping[str, float | None]] = {}

    def __call__(self, runs: Sequence[Run], purpose: str) -> Finals:
        finals = self.session.complete(runs, purpose)
        fresh = [run for run in finals if run not in self.known]
        metrics = list(self.settings.readouts.values())
        found = curves.read(self.session.store, fresh, metrics)
        for run in fresh:
            self.known[run] = {**finals[run], **self._needed(found[run])} if finals[run] else {}
        return self.known

    def _needed(self, curve: curves.Curve) -> dict[str, float]:
        size = curve.examples[-1] / curve.steps[-1]
        needed = {}
        for iterate, metric in self.settings.readouts.items():
            gaps = curve.values[metric]
            for target in self.targets:
                needed[f"{iterate} {target}"] = size * critical_batch.steps_to(curve.steps, gaps, target * gaps[0])
        return needed


def _cell(settings: Settings, name: str, n: int, variant: dict[str, Any], batch: Any, method: str) -> Cell:
    size, factor = n if batch == "full" else int(batch), float(variant["factor"])
    only = settings.only.get(name, {})
    steps = -(-only.get("passes", settings.passes) * n // size) + only.get("steps", settings.steps)
    words = (*words_of(settings, name, n, variant, batch, method), f"budget.examples={steps * size}", "record=log")
    low, high = settings.grid[method]
    count = math.ceil(math.log(high / low, factor) - 1e-9) + 1
    labels = labels_of(name, n, variant, batch, method, steps)
    names = {
        f"{iterate} {target}": metric
        for iterate, metric in settings.readouts.items()
        for target in settings.targets_of(name)
    }
    grid = tuple(float(low) * factor**k for k in range(count))
    return Cell(labels, words, grid, {name: name for name in names}, factor, otherwise=names)


def _by_target(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """The table with `iterate` and `target` in place of the readout."""
    parts = table.readout.str.rsplit(" ", n=1)
    return table.drop(columns="readout").assign(iterate=parts.str[0], target=parts.str[1].astype(float))


def _starts(found: Outcome, session: Session) -> dict[str, float]:
    """The gap at the start, by fresh run."""
    return {
        run: float(curve.values["gap"][0]) for run, curve in curves.read(session.store, found.reported, ["gap"]).items()
    }


def _cells(runs: "pandas.DataFrame", tuning: "pandas.DataFrame") -> "pandas.DataFrame":
    """One row for each point: its picked rate with the first and last that were tried, and the examples it took."""
    import pandas as pd

    keys = ["set", "l2", "eps", "sampling", "grid", "iterate", "target", "method", "batch", "batch_size"]
    tried = tuning.groupby(keys, sort=False).lr.agg(["min", "max", "nunique"])
    rows = []
    for key, cell in runs.groupby(keys, sort=False):
        reached = cell.needed[np.isfinite(cell.needed)]
        interval = exp_interval(mean_interval(np.log(reached))) if len(reached) == len(cell) else None
        row = dict(zip(keys, key, strict=True)) | {
            "budget": int(cell.steps.iloc[0]) * int(cell.batch_size.iloc[0]),
            "lr": cell.lr.iloc[0],
            "first_rate": tried["min"][key],
            "last_rate": tried["max"][key],
            "rates": int(tried["nunique"][key]),
            "edge": bool(cell.edge.iloc[0]),
            "seeds": len(cell),
            "reached": len(reached),
            "needed": interval.value if interval else math.inf,
            "low": interval.low if interval else math.nan,
            "high": interval.high if interval else math.nan,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _constants(settings: Settings, session: Session) -> dict[tuple[str, str], dict[str, Any]]:
    """L and sigma by set and l2."""
    configs = {
        (name, str(l2)): {"task": name, "l2": checks.strength(l2, n)}
        for name, n in examples_in(settings.sets).items()
        for l2 in settings.l2
    }
    for config in configs.values():
        config["content"] = content_of([f"task={config['task']}", f"task.l2={config['l2']!r}", "dtype=float64"])
    rows = session.calculate(predicted_batches.constants, 1, list(configs.values()), "L and sigma")
    return dict(zip(configs, rows, strict=True))


def _plain(fits: "pandas.DataFrame") -> "pandas.DataFrame":
    import pandas as pd

    return pd.DataFrame([critical_batches.plain(row) for row in fits.to_dict(orient="records")])


def draw(found: Examples, settings: Settings) -> "Figures":
    """Examples against the batch size with the fitted law, and the fitted critical batches against the predicted."""
    main = variants(settings)[0]
    wanted = {"l2": str(main["l2"]), "eps": main["eps"], "sampling": main["sampling"]}
    wanted |= {"grid": f"factor {float(main['factor']):g}", "iterate": next(iter(settings.readouts))}
    runs, fits = found.runs, found.fits
    for column, value in wanted.items():
        runs, fits = runs[runs[column] == value], fits[fits[column] == value]
    return target_figures.draw(runs, fits, settings, QUESTION)
