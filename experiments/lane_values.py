"""The `lanes.` settings: lists of seeds and of hyper-parameters, whose product is run side by side."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from experiments.spec import Experiment
from optim import settings
from optim.foreign import TorchOptimizer
from optim.settings import SettingError, nearest, setting

Hypers = list[dict[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Seed:
    seed: int = setting(0, minimum=0, doc="one seed")


def expand(experiment: Experiment, seed: int, lanes: Mapping[str, Any]) -> tuple[list[int], Hypers]:
    """Seeds, and the product of the hyper-parameter lists; every value is checked like the setting that it stands for.

    A hyper-parameter of a wrapper has its whole name: `lanes.wrapper.box.upper=[1,2]`.
    """
    seeds, lists = [seed], {}
    for name, values in _flat(lanes):
        label = f"lanes.{name}"
        if not isinstance(values, list) or not values:
            raise SettingError(f"{label} must be a list of at least one value, such as {label}=[1,2], not {values!r}")
        checked = [_value(experiment, name, value) for value in values]
        if len(set(checked)) < len(checked):
            raise SettingError(f"{label}={values} names a value twice")
        if name == "seed":
            seeds = [int(value) for value in checked]
        else:
            lists[name] = checked
    hypers = [dict(zip(lists, row, strict=True)) for row in itertools.product(*lists.values())]
    for name, wrapper in experiment.wrappers.items():  # two values may be fine each, and not together
        prefix = f"wrapper.{name}."
        for hyper in hypers:
            own: dict[str, Any] = {k.removeprefix(prefix): v for k, v in hyper.items() if k.startswith(prefix)}
            settings.build(type(wrapper), {**_values(wrapper), **own}, f"lanes.wrapper.{name}")
    return seeds, hypers


def _flat(lanes: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested names joined by dots."""
    parts = [_flat(v, f"{prefix}{k}.") if isinstance(v, dict) else [(f"{prefix}{k}", v)] for k, v in lanes.items()]
    return list(itertools.chain.from_iterable(parts))


def _value(experiment: Experiment, name: str, value: Any) -> float:
    if name == "seed":
        return settings.build(_Seed, {"seed": value}, "lanes").seed  # type: ignore[no-any-return]
    if isinstance(experiment.optimizer, TorchOptimizer):
        return _torch_value(experiment.optimizer, name, value)
    own: dict[str, Any] = dict.fromkeys(settings.names(experiment.optimizer), experiment.optimizer)
    own |= {f"wrapper.{k}.{key}": w for k, w in experiment.wrappers.items() for key in settings.names(w)}
    own |= {f"{k}.{key}": s for k, s in experiment.optimizer.sequences().items() for key in settings.names(s)}
    valid = [*experiment.hyper(), "seed"]
    if name not in valid:
        why = " is a static setting: sweep it with -m instead" if name in own else ""
        raise SettingError(f"'lanes.{name}'{why or ' is not a lane: ' + nearest(name, valid)}")
    part, key = own[name], name.rpartition(".")[2]
    field = next(f for f in dataclasses.fields(part) if f.name == key)
    return float(settings.check(value, float, field.metadata, f"lanes.{name}"))


def _torch_value(optimizer: TorchOptimizer, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"lanes.{name} must hold numbers, not {value!r}")
    dataclasses.replace(optimizer, arguments={**optimizer.arguments, name: value})
    return float(value)


def _values(component: Any) -> dict[str, Any]:
    return {name: getattr(component, name) for name in settings.names(component)}
