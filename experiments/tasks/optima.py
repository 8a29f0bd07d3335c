"""Optimal values, found once per objective and then kept in the cache folder of the clone."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "optima"
_VERSION = 3  # raised when a solver's results change


@dataclass(frozen=True)
class Optimum:
    """The infimum of an objective; `gradient_norm` is that of the examples whose losses do not vanish there."""

    value: float
    gradient_norm: float  # 2-norm, at the minimiser that was found
    finite: bool  # is the infimum attained?
    point: np.ndarray | None  # a minimiser (without l2 the one of least norm) when finite
    note: str


def kept(kind: str, about: dict[str, Any], solve: Callable[[], Optimum], long: bool) -> Optimum:
    """The optimum that `solve` finds; `about` names the objective (digest of the data and every setting)."""
    name = hashlib.sha256(json.dumps([_VERSION, about], sort_keys=True).encode()).hexdigest()[:24]
    path = CACHE / f"{kind}-{name}.json"
    try:
        stored = json.loads(path.read_text())
        point = None if stored["point"] is None else np.array(stored["point"])
        return Optimum(**{**stored, "point": point})
    except (OSError, ValueError, TypeError, KeyError):
        pass
    if long:
        print("finding the optimum of this objective, once (it is kept in .cache/optima) ...", file=sys.stderr)
    found = solve()
    plain = {**vars(found), "point": None if found.point is None else found.point.tolist()}
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
        temporary.write_text(json.dumps(plain))
        temporary.replace(path)
    except OSError:
        pass  # a cache that cannot be written costs time, not results
    return found
