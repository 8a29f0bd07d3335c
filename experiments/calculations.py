"""Calculations without training: pure functions of a configuration, whose rows are kept in the store.

<store>/calculations/<id>.json   the configuration, where it was computed, and the rows
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from experiments import files, provenance
from experiments.spec import digest
from experiments.store import Store

Row = dict[str, Any]
Calculation = Callable[..., list[Row]]


def identity(function: Calculation, version: int, config: Mapping[str, Any]) -> str:
    """What names the rows: the function, a version raised when its results change, and the configuration."""
    called = f"{function.__module__}.{function.__qualname__}"
    return digest({"calculation": called, "version": version, "config": dict(config)})[:20]


def find(store: Store, name: str) -> list[Row] | None:
    """The rows of a calculation, if the store has them."""
    try:
        rows: list[Row] = json.loads((store.folder / "calculations" / f"{name}.json").read_text())["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rows


def complete(
    function: Calculation, version: int, configs: Sequence[Mapping[str, Any]], store: Store, purpose: str
) -> list[Row]:
    """The rows of `function(**config)` for every configuration, one after the other; each is computed once.

    Rows hold plain values; numbers that are not finite must be None.
    """
    store.require_writable()
    (store.folder / "calculations").mkdir(exist_ok=True)
    rows: list[Row] = []
    quiet = not sys.stderr.isatty()
    for config in tqdm(configs, desc=purpose, delay=3.0, leave=False, disable=quiet):
        name = identity(function, version, config)
        kept = find(store, name)
        if kept is None:
            kept = function(**config)
            about = {"calculation": function.__qualname__, "config": dict(config), "version": version}
            content = {**about, "provenance": provenance.describe(), "rows": kept}
            files.write_json(store.folder / "calculations" / f"{name}.json", content)
        rows += kept
    return rows
