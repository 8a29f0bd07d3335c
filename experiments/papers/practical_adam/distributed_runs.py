"""Runs of one job in several processes, started by torchrun, against the same job in one."""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from experiments import api, config, files
from experiments.calculations import Row
from experiments.components import ROOT
from experiments.session import Session
from optim.settings import SettingError

_PATIENCE = 600.0  # seconds for all runs of one number of processes


class Together:
    """Compares runs in several processes with runs in one. They go to a temporary store below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def compare(
        self,
        tasks: Sequence[str],
        contents: Sequence[str],
        common: Sequence[str],
        batch: int,
        steps: Sequence[int],
        processes: Sequence[int],
    ) -> list[Row]:
        """One row for each task, number N of processes and number of steps.

        common: overrides of every run. batch: examples in a step of all processes together. contents: digests of the
        tasks, which name the rows in the store. parameters: max |w - w'| / max |w'| for the last parameters w' of one
        process with the same batch; metrics: the largest relative difference of a recorded metric. control: as
        parameters, against one process with the batch of one of the N. seconds_per_step: of training, alone for N = 1.
        What is not finite is None. Raises SettingError if the processes cannot be started.
        """
        rows: list[Row] = []
        with tempfile.TemporaryDirectory(prefix="together-", dir=self.folder) as kept:
            own, sizes = Path(kept) / "alone", sorted({batch, *(batch // n for n in processes)})
            for words in (_words(t, common, s, b, own) for t in tasks for s in steps for b in sizes):
                api.run(words)
            rows += [
                {
                    "task": t,
                    "processes": 1,
                    "steps": s,
                    "seconds_per_step": _Ended(_words(t, common, s, batch, own)).pace,
                }
                for t in tasks
                for s in steps
            ]
            for n in processes:
                store, swept = Path(kept) / str(n), ",".join(map(str, steps))
                torchrun(n, ["-m", *_words(",".join(tasks), common, swept, batch, store)])
                for t in tasks:
                    for s in steps:
                        several = _Ended(_words(t, common, s, batch, store))
                        one, smaller = (_Ended(_words(t, common, s, b, own)) for b in (batch, batch // n))
                        found = {
                            "parameters": distance(several.parameters, one.parameters),
                            "metrics": several.apart(one),
                            "control": distance(several.parameters, smaller.parameters),
                            "seconds_per_step": several.pace,
                        }
                        plain = {name: x if math.isfinite(x) else None for name, x in found.items()}
                        rows.append({"task": t, "processes": n, "steps": s, **plain})
        return rows


def torchrun(processes: int, words: Sequence[str]) -> None:
    """`python -m experiments.run` with these words in several processes. Raises SettingError if they fail."""
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "experiments.run"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}  # they share the cores
    command = [sys.executable, "-m", *launch, *words]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise SettingError(f"{processes} processes did not end in {_PATIENCE:.0f} s: use fewer steps") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")] or done.stderr.splitlines()
        reason = said[0].removeprefix("error: ") if said else f"exit code {done.returncode}"
        raise SettingError(f"torchrun with {processes} processes failed: {reason}")


def _words(task: str, common: Sequence[str], steps: int | str, batch: int, store: Path) -> list[str]:
    return [f"task={task}", *common, f"budget.steps={steps}", f"batch_size.size={batch}", f"store={store}"]


class _Ended:
    """What a finished run left. metrics: at each of its recording points. parameters: flat, the last ones. pace:
    seconds of training for each step.
    """

    def __init__(self, words: Sequence[str]) -> None:
        asked = config.request(list(words))
        (run,) = asked.runs
        folder = Session(asked.store, only_report=True).store.find([run.id])[run.id]
        rows = [row for row in folder.rows() if "metrics" in row]
        self.metrics = [{name: values[0] for name, values in row["metrics"].items()} for row in rows]
        self.pace = float(rows[-1]["seconds"]) / int(rows[-1]["step"])
        checkpoint = files.read_checkpoint(folder.path / "checkpoint.safetensors")
        assert checkpoint is not None, f"{folder.path} has no checkpoint"
        self.parameters = checkpoint[0]["parameters"]

    def apart(self, other: "_Ended") -> float:
        """The largest relative difference of a metric."""
        assert [m.keys() for m in self.metrics] == [m.keys() for m in other.metrics]
        pairs = [(m[name], n[name]) for m, n in zip(self.metrics, other.metrics, strict=True) for name in m]
        return max(relative(a, b) for a, b in pairs)


def relative(a: float | None, b: float | None) -> float:
    """Relative difference of two metrics: 0 if they are equal, 1 if one of them is missing."""
    if a == b:
        return 0.0
    return 1.0 if a is None or b is None else abs(a - b) / max(abs(a), abs(b))


def distance(w: Tensor, reference: Tensor) -> float:
    """The largest difference over the largest entry of the reference: max |w - w'| / max |w'|."""
    return float((w - reference).double().abs().max() / reference.double().abs().max())
