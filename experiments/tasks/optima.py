"""Optimal values, found once per objective and then kept in the cache folder of the clone."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from experiments.tasks.logistic_optimum import Optimum, minimise_logistic

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "optima"
_LONG = 1_000_000  # entries beyond which it takes seconds
_VERSION = 2  # raised when the solver's results change


def logistic(about: dict[str, Any], signed_rows: Callable[[], np.ndarray], l2: float) -> Optimum:
    """The infimum of logistic regression; `about` names the objective (digest of the data and every setting)."""
    name = hashlib.sha256(json.dumps([_VERSION, about], sort_keys=True).encode()).hexdigest()[:24]
    path = CACHE / f"logistic-{name}.json"
    try:
        stored = json.loads(path.read_text())
        point = None if stored["point"] is None else np.array(stored["point"])
        return Optimum(**{**stored, "point": point})
    except (OSError, ValueError, TypeError, KeyError):
        pass
    rows = signed_rows()
    if rows.size > _LONG:
        print("finding the optimum of this objective, once (it is kept in .cache/optima) ...", file=sys.stderr)
    found = minimise_logistic(sparse.csr_array(rows), l2)
    plain = {**vars(found), "point": None if found.point is None else found.point.tolist()}
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
        temporary.write_text(json.dumps(plain))
        temporary.replace(path)
    except OSError:
        pass  # a cache that cannot be written costs time, not results
    return found
