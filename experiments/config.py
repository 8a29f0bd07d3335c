"""From the words of a command line to runs: composed by Hydra, checked against the components' own fields."""

import copy
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf, open_dict

from experiments import batch_statistics, components, distributed, lane_values, overrides, recording
from experiments.components import CONFIGS, ROOT
from experiments.lanes import Lanes
from experiments.launcher import Launcher
from experiments.logger import Logger
from experiments.microbatches import MEBIBYTE, a_few
from experiments.spec import Budget, Experiment, Run, digest, with_lanes
from experiments.step_gradient import StepGradient
from experiments.tasks.task import Task
from optim import settings
from optim.foreign import TorchOptimizer
from optim.settings import SettingError, setting


@dataclass(kw_only=True)
class BudgetSettings:
    """How long a run lasts; name one."""

    steps: int | None = setting(None, minimum=1, doc="number of updates")
    examples: int | None = setting(None, minimum=1, doc="number of examples seen; the last batch is cut to it")
    seconds: float | None = setting(None, above=0.0, doc="of training; for people in a hurry, never for a comparison")

    def resolve(self) -> Budget:
        """The one that is named; 1,000 steps if none is."""
        named = {k: v for k, v in vars(self).items() if v is not None}
        if len(named) > 1:
            raise SettingError(f"give one budget, not {len(named)} ({', '.join('budget.' + k for k in named)})")
        axis, amount = next(iter(named.items()), ("steps", 1000))
        return Budget(axis, float(amount))  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Settings:
    """The settings of a run that belong to no component."""

    seed: int = setting(0, minimum=0, doc="one seed; everything random is derived from it")
    lanes: dict[str, Any] = setting({}, doc="lists of hyper-parameters or seeds, run side by side: lanes.lr=[0.1,1]")
    budget: dict[str, Any] = field(default_factory=lambda: dict(vars(BudgetSettings())), metadata={"doc": "how long"})
    sampling: str = setting("replacement", choices=("replacement", "reshuffled"), doc="how batches are drawn")
    last_batch: str = setting(
        "cut",
        choices=("cut", "even"),
        doc="cut it to what the budget leaves, or spread that evenly over the last two",
    )
    record: str = setting("log", doc="when to evaluate: ends, log or every:K, on the axis of the budget")
    divergence_bound: float = setting(1e8, above=0.0, doc="a lane whose loss exceeds it is frozen as diverged")
    device: str = setting("cpu", doc="cpu, cuda or cuda:K")
    dtype: str = setting("float32", choices=("float32", "float64"), doc="type of data and parameters")
    store: str | None = setting(None, doc="folder of the runs (default: results/runs in the clone)")
    plan: bool = setting(False, doc="only say what would be run")
    memory: int = setting(1024, minimum=1, doc="MiB, about, for a step's examples; larger batches are worked in parts")
    checkpoint_seconds: float = setting(60.0, minimum=0.0, doc="time between checkpoints")


@dataclass(frozen=True)
class Request:
    """What one command asks for."""

    runs: list[Run]
    store: Path
    plan: bool
    checkpoint_seconds: float
    launcher: Launcher | None = None
    logger: Logger | None = None


@functools.cache
def register() -> None:
    """Tell Hydra of the settings and of the components; once in a process."""
    ConfigStore.instance().store(name="settings", node=dict(vars(Settings())))
    components.register()


def normalise(words: list[str]) -> list[str]:
    """Command-line words as Hydra needs them. Raises SettingError for an unknown key or choice."""
    with overrides.one_sentence():
        return overrides.normalise(words, settings.names(Settings))


def request(words: list[str], task: Task | None = None, *, several: bool = False) -> Request:
    """What these overrides ask for, checked and with its data read. Raises SettingError or DataError.

    task: an object that takes the place of the configured one. several: they are one job of a multirun, and so may
    have a launcher.
    """
    if task is not None and any(word.lstrip("+~").startswith("task") for word in words):
        raise SettingError("the task is given twice: as a word (task=...) and as an object")
    asked = resolve(*composed(words), task)
    if asked.launcher is not None and not several:
        raise SettingError(
            "launcher= runs the jobs of a multirun beside each other: add -m (python -m experiments.run)"
        )
    return asked


def composed(words: list[str]) -> tuple[DictConfig, Mapping[str, str]]:
    """The configuration of these overrides as Hydra composes it, and the names that its parts were chosen by.

    Choices of parts are composed by Hydra, once; plain values are then set, as Hydra sets them.
    """
    register()
    normal = normalise(words)
    with overrides.one_sentence():
        values = [w for w in normal if overrides.is_value(w)]
        base, chosen = _base(tuple(w for w in normal if w not in values))
        config = copy.deepcopy(base)
        for value in map(overrides.parsed, values):
            if value.is_sweep_override():
                raise SettingError(
                    f"'{str(value.input_line).lstrip('+')}' gives several values: sweep over them with -m, give a list "
                    "such as [0,1,2] where one is meant, or quote the text"
                )
            content = value.value()
            OmegaConf.update(config, value.key_or_group, content, merge=isinstance(content, dict), force_add=True)
    return config, chosen


@functools.lru_cache(maxsize=256)
def _base(normal: tuple[str, ...]) -> tuple[DictConfig, Mapping[str, str]]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("run", overrides=list(normal), return_hydra_config=True)
    chosen = dict(config.hydra.runtime.choices)
    with open_dict(config):
        del config["hydra"]
    return config, chosen


def resolve(config: DictConfig, chosen: Mapping[str, Any], task: Task | None = None) -> Request:
    """A composed configuration as runs, with `task` in place of its own if one is given.

    Raises SettingError or DataError for anything that cannot be run.
    """
    with overrides.one_sentence():
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    parts = {group: values.pop(group, None) for group in components.GROUPS}
    own: Settings = settings.build(Settings, values, "run")
    budget: BudgetSettings = settings.build(BudgetSettings, own.budget, "budget")
    launcher = components.component("launcher", parts["launcher"]) if parts["launcher"] else None
    logger = components.component("logger", parts["logger"]) if parts["logger"] else None
    if task is not None:
        chosen = {**chosen, "task": getattr(task, "name", type(task).__name__)}
    distributed.refuse(budget.resolve().axis, launched=launcher is not None)
    experiment = Experiment(
        task=_shared(components.component("task", parts["task"])) if task is None else task,
        optimizer=components.optimizer(parts["optimizer"], {name: parts[name] for name in components.SEQUENCES}),
        batch_size=components.component("batch_size", parts["batch_size"]),
        schedule=components.component("schedule", parts["schedule"]),
        average=components.component("average", parts["average"]) if parts["average"] else None,
        wrappers={k: components.component("wrapper", node, k) for k, node in (parts["wrapper"] or {}).items()},
        probes={k: components.component("probe", node, k) for k, node in (parts["probe"] or {}).items()},
        budget=budget.resolve(),
        sampling=own.sampling,  # type: ignore[arg-type]
        last_batch=own.last_batch,  # type: ignore[arg-type]
        record=recording.check(own.record),
        divergence_bound=own.divergence_bound,
        device=_device(own.device, here=launcher is None or not launcher.remote),
        dtype=own.dtype,
        memory=own.memory,
        choices={group: str(chosen[group]) for group in _CHOSEN if group in chosen},
    )
    seeds, hypers = lane_values.expand(experiment, own.seed, own.lanes)
    if launcher is not None:
        launcher.refuse(experiment.device)
    _verify(experiment, torch.device("cpu" if launcher is not None and launcher.remote else experiment.device))
    _try_sequences(experiment, hypers)
    store = Path(own.store) if own.store else ROOT / "results" / "runs"
    return Request(with_lanes(experiment, seeds, hypers), store, own.plan, own.checkpoint_seconds, launcher, logger)


def _device(name: str, here: bool) -> str:
    """The name of a device that torch has, at least if the runs are computed `here`."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingError(f"device={name} is not a device: use cpu, cuda or cuda:K") from None
    if device.type not in ("cpu", "cuda"):
        raise SettingError(f"device={name} is not supported: use cpu, cuda or cuda:K")
    if here and device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"device={name} was asked for, and torch finds {torch.cuda.device_count()} GPUs: use device=cpu"
        )
    distributed.take_gpu(device)
    return name


_NO_COLUMN = (*components.SEVERAL, *components.SEQUENCES, "launcher", "logger")
_CHOSEN = [group for group in components.PACKAGES if group not in _NO_COLUMN]  # columns of tables
_tasks: dict[str, Task] = {}


def _shared(task: Task) -> Task:
    """One object for equal tasks, so that their data are read once."""
    values = {name: getattr(task, name) for name in settings.names(task)}
    return _tasks.setdefault(digest([type(task).__qualname__, values, task.content()]), task)


def _verify(experiment: Experiment, device: torch.device) -> None:
    """Read the data now, so that what is wrong with them is said before any work."""
    experiment.task.prepare(device, getattr(torch, experiment.dtype))
    experiment.batch_size.refuse(experiment.task.size, experiment.sampling == "replacement")
    recording.points(experiment.record, experiment.whole_budget)  # refuses a budget of less than one full batch
    size = experiment.batch_size.constant(experiment.task.size)
    distributed.refuse_idle(size, experiment.task.size)
    experiment.schedule.refuse(experiment.whole_budget.axis, experiment.whole_budget.amount, size)
    if experiment.wrappers and isinstance(experiment.optimizer, TorchOptimizer):
        raise SettingError(
            f"wrapper=[{','.join(experiment.wrappers)}] goes around an optimizer of this repository, not around a "
            "class of torch.optim"
        )
    _try_statistics(experiment)


def _try_sequences(experiment: Experiment, hypers: list[dict[str, float]]) -> None:
    """Raise SettingError if a number by step cannot be used at some step of the budget, as far as that is known."""
    rule = experiment.optimizer
    if isinstance(rule, TorchOptimizer) or not rule.sequences():
        return
    budget, size = experiment.whole_budget, experiment.batch_size.constant(experiment.task.size)
    steps = budget.amount if budget.axis == "steps" else math.ceil(budget.amount / size) if size else 1
    shapes = [{**experiment.hyper(), **hyper, "lr": 1.0} for hyper in hypers]
    for hyper in {repr(sorted(h.items())): h for h in shapes}.values():
        rule.refuse(hyper, int(steps) if budget.axis != "seconds" else 1)


def _try_statistics(experiment: Experiment) -> None:
    """Raise SettingError if the batch-size rule asks for what the task's gradients do not have."""
    names, task = experiment.batch_size.statistics(), experiment.task
    unknown = [name for name in names if name not in batch_statistics.NAMES]
    if unknown:
        raise SettingError(f"batch_size needs the statistics {', '.join(unknown)}, which are not known")
    if not names:
        return
    start = {name: p.to(*task.last_prepared) for name, p in task.init().items()}
    lanes = Lanes([start], 1)
    draws = a_few(task, 2 * experiment.batch_size.parts, lanes.flat.device)
    draws = torch.cat([draws, draws])[: max(2, len(draws))]  # there may be one example only
    try:
        step = StepGradient(task, lanes, experiment.batch_size, 1, experiment.memory * MEBIBYTE, distributed.ALONE)
        step.measured(lanes.params, draws, len(draws), names)
    except (SettingError, torch.OutOfMemoryError):
        raise
    except Exception as problem:  # whatever the task makes of it
        said = " ".join(str(problem).split()) or type(problem).__name__
        raise SettingError(
            f"the gradients of single examples, which this batch_size needs, cannot be had for this task ({said}): use "
            'batch_size.estimate="between micro-batches", or a batch_size that does not look at gradients'
        ) from problem
