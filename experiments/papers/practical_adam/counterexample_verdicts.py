"""What claims P1 to P4 share: arms, words, and a judgement of nothing."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.statistics import UNKNOWN, Interval

if TYPE_CHECKING:
    import pandas

STUDY = "counterexample"
DRIFT = 3.0  # that must remain after the reversal, for theory to predict the end
END = 0.5  # how far from 0 an end must be, on the side that is claimed
ONE_PATH = "one deterministic path, no interval"  # of cyclic forms, whose n is 1


def arms(measurements: Measurements, study: str, table: str, *names: str) -> list[dict[str, Any]]:
    """Every combination of these columns that a table of a study has, in its order: the main one first."""
    found = measurements[study].tables[table][list(names)].drop_duplicates()
    return [{name: _plain(row[name]) for name in names} for row in found.to_dict(orient="records")]


def chosen(measurements: Measurements, study: str, table: str, arm: Mapping[str, Any]) -> "pandas.DataFrame":
    """The rows of an arm."""
    found = measurements[study].tables[table]
    for name, value in arm.items():
        found = found[found[name] == value]
    return found


def untestable(why: str) -> Judgement:
    """Nothing can be said, and why."""
    return Judgement(NOT_TESTABLE, UNKNOWN, (why,))


def shown(interval: Interval, form: str = ".3f") -> str:
    """A number with its interval, in words."""
    bounds = f"{_number(interval.low, form)} to {_number(interval.high, form)}"
    return f"{_number(interval.value, form)} ({bounds if interval.n > 1 else ONE_PATH})"


def steps(value: float) -> str:
    """A number of steps."""
    return f"{value:.3g}" if math.isfinite(value) else "never"


def finite(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table of cells: what is not finite becomes nothing."""
    return {key: None if isinstance(v, float) and not math.isfinite(v) else _plain(v) for key, v in cell.items()}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _number(value: float, form: str) -> str:
    return "no bound" if math.isinf(value) else "unknown" if math.isnan(value) else f"{value:{form}}"
