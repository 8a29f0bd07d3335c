"""Reading W&B runs back with `wandb leet inspect`, and the store beside them."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

WANDB = Path(sys.executable).with_name("wandb")
SMALL = ["task=logistic/breast_cancer", "batch_size.size=16", "dtype=float64"]


def folders(place: Path) -> dict[str, Path]:
    """The offline runs by id; each must be there once."""
    found: dict[str, Path] = {}
    for path in sorted(place.glob("offline-run-*")):
        key = path.name.split("-", 3)[3]
        assert key not in found, f"{key} is there twice"
        found[key] = path
    return found


def summary(run: Path) -> dict[str, Any]:
    """State, config and last values of a run."""
    content: dict[str, Any] = json.loads(_inspect(run, "--summary", "--json"))
    return content


def records(run: Path) -> list[dict[str, Any]]:
    """Everything that the file of a run holds, in order."""
    return [json.loads(line) for line in _inspect(run, "--json").splitlines()]


def _inspect(run: Path, *words: str) -> str:
    (log,) = run.glob("run-*.wandb")
    return _inspected(log, log.stat().st_mtime_ns, words)


@functools.cache
def _inspected(log: Path, _written: int, words: tuple[str, ...]) -> str:
    """Half a second for each call."""
    how: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL}
    done = subprocess.run([WANDB, "leet", "inspect", *words, log], check=False, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_type(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in found if record["type"] == kind]


def own(values: dict[str, Any]) -> dict[str, Any]:
    """Without what W&B adds about the time of logging; `_step` stays."""
    return {k: v for k, v in values.items() if k not in ("_runtime", "_timestamp", "_wandb")}


def history(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [own(item["item"]) for item in of_type(found, "history")]


def expected_history(table: pd.DataFrame, run: str) -> list[dict[str, Any]]:
    """What `api.load_runs` says of a run, a row for each recorded step."""
    rows = []
    for step, at in table[table.run == run].groupby("step"):
        axes = {"_step": step, "step": step, "examples": at.examples.iloc[0]}
        if at.seconds.notna().all():
            axes["seconds"] = at.seconds.iloc[0]
        rows.append(axes | dict(zip(at.metric, at.value, strict=True)))
    return rows


def table_of(run: Path, name: str) -> pd.DataFrame:
    """A table that was logged."""
    (path,) = (run / "files" / "media" / "table").glob(f"{name}_*.table.json")
    content = json.loads(path.read_text())
    return pd.DataFrame(content["data"], columns=content["columns"])


def files_of(place: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(place.rglob("*")) if p.is_file()}


def plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value))
