"""A schedule from the words of a command line: a sequence, a number, a file of numbers or a scheduler of torch."""

import contextlib
import inspect
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from experiments.theory.schedule_numbers import Schedule
from optim import catalogue, settings
from optim.settings import SettingError, nearest

_SEQUENCES = "optim.sequences"
_ALLOWED = lr_scheduler.__name__
_REFUSED = {
    "LRScheduler": "it is the abstract base class",
    "ReduceLROnPlateau": "it follows a loss",
    "LambdaLR": "it needs a function",
    "MultiplicativeLR": "it needs a function",
    "SequentialLR": "it needs other schedulers",
    "ChainedScheduler": "it needs other schedulers",
}


def value_of(text: str, key: str) -> Any:
    """A value as YAML, with 1e-3 as a number too."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingError(f"{key}={settings.short(text)} cannot be read: write a number, text or [1, 2]") from None
    if isinstance(value, list):
        return [_number(item) for item in value]
    return _number(value)


def _number(value: Any) -> Any:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def read_schedule(name: str, word: str, own: Mapping[str, Any]) -> Schedule:
    """What `alpha=word alpha.key=value ...` says, where `name` is "alpha" and `own` the settings.

    Raises SettingError for an unknown name or setting and for a line of a file that is no number, and OSError for a
    file that cannot be read.
    """
    number = _number(word)
    path = Path(word)
    if not isinstance(number, float) and word.startswith("torch."):
        return _scheduler(name, word, own)
    if not isinstance(number, float) and path.suffix == "" and not path.is_file():
        made: Schedule = settings.build(catalogue.find(_SEQUENCES, word, name), own, name)
        return made
    if own:
        raise SettingError(f"{name}={word} has no settings: leave {name}.{next(iter(own))}= out")
    if not isinstance(number, float):
        return _numbers_of(path)
    if not math.isfinite(number):
        raise SettingError(f"{name} must be a finite number, not {word}")
    return number


def _numbers_of(path: Path) -> list[float]:
    """The numbers of a file, one a line; empty lines are left out."""
    found = []
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError:
        raise SettingError(f"{path} is no text: give a file with one number a line") from None
    for k, line in enumerate(lines, start=1):
        if line.strip():
            number = _number(line.strip())
            if not isinstance(number, float):
                raise SettingError(f"line {k} of {path} is {settings.short(line)}, and must be one number")
            found.append(number)
    if not found:
        raise SettingError(f"{path} is empty: give a file with one number a line")
    return found


def _scheduler(name: str, word: str, own: Mapping[str, Any]) -> LRScheduler:
    """A scheduler over an optimizer of its own, whose learning rate is the setting lr."""
    module, _, called = word.rpartition(".")
    if module != _ALLOWED:
        raise SettingError(f"{name}={word} is not allowed: name a class of {_ALLOWED}, or a sequence")
    classes = {k: c for k, c in vars(lr_scheduler).items() if isinstance(c, type) and issubclass(c, LRScheduler)}
    if called not in classes:
        raise SettingError(f"{_ALLOWED} has no scheduler '{called}': {nearest(called, set(classes) - set(_REFUSED))}")
    if called in _REFUSED:
        raise SettingError(f"{name}={word} cannot be used here: {_REFUSED[called]}")
    arguments = {key: value for key, value in own.items() if key != "lr"}
    keywords = {k: p for k, p in inspect.signature(classes[called]).parameters.items() if k != "optimizer"}
    for key in arguments:
        if key not in keywords:
            raise SettingError(f"{word} has no argument '{key}' ({name}.{key}): {nearest(key, ['lr', *keywords])}")
    missing = [k for k, p in keywords.items() if p.default is p.empty and k not in arguments]
    if missing:
        raise SettingError(f"{word} needs {' and '.join(f'{name}.{key}=' for key in missing)}")
    rate = settings.check(own.get("lr", 1.0), float, {"minimum": 0.0}, f"{name}.lr")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return classes[called](torch.optim.SGD([torch.zeros(1)], lr=rate, momentum=0.9), **arguments)
    except Exception as problem:  # whatever the class makes of them
        raise SettingError(f"{word} refuses its arguments {arguments}: {problem}") from None
