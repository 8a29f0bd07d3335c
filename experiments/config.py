"""From the words of a command line to runs: composed by Hydra, checked against the components' own fields."""

import copy
import dataclasses
import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from experiments import components, overrides, recording
from experiments.components import CONFIGS, ROOT
from experiments.spec import Budget, Experiment, Run, digest, with_lanes
from experiments.tasks.task import Task
from optim import settings
from optim.foreign import TorchOptimizer
from optim.settings import SettingError, nearest, setting


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
    record: str = setting("log", doc="when to evaluate: ends, log or every:K, on the axis of the budget")
    divergence_bound: float = setting(1e8, above=0.0, doc="a lane whose loss exceeds it is frozen as diverged")
    device: str = setting("cpu", doc="cpu, cuda or cuda:K")
    dtype: str = setting("float32", choices=("float32", "float64"), doc="type of data and parameters")
    store: str | None = setting(None, doc="folder of the runs (default: results/runs in the clone)")
    plan: bool = setting(False, doc="only say what would be run")
    checkpoint_seconds: float = setting(60.0, minimum=0.0, doc="time between checkpoints")


@dataclass(frozen=True)
class Request:
    """What one command asks for."""

    runs: list[Run]
    store: Path
    plan: bool
    checkpoint_seconds: float


def register() -> None:
    """Tell Hydra of the settings and of the components."""
    ConfigStore.instance().store(name="settings", node=dict(vars(Settings())))
    components.register()


def normalise(words: list[str]) -> list[str]:
    """Command-line words as Hydra needs them. Raises SettingError for an unknown key or choice."""
    with overrides.one_sentence():
        return overrides.normalise(words, settings.names(Settings))


def request(words: list[str]) -> Request:
    """What these overrides ask for, checked and with its data read. Raises SettingError or DataError."""
    return resolve(*composed(words))


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
        for value in OverridesParser.create().parse_overrides(values):
            if value.is_sweep_override():
                raise SettingError(
                    f"'{value.input_line}' gives several values: sweep over them with -m, or quote the text"
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


def resolve(config: DictConfig, chosen: Mapping[str, Any]) -> Request:
    """A composed configuration as runs. Raises SettingError or DataError for anything that cannot be run."""
    with overrides.one_sentence():
        values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    parts = {group: values.pop(group, None) for group in components.GROUPS}
    if parts["logger"] is not None:
        raise SettingError(f"logger must be none, there is no other yet, not {settings.short(parts['logger'])}")
    own: Settings = settings.build(Settings, values, "run")
    budget: BudgetSettings = settings.build(BudgetSettings, own.budget, "budget")
    experiment = Experiment(
        task=_shared(components.component("task", parts["task"])),
        optimizer=components.component("optimizer", parts["optimizer"]),
        batch_size=components.component("batch_size", parts["batch_size"]),
        schedule=components.component("schedule", parts["schedule"]),
        average=components.component("average", parts["average"]) if parts["average"] else None,
        probes={name: components.component("probe", node) for name, node in (parts["probe"] or {}).items()},
        budget=budget.resolve(),
        sampling=own.sampling,  # type: ignore[arg-type]
        record=recording.check(own.record),
        divergence_bound=own.divergence_bound,
        device=_device(own.device),
        dtype=own.dtype,
        choices={group: str(chosen[group]) for group in components.PACKAGES if group in chosen and group != "probe"},
    )
    seeds, hypers = _lanes(experiment, own)
    _verify(experiment)
    store = Path(own.store) if own.store else ROOT / "results" / "runs"
    return Request(with_lanes(experiment, seeds, hypers), store, own.plan, own.checkpoint_seconds)


def _device(name: str) -> str:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingError(f"device={name} is not a device: use cpu, cuda or cuda:K") from None
    if device.type not in ("cpu", "cuda"):
        raise SettingError(f"device={name} is not supported: use cpu, cuda or cuda:K")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"device={name} was asked for, and torch finds {torch.cuda.device_count()} GPUs: use device=cpu"
        )
    return name


_tasks: dict[str, Task] = {}


def _shared(task: Task) -> Task:
    """One object for equal tasks, so that their data are read once."""
    values = {name: getattr(task, name) for name in settings.names(task)}
    return _tasks.setdefault(digest([type(task).__qualname__, values, task.content()]), task)


def _verify(experiment: Experiment) -> None:
    """Read the data now, so that what is wrong with them is said before any work."""
    experiment.task.prepare(torch.device(experiment.device), getattr(torch, experiment.dtype))
    experiment.batch_size.refuse(experiment.task.size, experiment.sampling == "replacement")
    recording.points(experiment.record, experiment.whole_budget)  # refuses a budget of less than one full batch
    wanted = experiment.batch_size.needs(1)
    if wanted:
        raise SettingError(f"batch_size needs the statistics {', '.join(wanted)}, which this task does not offer")


def _lanes(experiment: Experiment, own: Settings) -> tuple[list[int], list[dict[str, float]]]:
    """Seeds, and the product of the hyper-parameter lists, each value checked like the setting it stands for."""
    optimizer = experiment.optimizer
    seeds, lists = [own.seed], {}
    for name, values in own.lanes.items():
        label = f"lanes.{name}"
        if not isinstance(values, list) or not values:
            raise SettingError(f"{label} must be a list of at least one value, such as {label}=[1,2], not {values!r}")
        if name == "seed":
            checked = [settings.build(Settings, {"seed": v}, "lanes").seed for v in values]
            seeds = checked
        elif isinstance(optimizer, TorchOptimizer):
            checked = [_torch_lane(optimizer, name, v) for v in values]
            lists[name] = checked
        else:
            valid = [*settings.names(optimizer, lane=True), "seed"]
            if name not in valid:
                why = " is a static setting: sweep it with -m instead" if name in settings.names(optimizer) else ""
                raise SettingError(f"'{label}'{why or ' is not a lane: ' + nearest(name, valid)}")
            checked = [getattr(settings.build(type(optimizer), {name: v}, "lanes"), name) for v in values]
            lists[name] = checked
        if len(set(checked)) < len(checked):
            raise SettingError(f"{label}={values} names a value twice")
    return seeds, [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]


def _torch_lane(optimizer: TorchOptimizer, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"lanes.{name} must hold numbers, not {value!r}")
    dataclasses.replace(optimizer, arguments={**optimizer.arguments, name: value})
    return float(value)
