"""What a run is, and its identity.

An `Experiment` is everything that runs may share as lanes of one job; a `Run` adds its seed and hyper-parameters. The
identity of a run is a hash of everything that can change its numbers, and of nothing else.
"""

import functools
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from experiments.measure.probe import Probe
from experiments.order import Sampling
from experiments.tasks.task import Task
from optim import settings
from optim.average import Average
from optim.batch_size import BatchSizeRule
from optim.foreign import TorchOptimizer
from optim.rule import Rule
from optim.schedule import Schedule
from optim.sequence import Sequence
from optim.settings import SettingError
from optim.wrapped import Wrapped
from optim.wrapper import Wrapper

LastBatch = Literal["cut", "even"]
ENGINE_VERSION = 1  # raised when the loop itself changes results


def fitted(size: int, left: int, last_batch: LastBatch) -> int:
    """The size of a batch when so many examples of the budget are left: what is left, if that is less.

    With last_batch="even" the last two batches are equal instead, so that none is tiny: an example alone can undo the
    steps of a method that has seen large batches only.
    """
    if last_batch == "even" and size < left < 2 * size:
        return -(-left // 2)
    return min(size, left)


@dataclass(frozen=True)
class Budget:
    """How long a run lasts: an amount on one axis."""

    axis: Literal["steps", "examples", "seconds"]
    amount: float


@dataclass(frozen=True, eq=False)
class Experiment:
    """A task, a method and a protocol: all of a run but its seed and its lane hyper-parameters.

    `choices` are the names that the user chose the parts by; they are shown and never hashed. Nor is `memory`, in MiB,
    which decides in how many parts a batch is worked through, and with it the last digits.
    """

    task: Task
    optimizer: Rule | TorchOptimizer
    batch_size: BatchSizeRule
    schedule: Schedule
    budget: Budget
    average: Average | None = None
    wrappers: dict[str, Wrapper] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    sampling: Sampling = "replacement"
    record: str = "log"
    divergence_bound: float = 1e8
    device: str = "cpu"
    dtype: str = "float32"
    last_batch: LastBatch = "cut"
    memory: int = 1024
    choices: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def canonical(self) -> dict[str, Any]:
        """The part of the identity that its runs share: plain values, paths replaced by digests of their content."""
        plan = {} if self.last_batch == "cut" else {"last_batch": self.last_batch}
        return {
            **plan,
            "engine": ENGINE_VERSION,
            "task": {**_described(self.task), **self.task.content()},
            "optimizer": _described(self.optimizer, without=set(self.hyper())),
            "batch_size": {**_described(self.batch_size), **self.batch_size.content()},
            "wrappers": [[name, _described(w, without=set(w.hyper()))] for name, w in self.wrappers.items()],
            "schedule": _described(self.schedule),
            "average": _described(self.average) if self.average else None,
            "probes": {name: _described(probe) for name, probe in sorted(self.probes.items())},
            "sampling": None if self.batch_size.whole or self.task.size is None else self.sampling,
            "budget": {self.budget.axis: float(self.budget.amount)},
            "record": self.record,
            "divergence_bound": float(self.divergence_bound),
            "device": torch.device(self.device).type,
            "dtype": self.dtype,
        }

    @functools.cached_property
    def key(self) -> str:
        """Equal for runs that may be lanes of one job."""
        return digest(self.canonical)

    def hyper(self) -> dict[str, float]:
        """The lane hyper-parameters with their values."""
        if isinstance(self.optimizer, TorchOptimizer):
            numbers = self.optimizer.arguments.items()
            return {k: float(v) for k, v in numbers if isinstance(v, int | float) and not isinstance(v, bool)}
        return self.rule.hyper()

    @functools.cached_property
    def rule(self) -> Rule | Wrapped:
        """The update rule with its wrappers, if there are any."""
        assert isinstance(self.optimizer, Rule)
        return Wrapped(rule=self.optimizer, wrappers=self.wrappers) if self.wrappers else self.optimizer

    @functools.cached_property
    def whole_budget(self) -> Budget:
        """The budget, in whole passes where every step takes all the data; raises SettingError if there is none."""
        size = self.task.size
        if not self.batch_size.whole or self.budget.axis != "examples" or size is None:
            return self.budget
        passes = self.budget.amount // size
        if passes < 1:
            raise SettingError(f"budget.examples={self.budget.amount:g} is less than one full batch of {size} examples")
        return Budget("examples", passes * size)

    @property
    def lanes_allowed(self) -> bool:
        """Whether several runs can share one computation, and gain by it."""
        together = self.task.strategies[torch.device(self.device).type] != "sequential"
        own = isinstance(self.optimizer, Rule)
        return self.batch_size.shared and own and together and self.budget.axis != "seconds"

    def columns(self) -> dict[str, Any]:
        """The configuration, flat, as the columns of a table."""
        flat: dict[str, Any] = {**self.choices}
        parts: dict[str, Any] = {"task": self.task, "optimizer": self.optimizer, "batch_size": self.batch_size}
        if isinstance(self.optimizer, Rule):
            parts |= self.optimizer.sequences()
        parts |= {
            "schedule": self.schedule,
            "average": self.average,
            **{f"wrapper.{k}": w for k, w in self.wrappers.items()},
            **{f"probe.{k}": p for k, p in self.probes.items()},
        }
        for name, part in parts.items():
            if part is not None:
                flat.setdefault(name, type(part).__name__)
                flat |= {f"{name}.{key}": value for key, value in _values(part).items() if key != "arguments"}
        if isinstance(self.optimizer, TorchOptimizer):
            arguments = self.optimizer.arguments.items()
            flat |= {f"optimizer.arguments.{k}": v for k, v in arguments if k not in self.hyper()}
        for key in ("sampling", "record", "divergence_bound", "device", "dtype"):
            flat[key] = getattr(self, key)
        return {**flat, f"budget.{self.budget.axis}": self.budget.amount}


@dataclass(frozen=True, eq=False)
class Run:
    """One run: an experiment, a seed, and a value for every lane hyper-parameter."""

    experiment: Experiment
    seed: int
    hyper: dict[str, float]

    @functools.cached_property
    def id(self) -> str:
        """The identity: 20 hexadecimal digits."""
        hyper = {name: float(value) for name, value in self.hyper.items()}
        return digest({"experiment": self.experiment.key, "seed": self.seed, "hyper": hyper})[:20]

    def columns(self) -> dict[str, Any]:
        """The configuration of the run, flat."""
        own = {hyper_column(self.hyper_prefix, k): v for k, v in self.hyper.items()}
        return {**self.experiment.columns(), **own, "seed": self.seed}

    @property
    def hyper_prefix(self) -> str:
        """Where the names of lane hyper-parameters stand in the configuration."""
        return "optimizer.arguments." if isinstance(self.experiment.optimizer, TorchOptimizer) else "optimizer."


def hyper_column(prefix: str, name: str) -> str:
    """The column of a lane hyper-parameter: those of wrappers and sequences have their whole name."""
    return name if "." in name else prefix + name


def digest(value: Any) -> str:
    """sha256 of a value made of plain types, in hexadecimal; independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _values(part: Any) -> dict[str, Any]:
    """The settings of a component but for the sequences, which are components of their own."""
    values = {name: getattr(part, name) for name in settings.names(part)}
    return {name: value for name, value in values.items() if not isinstance(value, Sequence)}


def _described(part: Any, without: set[str] | None = None) -> dict[str, Any]:
    """A component as plain values: its class, its version and its settings."""
    values = {k: v for k, v in _values(part).items() if k not in (without or set())}
    if isinstance(part, TorchOptimizer):
        values["arguments"] = {k: v for k, v in part.arguments.items() if k not in (without or set())}
    if isinstance(part, Rule):
        values |= {k: _described(s, without=set(s.hyper())) for k, s in part.sequences().items()}
    kind = f"{type(part).__module__}.{type(part).__qualname__}"
    return {"is": kind, "version": part.version, **values}


def with_lanes(experiment: Experiment, seeds: list[int], hypers: list[dict[str, float]]) -> list[Run]:
    """The product of seeds and hyper-parameter values; values that are not given are the experiment's own."""
    base = experiment.hyper()
    hypers = [{name: float(value) for name, value in hyper.items()} for hyper in hypers]
    return [Run(experiment, seed, {**base, **hyper}) for seed in seeds for hyper in hypers]
