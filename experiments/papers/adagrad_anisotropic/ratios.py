"""SGD's gap over AdaGrad's, set by set and batch size by batch size: what claims A2 and A3 look at."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.statistics import Interval, decide, exp_interval, mean_interval, paired_ratio

if TYPE_CHECKING:
    import pandas

STUDY = "gap_by_batch_size"
CHALLENGER = "adagrad"
CHOICES = ("l2", "eps", "sampling", "grid")  # settings of the paper that we do not know, each varied on its own
BETTER = 1.2  # by how much AdaGrad's gap must be lower


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every variant of the set-up, each with every reported iterate and kind of SGD; the main one first."""
    table = measurements[STUDY].fresh
    rivals = [m for m in table.method.unique() if m.startswith("sgd")]
    choices = [c for c in CHOICES if c in table and (c == "l2" or table[c].nunique() > 1)]
    variants = table[choices].drop_duplicates().to_dict(orient="records")
    return [
        {**variant, "iterate": readout, "sgd": rival}
        for variant in variants
        for readout in table.readout.unique()
        for rival in rivals
    ]


def ratios(measurements: Measurements, arm: Mapping[str, Any], rival: str | None = None) -> "pandas.DataFrame":
    """One row for each set and batch size: the gap of the rival (of the arm's SGD) over AdaGrad's, paired by seed."""
    import pandas as pd

    table = measurements[STUDY].fresh
    table = table[table.readout == arm["iterate"]]
    for choice in CHOICES:
        if choice in arm:
            table = table[table[choice] == arm[choice]]
    rival = rival or arm["sgd"]
    rows = []
    for (name, size), cell in table.groupby(["set", "batch_size"], sort=False):
        wide = cell.pivot(index="seed", columns="method", values="value")
        if not {rival, CHALLENGER} <= set(wide.columns):
            continue
        both = cell[cell.method.isin([rival, CHALLENGER])]
        interval = paired_ratio(wide[rival], wide[CHALLENGER])
        rates = both.drop_duplicates("method").set_index("method").lr
        edge = bool(both.edge.any())
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
                "answer": "inconclusive" if edge else decide(interval, BETTER),
                "logs": np.log(wide[rival]) - np.log(wide[CHALLENGER]),
            }
        )
    return pd.DataFrame(rows)


NOTHING = Judgement(NOT_TESTABLE, Interval(float("nan"), 0.0, float("inf"), 0), ("no runs to compare",))


def shown(table: "pandas.DataFrame") -> tuple[dict[str, Any], ...]:
    """The table as plain values, for the page."""
    plain = table.drop(columns="logs").replace([np.inf, -np.inf, np.nan], None)
    return tuple(plain.to_dict(orient="records"))
