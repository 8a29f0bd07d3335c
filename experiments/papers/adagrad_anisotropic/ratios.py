"""SGD's gap over AdaGrad's, set by set and batch size by batch size: what claims A2 and A3 look at."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.names import short
from experiments.statistics import Answer, Interval, decide, decide_share, exp_interval, mean_interval, paired_ratio

if TYPE_CHECKING:
    import pandas

STUDY = "gap_by_batch_size"
CHALLENGER = "adagrad"
CHOICES = ("l2", "eps", "sampling", "grid")  # settings of the paper that we do not know, each varied on its own
BETTER = 1.2  # by how much AdaGrad's gap must be lower
SHARE = 0.8  # in how many cells
RESOLUTION = 1e-12  # of gaps: f* is not known any better
ALL, ONCE = "all", "Adult once"  # the sets that an arm counts
PARTS_OF_ADULT = {f"logistic/a{k}a" for k in range(1, 10)}  # rows of one data set: no independent evidence


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every variant of the set-up, each with every reported iterate and kind of SGD; the main one first.

    Variants that were run on some sets only are compared with the main one on these sets.
    """
    table = measurements[STUDY].fresh
    if table.empty:
        return []
    rivals = [m for m in table.method.unique() if m.startswith("sgd")]
    choices = [c for c in CHOICES if c in table and (c == "l2" or table[c].nunique() > 1)]
    main, *others = table[choices].drop_duplicates().to_dict(orient="records")
    shared = _with(table, others[0])["set"].unique() if others else table["set"].unique()
    common = ALL if set(shared) == set(table["set"]) else ", ".join(shared)
    groups = dict.fromkeys([ALL, *([ONCE] if _adult_once(table) < set(table["set"]) else []), common])
    variants = [*({**main, "sets": sets} for sets in groups), *({**other, "sets": common} for other in others)]
    return [
        {**variant, "iterate": readout, "sgd": rival}
        for variant in variants
        for readout in table.readout.unique()
        for rival in rivals
    ]


def _with(table: "pandas.DataFrame", values: Mapping[str, Any]) -> "pandas.DataFrame":
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _adult_once(table: "pandas.DataFrame") -> set[str]:
    """The sets, of the parts of Adult only the largest."""
    sizes = table.groupby("set").examples.first()
    parts = sizes[[name for name in sizes.index if name in PARTS_OF_ADULT]]
    return set(sizes.index) - (set(parts.index) - {parts.idxmax()} if len(parts) else set())


def _counted(table: "pandas.DataFrame", sets: str) -> "pandas.DataFrame":
    """The rows of these sets."""
    if sets == ALL:
        return table
    return table[table["set"].isin(_adult_once(table) if sets == ONCE else sets.split(", "))]


def ratios(measurements: Measurements, arm: Mapping[str, Any], rival: str | None = None) -> "pandas.DataFrame":
    """One row for each set and batch size: the gap of the rival (of the arm's SGD) over AdaGrad's, paired by seed.

    Where a gap is below RESOLUTION the ratio means nothing, and the cell is not testable.
    """
    import pandas as pd

    table = measurements[STUDY].fresh
    table = table[table.readout == arm["iterate"]]
    table = _counted(_with(table, {choice: arm[choice] for choice in CHOICES if choice in arm}), arm["sets"])
    rival = rival or arm["sgd"]
    rows = []
    for (name, size), cell in table.groupby(["set", "batch_size"], sort=False):
        wide = cell.pivot(index="seed", columns="method", values="value")
        if not {rival, CHALLENGER} <= set(wide.columns):
            continue
        both = cell[cell.method.isin([rival, CHALLENGER])]
        interval = paired_ratio(wide[rival], wide[CHALLENGER])
        rates = both.drop_duplicates("method").set_index("method").lr
        edge, resolved = bool(both.edge.any()), bool((both.value > RESOLUTION).all())
        answer = ("inconclusive" if edge else decide(interval, BETTER)) if resolved else NOT_TESTABLE
        rows.append(
            {
                "set": name,
                "batch": cell.batch.iloc[0],
                "batch_size": int(size),
                "steps": int(cell.steps.iloc[0]),
                "sgd_gap": exp_interval(mean_interval(np.log(wide[rival]))).value,
                "adagrad_gap": exp_interval(mean_interval(np.log(wide[CHALLENGER]))).value,
                "sgd_lr": float(rates[rival]),
                "adagrad_lr": float(rates[CHALLENGER]),
                "ratio": interval.value,
                "low": interval.low,
                "high": interval.high,
                "seeds": interval.n,
                "edge": edge,
                "answer": answer,
                "logs": np.log(wide[rival]) - np.log(wide[CHALLENGER]),
            }
        )
    return pd.DataFrame(rows)


NOTHING = Judgement(NOT_TESTABLE, Interval(float("nan"), 0.0, float("inf"), 0), ("no runs to compare",))


def lower_gap(measurements: Measurements, arm: Mapping[str, Any], rival: str | None = None) -> Judgement:
    """At equal examples AdaGrad reaches a lower gap than the rival (the arm's SGD), each tuned, in enough cells."""
    table = ratios(measurements, arm, rival)
    if table.empty:
        return NOTHING
    answers: list[Answer] = [answer for answer in table.answer if answer != NOT_TESTABLE]
    answer, share = decide_share(answers, SHARE)
    sure, below, undecided = (answers.count(a) for a in ("holds", "fails", "inconclusive"))
    remarks = [
        f"{sure} of {len(answers)} cells have a ratio above {BETTER} for certain, {below} below, {undecided} undecided",
        *_by_set(table),
    ]
    if len(answers) < len(table):
        sets = ", ".join(table[table.answer == NOT_TESTABLE]["set"].unique())
        below_it = f"gaps below {RESOLUTION:g}, to which f* is known"
        remarks.append(f"{len(table) - len(answers)} cells are not counted: {below_it} ({sets})")
    if table.edge.any():
        remarks.append(f"in {int(table.edge.sum())} cells a best learning rate is at the edge of its grid: not decided")
    named = table if rival is None else table.rename(columns={"sgd_gap": f"{rival}_gap", "sgd_lr": f"{rival}_lr"})
    return Judgement(answer, share, tuple(remarks), shown(named))


def _by_set(table: "pandas.DataFrame") -> list[str]:
    """How the ratio runs on each set."""
    tested = table[table.answer != NOT_TESTABLE]
    ends = [
        f"{short(name)} {cells.ratio.min():.3g} to {cells.ratio.max():.3g} "
        f"({(cells.answer == 'holds').sum()} of {len(cells)})"
        for name, cells in tested.groupby("set", sort=False)
    ]
    return [f"the ratio by set, and how many cells hold: {'; '.join(ends)}"] if ends else []


def shown(table: "pandas.DataFrame") -> tuple[dict[str, Any], ...]:
    """The table as plain values, for the page."""
    plain = table.drop(columns="logs").replace([np.inf, -np.inf, np.nan], None)
    return tuple(plain.to_dict(orient="records"))
