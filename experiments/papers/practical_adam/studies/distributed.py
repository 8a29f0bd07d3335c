"""Distributed Adam: several processes that share a batch, against one that has all of it."""

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from experiments import checks, components, sets
from experiments.papers.practical_adam import distributed_figures
from experiments.papers.practical_adam.distributed_figures import TOLERANCE
from experiments.papers.practical_adam.distributed_runs import Together
from experiments.session import Session
from experiments.study import Found
from optim.settings import SettingError, nearest, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "Is Adam on N nodes with batch b the same as Adam on one node with batch N b?"
_VERSION = 1


@dataclass(kw_only=True)
class Settings:
    """What is compared. Every number of processes shares the same batch."""

    tasks: list[str] = field(metadata={"doc": "names of tasks"})
    processes: list[int] = field(metadata={"doc": "numbers N of processes, from 2; each divides the batch"})
    batch: int = setting(24, minimum=2, doc="examples in a step of all processes together")
    steps: list[int] = field(metadata={"doc": "numbers of steps after which parameters are compared"})
    device: str = setting("cpu", choices=("cpu", "cuda"), doc="cuda: a GPU for each process")
    common: list[str] = field(metadata={"doc": "overrides of every run"})

    def __post_init__(self) -> None:
        checks.distinct(self, "tasks", "processes", "steps")
        for n in self.processes:
            if n < 2 or self.batch % n:
                raise SettingError(f"processes: {n} must be at least 2 and divide batch={self.batch}")
        if min(self.steps) < 1:
            raise SettingError(f"steps must be numbers from 1, not {self.steps}")
        known = components.choices("task")
        for task in self.tasks:
            if task not in known:
                raise SettingError(f"tasks: there is no task '{task}': {nearest(task, known)}")
        if [word for word in self.common if word.startswith("dtype=")] != ["dtype=float64"]:
            raise SettingError(f"common must hold dtype=float64, as the tolerance is {TOLERANCE:g}, not {self.common}")


def measure(settings: Settings, session: Session) -> Found:
    """Table `errors`: one row for each task, number of processes and number of steps (see `Together.compare`).

    On GPUs, numbers of processes above theirs are left out. Raises SettingError or DataError before any work is done.
    """
    import pandas as pd

    processes = _possible(settings)
    asked = {
        "tasks": settings.tasks,
        "contents": [sets.content_of([f"task={task}"]) for task in settings.tasks],
        "common": [*settings.common, f"device={settings.device}"],
        "batch": settings.batch,
        "steps": settings.steps,
        "processes": processes,
    }
    compare = Together(session.store.folder).compare
    rows = session.calculate(compare, _VERSION, [asked], "distributed Adam") if processes else []
    return Found({"errors": pd.DataFrame(rows)})


def _possible(settings: Settings) -> list[int]:
    """The numbers of processes that this machine can have."""
    if settings.device == "cpu":
        return settings.processes
    gpus = torch.cuda.device_count()
    missing = [n for n in settings.processes if n > gpus]
    if missing:
        print(f"skipped: {missing} processes with a GPU each, as torch finds {gpus}", file=sys.stderr)
    return [n for n in settings.processes if n <= gpus]


def draw(found: Found, settings: Settings) -> "Figures":
    """The differences by number of steps, and the time of a step."""
    return distributed_figures.draw(found.tables["errors"], settings, QUESTION)
