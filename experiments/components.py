"""Components by name: what each group of the configuration can be chosen from, and how a node becomes an object."""

import dataclasses
import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from optim import catalogue, expand_aliases, settings
from optim.foreign import ALLOWED, TorchOptimizer
from optim.rule import Rule
from optim.sequence import Sequence
from optim.settings import SettingError, nearest

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"

# Where the components of each group live. The files there are the choices, besides the YAML files in configs/<group>/.
PACKAGES = {
    "task": "experiments.tasks",
    "optimizer": "optim.rules",
    "batch_size": "optim.batch_sizes",
    "schedule": "optim.schedules",
    "alpha": "optim.sequences",
    "beta": "optim.sequences",
    "theta": "optim.sequences",
    "average": "optim.averages",
    "wrapper": "optim.wrappers",
    "probe": "experiments.measure.probes",
    "launcher": "experiments.launchers",
    "logger": "experiments.loggers",
}
GROUPS = tuple(PACKAGES)
SEVERAL = ("wrapper", "probe")  # chosen as a list, each under its own name
SEQUENCES = ("alpha", "beta", "theta")  # parts of an optimizer that has them, in place of its own
_EXAMPLES = {"wrapper": "wrapper.box.upper=2", "probe": "probe.top_eigenvalue.every=4"}
_OPTIONAL = ("average", "launcher", "logger", *SEQUENCES)  # may be "none"


def choices(group: str) -> list[str]:
    """The names that a group can be chosen by. A task always has a YAML, which names its data."""
    folder = CONFIGS / group
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    own = set(catalogue.names(PACKAGES[group])) if group in PACKAGES and group != "task" else set()
    return sorted(files | own | ({"none"} if group in _OPTIONAL else set()))


@functools.cache
def register() -> None:
    """Tell Hydra of every component that has no YAML of its own; once in a process."""
    store = ConfigStore.instance()
    for group in GROUPS:
        for name in choices(group):
            if name == "none":
                store.store(group=group, name=name, node={group: None}, package="_global_")
            elif not (CONFIGS / group / f"{name}.yaml").exists():
                package = f"{group}.{name}" if group in SEVERAL else group
                store.store(group=group, name=name, node={"_target_": f"{PACKAGES[group]}.{name}"}, package=package)


def register_torch_class(path: str) -> None:
    """Make the import path of a torch.optim class a name that the optimizer can be chosen by."""
    node = {"_target_": f"{TorchOptimizer.__module__}.{TorchOptimizer.__name__}", "path": path}
    ConfigStore.instance().store(group="optimizer", name=path, node=node, package="optimizer")


def is_torch_class(name: str) -> bool:
    """Whether a choice of optimizer is an import path."""
    return "." in name


def component(group: str, node: Any, name: str | None = None) -> Any:
    """The object that a node of the configuration describes: `_target_` and settings; `name` is its name in a list.

    Raises SettingError for a target outside the group's own package, an unknown key or a bad value.
    """
    if not isinstance(node, dict) and name:
        raise SettingError(f"'{group}.{name}' is no setting: give {group}.<name>.<setting>, such as {_EXAMPLES[group]}")
    if not isinstance(node, dict):
        raise SettingError(f"{group} must be one of {settings.listed(choices(group))} ({group}=...), not {node!r}")
    values = dict(node)
    target = values.pop("_target_", None)
    if not isinstance(target, str) and name:
        raise SettingError(f"{group} '{name}' is not chosen: give {group}=[{name}] too")
    if not isinstance(target, str):
        raise SettingError(f"no {group} is chosen: give {group}=... with one of {settings.listed(choices(group))}")
    if group == "optimizer" and target.rpartition(".")[0] in ALLOWED:
        values, target = {**values, "path": target}, f"{TorchOptimizer.__module__}.{TorchOptimizer.__name__}"
    cls = component_class(group, target)
    if issubclass(cls, Rule):
        values = _with_sequences(cls, expand_aliases(cls, values, group))
    return settings.build(cls, values, f"{group}.{name}" if name else group)


def optimizer(node: Any, chosen: Mapping[str, Any]) -> Rule | TorchOptimizer:
    """The optimizer that a node describes, with the nodes of the sequences that were chosen in place of its own.

    Raises SettingError as `component` does, and for a sequence that the optimizer does not have.
    """
    given = {name: part for name, part in chosen.items() if part is not None}
    if given and isinstance(node, dict):
        cls = _class_of(node)
        for name in given:
            if cls is not None and name not in _sequences_of(cls):
                called = str(node.get("path", node["_target_"])).rpartition(".")[2]
                raise SettingError(f"the optimizer {called} has no {name}: leave {name} out, or use generic_adam")
        node = {**node, **{name: _merged(node.get(name), part) for name, part in given.items()}}
    made: Rule | TorchOptimizer = component("optimizer", node)
    return made


def _class_of(node: Mapping[str, Any]) -> type[Any] | None:
    target = node.get("_target_")
    if not isinstance(target, str):
        return None
    return TorchOptimizer if target.rpartition(".")[0] in ALLOWED else component_class("optimizer", target)


def _sequences_of(cls: type[Any]) -> dict[str, Sequence]:
    """The settings of an optimizer class that are sequences, with their defaults."""
    return {field.name: field.default for field in dataclasses.fields(cls) if isinstance(field.default, Sequence)}


def _merged(own: Any, given: Any) -> Any:
    """The node of a sequence: the one that was chosen, or the optimizer's own with other settings."""
    if isinstance(given, dict) and "_target_" not in given and isinstance(own, dict):
        return {**own, **given}
    return given


def _with_sequences(cls: type[Rule], values: dict[str, Any]) -> dict[str, Any]:
    """Nodes of sequences made into objects; one without a target has other settings of the rule's default."""
    made = dict(values)
    for name, own in _sequences_of(cls).items():
        node = values.get(name, own)
        if isinstance(node, dict):
            chosen = "_target_" in node
            made[name] = component(name, node) if chosen else settings.build(type(own), {**vars(own), **node}, name)
        elif not isinstance(node, Sequence):
            raise SettingError(f"{name} is a sequence, not {node!r}: choose one, such as {name}=constant {name}.at=0.9")
    return made


def component_class(group: str, target: str) -> type[Any]:
    """The class of a target: "package.module", or "package.module.Class"."""
    own = PACKAGES[group]
    if group == "optimizer" and target == f"{TorchOptimizer.__module__}.{TorchOptimizer.__name__}":
        return TorchOptimizer
    if not target.startswith(f"{own}."):
        also = f", or a class of {' or '.join(ALLOWED)}" if group == "optimizer" else ""
        raise SettingError(f"{group} target '{target}' is not allowed: it must be in {own}{also}")
    name, _, class_name = target[len(own) + 1 :].partition(".")
    if name not in catalogue.names(own):
        raise SettingError(f"{group} target '{target}' does not exist: {nearest(name, catalogue.names(own))}")
    if not class_name:
        return catalogue.only_class(f"{own}.{name}")
    cls = vars(importlib.import_module(f"{own}.{name}")).get(class_name)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == f"{own}.{name}"):
        raise SettingError(f"{group} target '{target}' is not a component: {own}.{name} defines no such dataclass")
    return cls
