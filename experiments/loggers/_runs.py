"""The W&B runs of a job, from the rows of its folder."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from experiments.components import ROOT
from optim.settings import SettingError

if TYPE_CHECKING:
    import wandb


def client() -> Any:
    """The package, which takes half a second to import."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # which would use the network
    # The home of the user may be read-only on the nodes of a cluster, and the service is loud about it.
    os.environ.setdefault("WANDB_CACHE_DIR", str(ROOT / ".cache"))  # in its folder wandb
    import wandb

    return wandb


@contextlib.contextmanager
def one_sentence(remedy: str = "`python -m experiments.export` writes what is missing") -> Iterator[None]:
    """Whatever goes wrong in wandb and its service process, in one sentence."""
    try:
        yield
    except Exception as problem:
        reason = " ".join(str(problem).split()) or type(problem).__name__
        raise SettingError(f"W&B failed ({reason}): {remedy}") from problem


def name(config: dict[str, Any], prefix: str) -> str:
    """What a run is called: method, learning rate, batch size, seed."""
    batch = config.get("batch_size.size") if config["batch_size"] == "constant" else config["batch_size"]
    rate = f" lr={config[prefix + 'lr']:g}" if prefix + "lr" in config else ""
    return f"{config['optimizer']}{rate} batch={batch} seed={config['seed']}"


class JobLog:
    """The W&B runs of a job while they are written, by lane."""

    def __init__(self, about: dict[str, Any], done: Callable[[Mapping[str, "wandb.Run"]], None]) -> None:
        """about: what job.json says. done: finishes complete runs and writes them down."""
        self._about, self._done = about, done
        self.runs: dict[int, wandb.Run] = {}
        self._begun = set[int]()
        self._keys: dict[int, set[str]] = {}
        self._notes: dict[int, str] = {}  # by step; kept until the next row, since they come while the clock runs

    def row(self, row: dict[str, Any]) -> None:
        """Log a row; lanes that have diverged have none any more."""
        if "metrics" not in row:
            self._notes[row["step"]] = row["note"]
            return
        axes = {key: row[key] for key in ("step", "examples", "seconds") if row[key] is not None}
        for lane, run in self.runs.items():
            found = {name: values[lane] for name, values in row["metrics"].items() if values[lane] is not None}
            if not found:
                continue
            with one_sentence():
                if lane not in self._begun:
                    self._define(run, axes)
                    self._begun.add(lane)
                for step, note in self._notes.items():
                    run.log({"note": note}, step=step, commit=step < row["step"])
                run.log({**axes, **found}, step=row["step"], commit=True)
            self._keys.setdefault(lane, set()).update(found)
        self._notes = {}

    def _define(self, run: "wandb.Run", axes: dict[str, Any]) -> None:
        (budget,) = self._about["canonical"]["budget"]
        for axis in axes:
            run.define_metric(axis)
        run.define_metric("*", step_metric={"steps": "step"}.get(budget, budget))

    def finish(self, result: dict[str, Any]) -> int:
        """The summary is what the store says: no last metrics for a run that diverged."""
        runs = {self._about["runs"][lane]["run"]: run for lane, run in self.runs.items()}
        for (name, run), lane in zip(runs.items(), self.runs, strict=True):
            ended = result["runs"][name]
            with one_sentence():
                for key in self._keys.get(lane, ()):
                    if ended["metrics"].get(key) is None:
                        del run.summary[key]  # type: ignore[no-untyped-call]
                run.summary.update({k: v for k, v in ended.items() if k != "metrics" and v is not None})
        self._done(runs)
        self.runs = {}
        return len(runs)

    def close(self) -> None:
        """End runs that are not complete; they are written afresh next time."""
        for run in self.runs.values():
            with contextlib.suppress(Exception):
                run.finish(exit_code=1)
        self.runs = {}
