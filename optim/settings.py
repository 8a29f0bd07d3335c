"""Declaring and checking settings: a component is a dataclass whose fields are its settings.

A field made by `setting` carries its range, its documentation and whether it may differ between lanes; `build` makes a
component from plain values and refuses what does not fit in one sentence.
"""

import copy
import dataclasses
import difflib
import math
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

_LONGEST, _SHOWN = 250, 8  # characters of a list of names in an error; names that are shown of a longer one


class SettingError(ValueError):
    """A setting that cannot be used. Its message is one sentence that says what to do."""


def setting(
    default: Any,
    *,
    doc: str,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
    lane: bool = False,
) -> Any:
    """Declare a dataclass field: `minimum` and `maximum` belong to the range, `above` and `below` do not.

    `lane=True` marks a hyper-parameter that may differ between the lanes of one computation and may follow a schedule.
    """
    metadata = {
        "doc": doc,
        "minimum": minimum,
        "above": above,
        "below": below,
        "maximum": maximum,
        "choices": choices,
        "lane": lane,
    }
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(*, doc: str, lane: bool = False) -> Any:
    """Declare a dataclass field that has no default: `build` refuses a component without it."""
    return dataclasses.field(metadata={"doc": doc, "lane": lane})


def names(component: Any, *, lane: bool | None = None) -> list[str]:
    """Names of the settings of a component class; with `lane`, only those that are (not) lane settings."""
    fields = dataclasses.fields(component)
    return [f.name for f in fields if lane is None or bool(f.metadata.get("lane")) == lane]


def nearest(name: str, valid: Iterable[str]) -> str:
    """The words that end an error about an unknown name: the nearest valid one, or all of them."""
    options = sorted(valid)
    close = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"choose from: {listed(options)}" if options else "there are none"


def listed(options: Iterable[str]) -> str:
    """Names for an error, not all of them if they are many."""
    names = list(options)
    shown = names if len(", ".join(names)) < _LONGEST else names[:_SHOWN]
    rest = f", ... ({len(names)} in all: python -m experiments.list)" if len(shown) < len(names) else ""
    return ", ".join(shown) + rest


def build(cls: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Make the component `cls` from plain values; `where` is what the user calls it, such as "optimizer".

    Raises SettingError for an unknown key, a wrong type or a value out of range.
    """
    types_of = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    checked = {}
    for key, value in values.items():
        if key not in fields:
            hint = getattr(cls, "elsewhere", {}).get(key) or nearest(key, fields)
            raise SettingError(f"{where} has no setting '{key}' ({where}.{key}): {hint}")
        checked[key] = check(value, types_of[key], fields[key].metadata, f"{where}.{key}")
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and field.init and name not in checked and "lane" in field.metadata:
            raise SettingError(f"{where}.{name} is not given ({field.metadata['doc']}): give {where}.{name}=...")
    try:
        return cls(**checked)
    except SettingError as problem:
        raise SettingError(f"{where}: {problem}") from None


def check(value: Any, kind: Any, limits: Mapping[str, Any], label: str) -> Any:
    """The value, coerced to its type and inside its range; raises SettingError, naming it by `label`."""
    value = _coerce(value, kind, label)
    if value is None:
        return None
    choices = limits.get("choices")
    if choices and value not in choices:
        raise SettingError(f"{label}={value} is not one of {', '.join(map(str, choices))}: {nearest(value, choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, above, below, high = (limits.get(k) for k in ("minimum", "above", "below", "maximum"))
        if not math.isfinite(value):
            raise SettingError(f"{label} must be a finite number, not {value}")
        if low is not None and value < low:
            raise SettingError(f"{label} must be at least {low}, not {value}")
        if above is not None and value <= above:
            raise SettingError(f"{label} must be greater than {above}, not {value}")
        if high is not None and value > high:
            raise SettingError(f"{label} must be at most {high}, not {value}")
        if below is not None and value >= below:
            raise SettingError(f"{label} must be less than {below}, not {value}")
    return value


def refuse_unordered(name: str, positions: list[Any]) -> None:
    """Raise SettingError unless positions in a run, such as the starts of stages, are above zero and increase."""
    if any(later <= earlier for earlier, later in zip([0, *positions], positions, strict=False)):
        raise SettingError(f"{name}={short(positions)} must be positions above 0 that increase")


_CALLED = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "text",
    dict: "a mapping",
    list: "a list",
}


def _coerce(value: Any, kind: Any, label: str) -> Any:
    if kind is Any:
        return value
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        options = typing.get_args(kind)
        if value is None and type(None) in options:
            return None
        wanted = [option for option in options if option is not type(None)]
        for option in wanted:
            try:
                return _coerce(value, option, label)
            except SettingError:
                continue
        called = " or ".join(_CALLED.get(typing.get_origin(o) or o, str(o)) for o in wanted)
        raise SettingError(f"{label} must be {called}, not {short(value)}")
    base = typing.get_origin(kind) or kind
    if base is list and isinstance(value, list | tuple):
        of = (*typing.get_args(kind), Any)[0]
        return [check(item, of, {}, f"{label}[{i}]") for i, item in enumerate(value)]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        raise SettingError(f"{label} must be a finite number, not one so large")
    if base is float and is_number:
        return float(value)
    if base is int and is_number and math.isfinite(value) and float(value).is_integer():
        return int(value)
    if base is not float and base is not int and isinstance(value, base):
        return value
    raise SettingError(f"{label} must be {_CALLED.get(base, base.__name__)}, not {short(value)}")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number (true and false are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def short(value: Any) -> str:
    """A value as it is shown in an error: not longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
