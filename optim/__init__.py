"""Update rules, wrappers, schedules and batch-size rules: pure functions of tensors.

`rule("adagrad", eps=1e-8)` gives the rule itself; `torch_optimizer("adagrad")` gives it as a `torch.optim.Optimizer`.
`Wrapped(rule("adagrad"), {"clip_norm": wrapper("clip_norm")})` is a rule with a wrapper around it.
"""

from typing import Any

from optim import catalogue, settings
from optim.rule import Rule
from optim.sequence import Sequence
from optim.settings import SettingError
from optim.wrapped import Wrapped
from optim.wrapper import Wrapper

__all__ = [
    "Rule",
    "Sequence",
    "SettingError",
    "Wrapped",
    "Wrapper",
    "names",
    "rule",
    "sequence",
    "sequence_names",
    "torch_optimizer",
    "wrapper",
    "wrapper_names",
]


def names() -> list[str]:
    """Names of all update rules."""
    return catalogue.names("optim.rules")


def rule(name: str, **values: Any) -> Rule:
    """The update rule `name` (see `names`) with these settings. Raises SettingError for a bad name, key or value."""
    cls = catalogue.find("optim.rules", name, "optimizer")
    made: Rule = settings.build(cls, expand_aliases(cls, values), name)
    return made


def expand_aliases(cls: type[Rule], values: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Replace keywords of `torch.optim` that stand for several settings, such as betas=(0.9, 0.999)."""
    expanded = dict(values)
    for alias, targets in cls.aliases.items():
        if alias in expanded:
            parts = expanded.pop(alias)
            for target in targets:
                if target in values:
                    raise SettingError(f"{where or cls.__name__}: {alias} stands for {target}, so give one of the two")
            if not isinstance(parts, list | tuple) or len(parts) != len(targets):
                raise SettingError(f"{where or cls.__name__}: {alias} must be {len(targets)} numbers, not {parts!r}")
            expanded.update(zip(targets, parts, strict=True))
    return expanded


def wrapper_names() -> list[str]:
    """Names of all wrappers."""
    return catalogue.names("optim.wrappers")


def wrapper(name: str, **values: Any) -> Wrapper:
    """The wrapper `name` (see `wrapper_names`) with these settings. Raises SettingError as `rule` does."""
    made: Wrapper = settings.build(catalogue.find("optim.wrappers", name, "wrapper"), values, name)
    return made


def sequence_names() -> list[str]:
    """Names of all sequences."""
    return catalogue.names("optim.sequences")


def sequence(name: str, **values: Any) -> Sequence:
    """The sequence `name` (see `sequence_names`) with these settings. Raises SettingError as `rule` does."""
    made: Sequence = settings.build(catalogue.find("optim.sequences", name, "sequence"), values, name)
    return made


def torch_optimizer(name: str) -> type[Any]:
    """The update rule `name` as a class of `torch.optim.Optimizer`: `torch_optimizer("adagrad")(params, lr=0.1)`."""
    from optim.torch_adapter import optimizer_class

    return optimizer_class(name, catalogue.find("optim.rules", name, "optimizer"))
