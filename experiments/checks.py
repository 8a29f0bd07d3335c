"""Checks of settings that studies share. Each raises SettingError with one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from optim.settings import SettingError, is_number


def distinct(settings: Any, *names: str) -> None:
    """Each of these settings names at least one thing, and none twice."""
    for name in names:
        values = getattr(settings, name)
        if not values or len({str(value) for value in values}) < len(values):
            raise SettingError(f"{name} must name at least one thing, and none twice, not {values}")


def strengths(values: Sequence[Any]) -> None:
    """Strengths of an l2 term: numbers from 0, or "1/n" for one over the number of examples."""
    for l2 in values:
        if l2 != "1/n" and not (is_number(l2) and l2 >= 0):
            raise SettingError(f'l2 must hold numbers from 0 or "1/n", not {l2!r}')


def strength(l2: Any, examples: int) -> float:
    """The number that a strength stands for on a set of so many examples."""
    return 1 / examples if l2 == "1/n" else float(l2)


def tasks(name: str, words_of: Mapping[str, Any]) -> None:
    """Each entry of the setting `name` is a list of overrides that begins with a task."""
    for key, words in words_of.items():
        if not isinstance(words, list) or not words or not str(words[0]).startswith("task="):
            raise SettingError(f"{name}: '{key}' must be a list of overrides that begins with task=, not {words}")


def methods(words_of: Mapping[str, Any], grid: Mapping[str, Any]) -> None:
    """Each method is a list of overrides and has the ends of a grid of learning rates."""
    for method, words in words_of.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise SettingError(f"methods: '{method}' must be a list of overrides, such as [optimizer=sgd]")
        ends = grid.get(method)
        if not (isinstance(ends, list) and len(ends) == 2 and all(map(is_number, ends)) and 0 < ends[0] <= ends[1]):
            raise SettingError(f"grid: '{method}' must have its first and last learning rate, 0 < first <= last")


def rates(ends: Sequence[float], factor: float) -> tuple[float, ...]:
    """The learning rates first, first * factor, ... up to the first one that is at least the last."""
    grid = [float(ends[0])]
    while grid[-1] < float(ends[1]):
        grid.append(grid[-1] * factor)
    return tuple(grid)
