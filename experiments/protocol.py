"""The protocol that every comparison uses: tune on some seeds, measure on others.

For each cell (a task, a method, a batch size ...) every learning rate of a grid is run on the tuning seeds; the rate
with the lowest mean of the final metric is picked, a rate that diverged on any seed counting as infinitely bad; while
the pick is at an edge of the grid, the grid is extended there; the pick is then run on fresh seeds, and only those are
reported.
Several readouts of the same runs (the last and the averaged iterate) are tuned separately. A study may score runs by
something else than a final metric: by `complete` adding it to what it returns.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from experiments import config
from experiments.spec import Experiment, Run
from optim.settings import SettingError, nearest

if TYPE_CHECKING:
    import pandas

Finals = Mapping[str, Mapping[str, float | None]]
"""Last metrics of finished runs by run; of a diverged run, nothing."""
Complete = Callable[[Sequence[Run], str], Finals]
"""Makes sure that runs are in the store and returns their last metrics; the text says what they are for."""


@dataclass(frozen=True)
class Cell:
    """What is tuned on its own.

    labels: what the tables show. words: overrides that describe it, all but learning rate, seed and record. grid: the
    learning rates to begin with, in increasing order. readouts: metric by name of the readout. factor: ratio of
    neighbouring rates, if it is not the protocol's. otherwise: by readout, the metric that decides where the mean is
    infinite for every rate (a target that none of them reaches).
    """

    labels: dict[str, Any]
    words: tuple[str, ...]
    grid: tuple[float, ...]
    readouts: dict[str, str]
    factor: float | None = None
    otherwise: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """Seeds and grids. extend_by: rates added beyond an edge at a time; extensions: how often at most.

    tuning_record: when runs on tuning seeds are looked at; a readout of whole curves needs more than their ends.
    floor: smaller values count as this one, so that a search ends where they mean nothing any more.
    """

    tuning_seeds: tuple[int, ...]
    fresh_seeds: tuple[int, ...]
    factor: float
    extend_by: int = 3
    extensions: int = 12
    tuning_record: str = "ends"
    floor: float = -math.inf

    def __post_init__(self) -> None:
        for name, seeds in (("tuning_seeds", self.tuning_seeds), ("seeds", self.fresh_seeds)):
            if not seeds or len(set(seeds)) < len(seeds):
                raise SettingError(f"{name} must be different numbers, at least one, not {list(seeds)}")
        both = set(self.tuning_seeds) & set(self.fresh_seeds)
        if both:
            raise SettingError(f"seeds and tuning_seeds must not share any, and {sorted(both)} are in both")


@dataclass(frozen=True)
class Outcome:
    """Two tables, one row for each run and readout: labels, readout, lr, seed, run, steps, value (inf: diverged).

    `tuning` has also `picked`; `fresh` has also `edge` (the pick sits on the edge of its grid, so it is no optimum).
    """

    tuning: "pandas.DataFrame"
    fresh: "pandas.DataFrame"
    readouts: Mapping[str, str] = field(default_factory=dict)  # metric by name

    @property
    def reported(self) -> frozenset[str]:
        """The runs on fresh seeds."""
        return frozenset(self.fresh.run)


def measure(cells: Sequence[Cell], protocol: Protocol, complete: Complete) -> Outcome:
    """Carry out the protocol for all cells at once. Raises SettingError or DataError before any work is done."""
    import pandas as pd

    tuned = [_Tuning(cell, protocol) for cell in cells]
    for attempt in range(protocol.extensions + 1):
        finals = complete(
            [run for t in tuned for run in t.runs()], "tuning" if not attempt else f"wider grids, {attempt}"
        )
        for t in tuned:
            t.take(finals)
        if attempt < protocol.extensions:
            extended = [t.extend(protocol) for t in tuned]
            if not any(extended):
                break
    fresh = [t.fresh(protocol) for t in tuned]
    finals = complete([run for runs in fresh for of_readout in runs.values() for run in of_readout], "fresh seeds")
    rows = []
    for t, runs in zip(tuned, fresh, strict=True):
        for readout, of_readout in runs.items():
            edge = t.at_edge(readout)
            rows += [{**t.row(run, readout, finals), "edge": edge} for run in of_readout]
    readouts = {name: metric for cell in cells for name, metric in cell.readouts.items()}
    return Outcome(pd.DataFrame([row for t in tuned for row in t.rows()]), pd.DataFrame(rows), readouts)


class _Tuning:
    """One cell while it is tuned."""

    def __init__(self, cell: Cell, protocol: Protocol) -> None:
        self.cell, self.grid, self.seeds = cell, sorted(cell.grid), protocol.tuning_seeds
        self.floor = protocol.floor
        self.measured = config.request(list(cell.words)).runs[0].experiment
        self.tuning = replace(self.measured, record=protocol.tuning_record)
        self.finals: Finals = {}
        self.picks: dict[str, float] = {}  # by readout, for the finals that there are

    def runs(self) -> list[Run]:
        return [_run(self.tuning, seed, lr) for seed in self.seeds for lr in self.grid]

    def take(self, finals: Finals) -> None:
        self.finals = {run.id: finals[run.id] for run in self.runs()}
        self.picks = {readout: self.best(readout) for readout in self.cell.readouts}

    def score(self, lr: float, readout: str) -> float:
        """Mean of the final metric over the tuning seeds."""
        return self._mean(lr, readout, self.cell.readouts[readout])

    def _mean(self, lr: float, readout: str, metric: str) -> float:
        values = [self._read(_run(self.tuning, seed, lr), readout, metric, self.finals) for seed in self.seeds]
        return math.fsum(values) / len(values)

    def value(self, run: Run, readout: str, finals: Finals) -> float:
        return self._read(run, readout, self.cell.readouts[readout], finals)

    def _read(self, run: Run, readout: str, metric: str, finals: Finals) -> float:
        last = finals[run.id]
        if last and metric not in last:
            raise SettingError(f"the runs have no metric '{metric}' (readout '{readout}'): {nearest(metric, last)}")
        found = last.get(metric)
        return math.inf if found is None else max(found, self.floor)

    def best(self, readout: str) -> float:
        """The rate with the lowest mean; of equal ones the smallest."""
        scores = {lr: self.score(lr, readout) for lr in self.grid}
        if readout in self.cell.otherwise and all(map(math.isinf, scores.values())):
            scores = {lr: self._mean(lr, readout, self.cell.otherwise[readout]) for lr in self.grid}
        return min(self.grid, key=lambda lr: (scores[lr], lr))

    def at_edge(self, readout: str) -> bool:
        return self.picks[readout] in (self.grid[0], self.grid[-1])

    def extend(self, protocol: Protocol) -> bool:
        """Widen the grid where a pick is at its edge; False if none is."""
        low, high = self.grid[0], self.grid[-1]
        picks = set(self.picks.values())
        steps, factor = range(1, protocol.extend_by + 1), self.cell.factor or protocol.factor
        added = [low / factor**k for k in steps] if low in picks else []
        added += [high * factor**k for k in steps] if high in picks else []
        self.grid = sorted([*self.grid, *added])
        return bool(added)

    def fresh(self, protocol: Protocol) -> dict[str, list[Run]]:
        return {r: [_run(self.measured, s, self.picks[r]) for s in protocol.fresh_seeds] for r in self.cell.readouts}

    def row(self, run: Run, readout: str, finals: Finals) -> dict[str, Any]:
        value = self.value(run, readout, finals)
        return {
            **self.cell.labels,
            "readout": readout,
            "lr": run.hyper["lr"],
            "seed": run.seed,
            "run": run.id,
            "value": value,
        }

    def rows(self) -> list[dict[str, Any]]:
        return [
            {**self.row(run, readout, self.finals), "picked": run.hyper["lr"] == self.picks[readout]}
            for readout in self.cell.readouts
            for run in self.runs()
        ]


def _run(experiment: Experiment, seed: int, lr: float) -> Run:
    return Run(experiment, seed, {**experiment.hyper(), "lr": lr})
