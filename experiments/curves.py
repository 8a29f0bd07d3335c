"""Curves of single runs, read from the store: what `experiments.table` has, for many runs quickly."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.store import JobFolder, Store


@dataclass(frozen=True, eq=False)
class Curve:
    """The recording points of a run, the start first: steps, examples, seconds (NaN for runs that shared a job) and
    values by metric (NaN from where the run diverged), each (points,).
    """

    steps: np.ndarray
    examples: np.ndarray
    seconds: np.ndarray
    values: dict[str, np.ndarray]


def read(store: Store, runs: Iterable[str], metrics: Sequence[str]) -> dict[str, Curve]:
    """The curves of those of these runs that are finished, by run."""
    by_job: dict[str, tuple[JobFolder, list[str]]] = {}
    for run, folder in store.find(runs).items():
        by_job.setdefault(str(folder.path), (folder, []))[1].append(run)
    found = {}
    for folder, wanted in by_job.values():
        lanes = {run["run"]: lane for lane, run in enumerate(folder.describe()["runs"])}
        rows = [row for row in folder.rows() if "metrics" in row]
        steps, examples, seconds = (np.array([row[k] for row in rows], dtype=float) for k in _AXES)
        values = {name: np.array([row["metrics"][name] for row in rows], dtype=float) for name in metrics}
        for run in wanted:
            of_run = {name: table[:, lanes[run]] for name, table in values.items()}
            found[run] = Curve(steps, examples, seconds, of_run)
    return found


_AXES = ("step", "examples", "seconds")
