"""Runs of the study `training` as the store has them: how they ended, and their batch sizes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments import curves, sizes
from experiments.curves import Curve
from experiments.papers.adadagrad.points import Reported
from experiments.session import Session
from experiments.sizes import Change

METRICS = ("loss", "test_loss", "test_accuracy")


@dataclass(frozen=True, eq=False)
class Measured:
    """A run that ended. seconds: of training, without evaluation (NaN where it shared a job). finals: the last
    metrics (NaN if it diverged). changes: the steps that changed the batch size, from the first one on.
    """

    reported: Reported
    steps: int
    examples: int
    seconds: float
    diverged: bool
    finals: dict[str, float]
    changes: list[Change]
    curve: Curve
    folder: Path

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.reported.run.seed


def read(session: Session, reported: Sequence[Reported]) -> list[Measured]:
    """These runs, which are all in the store, in their order."""
    ids = [one.run.id for one in reported]
    found = curves.read(session.store, ids, METRICS)
    return [_one(session, each, found[each.run.id]) for each in reported]


def _one(session: Session, reported: Reported, curve: Curve) -> Measured:
    folder = session.store.find([reported.run.id])[reported.run.id]
    result = folder.result()
    ended = result["runs"][reported.run.id]
    diverged = ended["status"] == "diverged"
    steps = ended["diverged_at"] if diverged else result["steps"]
    metrics = {} if diverged else ended["metrics"]
    finals = {name: math.nan if metrics.get(name) is None else float(metrics[name]) for name in METRICS}
    changes = [change for change in sizes.of_run(session.store, reported.run) if change[0] <= steps]
    step, seen, size = changes[-1]
    examples = min(seen + (steps - step + 1) * size, result["examples"])
    return Measured(reported, steps, examples, float(curve.seconds[-1]), diverged, finals, changes, curve, folder.path)
