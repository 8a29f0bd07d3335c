"""Sweeps: what one command asked for, written down in the store so that its runs can be shown together.

<store>/sweeps/<id>.json   its runs, the words of the command, and for a paper's sweep what was reported of it
<store>/sweeps/<id>/       the verdicts and figures of a paper's sweep

A sweep holds the reported runs; runs that only tuned a learning rate are listed apart.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from experiments import files, locks
from experiments.spec import digest, hyper_column
from experiments.statistics import mean_interval
from experiments.store import Store

Row = dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """Runs that one command asked for. id: digest of their sorted identities. number: its place in the store.

    words: of the command. paper: name, scale and studies, if it is a paper's. tuning: runs that are not reported.
    """

    id: str
    number: int
    runs: tuple[str, ...]
    words: tuple[str, ...]
    paper: dict[str, Any] = field(default_factory=dict)
    tuning: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is called: the paper and the scale, or the words of the command that choose runs."""
        if self.paper:
            return f"{self.paper['paper']}, {self.paper['scale']}"
        return " ".join(word for word in self.words if not word.startswith(("store=", "logger", "-"))) or "defaults"


def record(
    store: Store,
    runs: Iterable[str],
    words: Sequence[str],
    paper: dict[str, Any] | None = None,
    tuning: Iterable[str] = (),
) -> Sweep:
    """Write a sweep down, unless the store has it just so already. Raises SettingError if nothing can be written."""
    store.require_writable()
    ids = sorted(set(runs))
    folder = store.folder / "sweeps"
    folder.mkdir(exist_ok=True)
    name = digest(ids)[:20]
    with locks.locked(folder / "lock"):
        kept = _read(folder / f"{name}.json") if (folder / f"{name}.json").exists() else None
        if kept and not paper:
            return kept
        number = kept.number if kept else 1 + len(list(folder.glob("*.json")))
        made = Sweep(name, number, tuple(ids), tuple(words), paper or {}, tuple(sorted(set(tuning) - set(ids))))
        if made != kept:
            files.write_json(folder / f"{name}.json", asdict(made))
    return made


def all_of(store: Store) -> list[Sweep]:
    """The sweeps of a store, the first one first."""
    found = map(_read, (store.folder / "sweeps").glob("*.json"))
    return sorted(found, key=lambda sweep: (sweep.number, sweep.id))


def _read(path: Path) -> Sweep:
    content: dict[str, Any] = json.loads(path.read_text())
    return Sweep(**content | {key: tuple(content[key]) for key in ("runs", "words", "tuning")})


def groups(store: Store) -> dict[str, str]:
    """The first sweep that each run was in."""
    return {run: sweep.id for sweep in reversed(all_of(store)) for run in sweep.runs}


def unreported(store: Store) -> set[str]:
    """Runs that only tuned something for a paper and were never asked for otherwise."""
    sweeps = all_of(store)
    return {run for sweep in sweeps for run in sweep.tuning} - {run for sweep in sweeps for run in sweep.runs}


def pages(store: Store, sweep: Sweep) -> Path:
    """The folder with the verdicts and figures of a paper's sweep."""
    return store.folder / "sweeps" / sweep.id


def keep_pages(store: Store, sweep: Sweep, written: Path) -> None:
    """Copy verdicts.json and the figures from where a paper's pages were written."""
    folder = pages(store, sweep)
    folder.mkdir(exist_ok=True)
    for path in [written / "verdicts.json", *sorted(written.glob("*.png"))]:
        kept = folder / path.name
        if path.exists() and (not kept.exists() or kept.read_bytes() != path.read_bytes()):
            with files.replacing(kept) as temporary:
                temporary.write_bytes(path.read_bytes())


def run_rows(store: Store, sweep: Sweep) -> list[Row]:
    """A row for each run that has ended: run, status, the configuration that varies, and its last metrics."""
    configs, ends = {}, {}
    for folder in dict.fromkeys(store.find(sweep.runs).values()):
        about, ended = folder.describe(), folder.result()["runs"]
        for run in about["runs"]:
            if run["run"] in sweep.runs:
                own = {hyper_column(about["hyper_prefix"], name): value for name, value in run["hyper"].items()}
                configs[run["run"]] = {**about["columns"], **own, "seed": run["seed"]}
                ends[run["run"]] = ended[run["run"]]
    keys = dict.fromkeys(key for config in configs.values() for key in config)
    varying = [k for k in keys if k != "seed" and len({repr(config.get(k)) for config in configs.values()}) > 1]
    varying.append("seed")
    metrics = dict.fromkeys(name for end in ends.values() for name in end["metrics"])
    order = sorted(configs, key=lambda run: [_sortable(configs[run].get(k)) for k in varying])
    return [
        {"run": run, "status": ends[run]["status"]}
        | {key: configs[run].get(key) for key in varying}
        | {f"final/{name}": ends[run]["metrics"].get(name) for name in metrics}
        for run in order
    ]


def statistics_rows(rows: Sequence[Row]) -> list[Row]:
    """Over the seeds of each configuration, by metric: number of runs and of diverged ones, mean, 95% interval.

    rows: those of `run_rows`. No mean is given where a run diverged: one of the others alone would flatter.
    """
    if not rows:
        return []
    names = list(rows[0])
    place = names.index("seed")
    config, metrics = names[2:place], names[place + 1 :]
    cells: dict[str, list[Row]] = {}
    for row in rows:
        cells.setdefault(repr([row[key] for key in config]), []).append(row)
    made = []
    for cell in cells.values():
        diverged = sum(row["status"] == "diverged" for row in cell)
        for metric in metrics:
            values = [row[metric] for row in cell if row[metric] is not None]
            shown: Row = {key: cell[0][key] for key in config}
            shown |= {
                "metric": metric.removeprefix("final/"),
                "n": len(cell),
                "diverged": diverged,
                "mean": None,
                "low": None,
                "high": None,
            }
            if len(values) == len(cell):
                interval = mean_interval(values)
                shown["mean"] = interval.value
                if len(cell) > 1:
                    shown |= {"low": interval.low, "high": interval.high}
            made.append(shown)
    return made


def _sortable(value: Any) -> tuple[str, float, str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return ("number", float(value), "") if number else ("text", 0.0, str(value))
