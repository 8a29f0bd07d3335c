"""The suite from Python: the same words as on the command line, results as tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments import config, runner, sweeps, table
from experiments.spec import Run
from experiments.store import Store
from experiments.tasks.task import Task


@dataclass(frozen=True)
class Result:
    """A run that is in the store.

    id: its identity. config: its settings, flat. status: "finished" or "diverged". metrics: the last values of a
    finished run. folder: the folder of its job. seconds: training time of that job (all its lanes together).
    """

    id: str
    config: dict[str, Any]
    status: str
    metrics: dict[str, float | None]
    folder: Path
    seconds: float


def run(overrides: Sequence[str], *, task: Task | None = None, quiet: bool = True) -> list[Result]:
    """Run what these overrides describe, unless the store has it already; one result per lane, in the lanes' order.

    task: one made by `task_from_module`, in place of a `task=` among the overrides. Raises SettingError (a ValueError)
    or DataError for a request that cannot be run.
    """
    wanted = config.request(list(overrides), task)
    store = Store(wanted.store)
    if wanted.logger:
        wanted.logger.require(store)
    sweep = sweeps.record(store, (run.id for run in wanted.runs), overrides)
    how: dict[str, Any] = {"checkpoint_seconds": wanted.checkpoint_seconds, "logger": wanted.logger}
    runner.complete(wanted.runs, store, quiet=quiet, **how)
    if wanted.logger:
        wanted.logger.summarise(store, sweep)
    return results(wanted.runs, store)


def results(runs: Sequence[Run], store: Store) -> list[Result]:
    """Finished runs as results, in the order asked for."""
    folders = store.find(run.id for run in runs)
    read = {folder.path: folder.result() for folder in folders.values()}
    made = []
    for each in runs:
        folder = folders[each.id]
        ended = read[folder.path]["runs"][each.id]
        seconds = read[folder.path]["seconds"]
        made.append(Result(each.id, each.columns(), ended["status"], ended["metrics"], folder.path, seconds))
    return made


def load_runs(folder: str | Path) -> Any:
    """Every run in a store, finished or not, as a pandas table in long form: see `experiments.table.load`."""
    return table.load(Store(folder))


def load_task(name: str, overrides: Sequence[str] = ()) -> Task:
    """The task `name` with its data read, in float64 on the CPU unless `dtype=` or `device=` say otherwise."""
    wanted = config.request([f"task={name}", "dtype=float64", *overrides])
    experiment = wanted.runs[0].experiment
    experiment.task.prepare(torch.device(experiment.device), getattr(torch, experiment.dtype))
    return experiment.task


def task_from_module(
    model: torch.nn.Module,
    loss: Callable[[Any, Tensor], Tensor],
    inputs: Tensor | Mapping[str, Tensor],
    targets: Tensor,
    name: str = "module",
) -> Task:
    """Any module as a task, for `run` and for `experiments.measure`; its data are in memory, its start is the module's.

    loss(outputs, targets) gives one loss for each example, (B,): `torch.nn.CrossEntropyLoss(reduction="none")`. inputs:
    (n, ...), or a mapping of them that the module takes as keywords; targets: (n, ...). The parameters of the task are
    named as in the module. Raises SettingError for a loss that is already averaged, and for modules whose examples
    depend on each other or on chance (batch normalisation or dropout in training mode).
    """
    from experiments.tasks.module import ModuleTask

    return ModuleTask(model, loss, inputs, targets, name)
