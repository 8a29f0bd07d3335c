"""What the summary run of a sweep shows, as W&B's tables and images."""

import hashlib
import json
from typing import Any

from experiments import sweeps
from experiments.store import Store
from experiments.sweeps import Row, Sweep

_VERDICT = ("claim", "answer", "sentence", "statistic", "value", "low", "high", "n", "threshold", "mark", "deciding")


def of(store: Store, sweep: Sweep) -> tuple[dict[str, Any], dict[str, int]]:
    """Tables of its runs and of their statistics, and a paper's verdicts and figures; and how many runs ended how."""
    import wandb

    rows, pages = sweeps.run_rows(store, sweep), sweeps.pages(store, sweep)
    shown = {"runs": _table(rows), "statistics": _table(sweeps.statistics_rows(rows))}
    if (pages / "verdicts.json").exists():
        verdicts = json.loads((pages / "verdicts.json").read_text())["verdicts"]
        shown["verdicts"] = _table([{key: verdict[key] for key in _VERDICT} for verdict in verdicts])
    shown |= {f"figures/{path.stem}": wandb.Image(str(path)) for path in sorted(pages.glob("*.png"))}
    ended = [row["status"] for row in rows]
    return shown, {"number_of_runs": len(rows), **{how: ended.count(how) for how in ("finished", "diverged")}}


def digest(store: Store, sweep: Sweep) -> str:
    """Of what may change about a sweep whose runs are all there: the verdicts and figures."""
    total = hashlib.sha256()
    for path in sorted(sweeps.pages(store, sweep).glob("*.*")):
        if path.suffix in (".json", ".png"):
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:20]


def _table(rows: list[Row]) -> Any:
    """A column of W&B's tables holds one type: one that mixes numbers and text is shown as text."""
    import wandb

    names = list(rows[0]) if rows else []
    numbers = {name for name in names if all(row[name] is None or _is_number(row[name]) for row in rows)}
    plain = [[row[k] if k in numbers or row[k] is None else str(row[k]) for k in names] for row in rows]
    return wandb.Table(columns=[*names], data=plain)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
