"""The points of the study `training`: a task, an optimizer, a scheme and a rate arm, and how they get their runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments import config, protocol
from experiments.protocol import Cell, Protocol
from experiments.session import Session
from experiments.spec import Run

if TYPE_CHECKING:
    import pandas

RELEASED, TUNED = "released", "tuned"
_TRIED = 2  # rates tried on either side of the released one
_METRIC = "test_error"
_LABELS = ("task", "optimizer", "scheme", "rate")


@dataclass(frozen=True)
class Point:
    """What a scheme is run as. words: all overrides but learning rate and seed. lr: the rate, of which a point that
    `searches` tries multiples. edge: that rate was the first or last one tried. n: examples of the task.
    """

    task: str
    optimizer: str
    scheme: str
    rate: str
    kind: str
    words: tuple[str, ...]
    lr: float
    seeds: tuple[int, ...]
    n: int
    largest: bool = False
    searches: bool = False
    edge: bool = False

    @property
    def labels(self) -> dict[str, str]:
        """What names it in every table."""
        return {name: getattr(self, name) for name in _LABELS}


@dataclass(frozen=True, eq=False)
class Reported:
    """A run on a fresh seed."""

    point: Point
    lr: float
    edge: bool
    run: Run


def complete(
    points: Sequence[Point], factor: float, tuning_seeds: Sequence[int], session: Session, purpose: str
) -> tuple[list[Reported], "pandas.DataFrame | None"]:
    """The runs of these points on fresh seeds, all in the store, and the table of tuning runs (None without any).

    Rates are searched first: what a process does for the first time is slow, and none of it falls on a run whose clock
    is reported.
    """
    experiments = [config.request(list(point.words)).runs[0].experiment for point in points]
    tuning, picked = _search([point for point in points if point.searches], factor, tuning_seeds, session)
    reported = []
    for point, experiment in zip(points, experiments, strict=True):
        lr, edge = picked.get(tuple(point.labels.values()), (point.lr, point.edge))
        hyper = {**experiment.hyper(), "lr": lr}
        reported += [Reported(point, lr, edge, Run(experiment, seed, hyper)) for seed in point.seeds]
    session.complete([one.run for one in reported], purpose)
    return reported, tuning


def _search(
    points: Sequence[Point], factor: float, tuning_seeds: Sequence[int], session: Session
) -> tuple["pandas.DataFrame | None", dict[tuple[str, ...], tuple[float, bool]]]:
    """The tuning table, and for each point the rate with the lowest mean test error, and whether it is at the edge."""
    if not points:
        return None, {}

    def scored(runs: Sequence[Run], purpose: str) -> Mapping[str, Mapping[str, float | None]]:
        return {run: _with_error(last) for run, last in session.complete(runs, purpose).items()}

    tried = [factor**k for k in range(-_TRIED, _TRIED + 1)]
    cells = [Cell(p.labels, p.words, tuple(p.lr * times for times in tried), {"last": _METRIC}) for p in points]
    seeds = tuple(tuning_seeds), points[0].seeds
    found = protocol.measure(cells, Protocol(*seeds, factor, extensions=0), scored)
    rates = found.fresh.drop_duplicates(list(_LABELS))
    picked = {tuple(row[name] for name in _LABELS): (row["lr"], row["edge"]) for row in rates.to_dict("records")}
    return found.tuning[[*_LABELS, "lr", "seed", "run", "value", "picked"]], picked


def _with_error(last: Mapping[str, float | None]) -> Mapping[str, float | None]:
    accuracy = last.get("test_accuracy")
    return last if accuracy is None else {**last, _METRIC: 1.0 - accuracy}
