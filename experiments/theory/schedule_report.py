"""What a check of schedules reports, and how it reads exponents off numbers near the horizon."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Ours, fixed before any result: an exponent of at most this size is taken for 0.
TOLERANCE = 0.01
OVERFLOW = "its numbers leave the range of double precision"


@dataclass(frozen=True)
class Item:
    """One condition. numbers: what the verdict rests on; None is infinite, or too large for double precision.

    fitted: the exponent at the horizon, of what `name` says, None where there is none; exact: in the limit, from the
    formulas, and in_the_limit whether they pass, None where they are not known. first_violation: the first step that is
    against it, where there is one.
    """

    name: str
    passed: bool
    sentence: str
    numbers: dict[str, float | None]
    fitted: float | None = None
    exact: float | None = None
    first_violation: int | None = None
    remark: str = ""
    in_the_limit: bool | None = None


@dataclass(frozen=True)
class Conditions:
    """The conditions of one paper, where they come from (with the mark of its page), and the verdict in words."""

    name: str
    source: str
    items: tuple[Item, ...]
    sentence: str

    @property
    def passed(self) -> bool:
        """Whether all of them hold."""
        return all(item.passed for item in self.items)


@dataclass(frozen=True)
class Report:
    """All conditions. alpha_exponent and theta_exponent: a and b of alpha_t like t^-a and 1 - theta_t like t^-b, fitted
    at the horizon whether they are powers or not; None where a stretch near it has only zeros or too large numbers.
    """

    horizon: int
    alpha_exponent: float | None
    theta_exponent: float | None
    conditions: tuple[Conditions, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        whole = dataclasses.asdict(self)
        for kept, conditions in zip(whole["conditions"], self.conditions, strict=True):
            kept["passed"] = conditions.passed
        return whole


def exponent(times: Sequence[float], means: Sequence[float]) -> float | None:
    """The a of means like t^-a: the median slope over all pairs, which a few odd ones do not move (Theil and Sen). None
    if one of the means is 0 or not finite.
    """
    values = np.asarray(means)
    if not ((values > 0) & np.isfinite(values)).all():
        return None
    return falling(times, np.log(values))


def falling(times: Sequence[float], logs: Any) -> float | None:
    """The same of their logs."""
    if not np.isfinite(logs).all():
        return None
    values, at = np.asarray(logs), np.log(times)
    first, second = np.triu_indices(len(at), 1)
    return -float(np.median((values[second] - values[first]) / (at[second] - at[first])))


def growth(ends: Sequence[int], extremes: Sequence[float]) -> float | None:
    """The exponent at which a running maximum grows in both halves of the last octave, that is, the smaller one of the
    two: one jump is no growth. None if a maximum is 0 or infinite.
    """
    values = np.asarray(extremes)
    if not ((values > 0) & np.isfinite(values)).all():
        return None
    cuts = [0, len(ends) // 2, -1]
    return float(np.min(np.diff(np.log(values[cuts])) / np.diff(np.log(np.asarray(ends, dtype=np.float64)[cuts]))))


def finite(number: float) -> float | None:
    """The number, or None where it is infinite."""
    return number if math.isfinite(number) else None


def unseen(passed: bool, in_the_limit: bool | None, exact: float | None, sentence: str) -> str:
    """The remark on a verdict, with its sentence, that the formulas do not share."""
    if in_the_limit is None or passed == in_the_limit or sentence == OVERFLOW:
        return ""
    if _tiny(exact):
        return f"the exponent {exact:.3g} is below what is told from 0 ({TOLERANCE:g})"
    return f"in the limit the formulas {'pass' if in_the_limit else 'fail'}: the horizon is too short to see it"


def failing(conditions: Sequence[Item]) -> str:
    """The beginning of a sentence on items that fail."""
    names = [item.name.split(" ")[0] for item in conditions if not item.passed]
    many = len(names) > 1
    return f"item{'s' if many else ''} {' and '.join(names) if len(names) < 3 else ', '.join(names)} fail{'s'[many:]}"


def border(conditions: Sequence[Item]) -> str:
    """The end of the sentence on items that exponents too small to be told from 0 would turn, taken together."""
    exact = [item.in_the_limit if _tiny(item.exact) else item.passed for item in conditions]
    differ = all(exact) != all(item.passed for item in conditions)
    return "; near the border: exact exponents say otherwise" if differ else ""


def _tiny(exact: float | None) -> bool:
    return exact is not None and 0 < abs(exact) <= TOLERANCE
