"""What a paper's reproduction leaves behind: verdicts, figures, tables and a page that holds them together."""

import csv
import gzip
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from experiments import claims, figures, provenance, table
from experiments.claims import Verdict
from experiments.protocol import Outcome
from experiments.session import Session
from experiments.spec import digest

_CURVE_POINTS = 16
_LARGE = 1_000_000  # bytes of a table, above which it is compressed


def write(
    folder: Path,
    about: ModuleType,
    scale: str,
    verdicts: Sequence[Verdict],
    studies: Mapping[str, ModuleType],
    configured: Mapping[str, Any],
    found: Mapping[str, Any],
    session: Session,
) -> None:
    """Write everything to `folder`: verdicts.json, README.md, and for each study its figure, runs and curves."""
    origin = {**provenance.describe(), "settings": {k: asdict(v) for k, v in configured.items()}}
    origin["pages"] = provenance.code_digest(papers=True)
    origin["data"] = _data(session)
    origin["runs"] = {
        "number": len(session.asked),
        "digest": digest(sorted(session.asked))[:20],
        "code": _code(session),
    }
    origin["calculations"] = {"number": len(session.calculated), "digest": digest(sorted(session.calculated))[:20]}
    if _written(folder, [v.claim for v in verdicts], origin):
        return
    figures.use()
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    for name, study in studies.items():
        for title, (figure, caption) in study.draw(found[name], configured[name]).items():
            captions[title] = caption
            figures.save(figure, caption, folder / title)
        if isinstance(found[name], Outcome):
            _write_runs(found[name], folder / f"{name}.runs.csv")
            _write_curves(found[name], session, folder / f"{name}.curves.csv")
        else:
            for title, table in found[name].tables.items():
                text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
                _save(text, folder / f"{name}.{title}.csv")
    (folder / "README.md").write_text(_page(about, scale, verdicts, captions, origin))
    claims.write(verdicts, folder / "verdicts.json", origin)  # last: it says that the rest is there


def _written(folder: Path, judged: list[str], origin: Mapping[str, Any]) -> bool:
    """Whether the folder holds just this already: the same claims from the same runs by the same code."""
    try:
        kept = json.loads((folder / "verdicts.json").read_text())
    except (OSError, ValueError):
        return False
    same = kept["provenance"] == json.loads(json.dumps(origin)) and [v["claim"] for v in kept["verdicts"]] == judged
    page = folder / "README.md"
    shown = re.findall(r"^!\[.*\]\((.+)\.png\)$", page.read_text(), re.MULTILINE) if page.exists() else []
    whole = all((folder / f"{name}.{kind}").exists() for name in shown for kind in ("pdf", "png", "txt"))
    return same and bool(shown) and whole


def verdict_lines(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as the command line shows them."""
    lines = []
    for v in verdicts:
        held, tested = v.share
        lines.append(f"{v.claim} {v.answer}: {v.sentence}")
        lines.append(f"   {v.statistic}: {_interval(v)}; wanted: {v.threshold}")
        lines += [f"   {remark}" for remark in v.remarks]
        lines.append(f"   holds in {held} of {tested} arms; deciding choice: {v.deciding}")
    return "\n".join(lines)


def _interval(v: Verdict) -> str:
    def shown(x: float | None) -> str:
        return "no bound" if x is None else f"{x:.3g}"

    return f"{shown(v.value)} [{shown(v.low)}, {shown(v.high)}], n = {v.n}"


def _data(session: Session) -> dict[str, str]:
    """Digest of the data of every task that was run."""
    tasks = {run.experiment.choices.get("task", "task"): run.experiment.task for run in session.asked.values()}
    return {name: task.content().get("data", "") for name, task in sorted(tasks.items())}


def _code(session: Session) -> list[str]:
    """Digests of the code that computed the runs."""
    folders = {folder.path: folder for folder in session.store.find(session.asked).values()}
    origins = [folder.provenance() for folder in folders.values()]
    return sorted({code for origin in origins for code in (origin["code"], *origin["before"])})


def _write_runs(outcome: Outcome, path: Path) -> None:
    """One row for each run: what it was for, and the final value of each readout."""
    keys = [c for c in outcome.fresh.columns if c not in ("readout", "value", "edge")]
    rows: dict[str, dict[str, Any]] = {}
    for purpose, part in (("tuning", outcome.tuning), ("fresh", outcome.fresh)):
        for row in part.to_dict(orient="records"):
            kept = rows.setdefault(row["run"], {"purpose": purpose, **{k: row[k] for k in keys}})
            kept[f"{row['readout']} value"] = f"{row['value']:.6g}"
    handle = io.StringIO(newline="")
    fields = list(dict.fromkeys(key for row in rows.values() for key in row))
    writer = csv.DictWriter(handle, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    _save(handle.getvalue(), path)


def _write_curves(outcome: Outcome, session: Session, path: Path) -> None:
    """Thinned curves of the fresh runs: geometric mean and range of the gap over seeds, against examples."""
    fresh = outcome.fresh
    rows = table.load(session.store, only=set(fresh.run))
    labels = [c for c in fresh.columns if c not in ("seed", "run", "value", "edge")]
    points = rows[["run", "step", "examples", "metric", "value"]].rename(columns={"examples": "seen"})
    joined = points.merge(fresh[[*labels, "run"]], on="run")
    joined = joined[joined.metric == joined.readout.map(outcome.readouts)]
    short = [c for c in labels if c not in ("examples", "steps", "batch_size")]  # these follow from the others
    joined["log"] = np.log(joined["value"].clip(lower=1e-12))
    grouped = joined.groupby([*short, "step", "seen"], sort=False)
    summary = grouped.agg(
        gap=("log", "mean"), low=("value", "min"), high=("value", "max"), seeds=("value", "size")
    ).reset_index()
    summary["gap"] = np.exp(summary["gap"])
    for column in ("gap", "low", "high"):
        summary[column] = summary[column].map("{:.4g}".format)
    thin = summary.groupby(short, sort=False, group_keys=False)[summary.columns.tolist()].apply(_thinned)
    _save(thin.to_csv(index=False, lineterminator="\n"), path)


def _save(text: str, path: Path) -> None:
    """Write a table; one of more than a megabyte is compressed, as <name>.csv.gz."""
    content, small, packed = text.encode(), path, path.with_name(f"{path.name}.gz")
    if len(content) > _LARGE:
        content, small, packed = gzip.compress(content, mtime=0), packed, small
    small.write_bytes(content)
    packed.unlink(missing_ok=True)


def _thinned(curve: Any) -> Any:
    picks = np.unique(np.linspace(0, len(curve) - 1, _CURVE_POINTS).round().astype(int))
    return curve.iloc[picks]


def _page(
    about: ModuleType, scale: str, verdicts: Sequence[Verdict], captions: Mapping[str, str], origin: Mapping[str, Any]
) -> str:
    parts = [f"# {about.TITLE}: {scale}", f"{about.SOURCE}. Written by `make reproduce-paper`; do not edit.", ""]
    parts += ["| claim | verdict | statistic (95% interval) | wanted | holds in | mark |", "|---|---|---|---|---|---|"]
    for v in verdicts:
        held, tested = v.share
        cells = [f"{v.claim}: {v.sentence}", f"**{v.answer}**", f"{v.statistic}: {_interval(v)}", v.threshold]
        parts.append(_row([*cells, f"{held} of {tested} arms", f"[{v.mark}]"]))
    for name, caption in captions.items():
        parts += ["", f"![{name}]({name}.png)", "", caption]
    for v in verdicts:
        parts += ["", f"## {v.claim}", "", *[f"- {remark}" for remark in v.remarks]]
        if v.arms:
            parts += ["", f"Arms (deciding choice: {v.deciding}):", "", _markdown(v.arms)]
    shown: list[Sequence[Mapping[str, Any]]] = []
    for v in verdicts:
        if v.cells and v.cells not in shown:  # two claims may look at the same ones
            shown.append(v.cells)
            parts += ["", f"## Cells of the main arm, {v.claim}", "", _markdown(v.cells)]
    commit, libraries = origin["commit"], ", ".join(f"{k} {w}" for k, w in origin["libraries"].items())
    code = f"code {origin['code']}, runs by {', '.join(origin['runs']['code'])}"
    parts += ["", f"Commit {commit} ({code}); {origin['processor']}, {origin['threads']} threads; {libraries}.", ""]
    return "\n".join(parts)


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))

    def shown(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [_row(names), "|" + "---|" * len(names)]
    lines += [_row([shown(row.get(name, "")) for name in names]) for row in rows]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    """A row of a table; a bar inside a cell would end it."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def read_verdicts(path: Path) -> list[dict[str, Any]]:
    """Verdicts that `write` wrote."""
    kept: list[dict[str, Any]] = json.loads(path.read_text())["verdicts"]
    return kept
