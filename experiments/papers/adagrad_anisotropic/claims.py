"""What the paper claims about convex problems, judged on logistic regression."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.statistics import (
    Answer,
    Interval,
    all_of,
    decide,
    decide_share,
    exp_interval,
    mean_interval,
    paired_ratio,
    rank_correlation,
)

if TYPE_CHECKING:
    import pandas

STUDY = "gap_by_batch_size"
CHALLENGER = "adagrad"
BETTER = 1.2  # A2: by how much AdaGrad's gap must be lower
SHARE = 0.8  # A2: in how many cells
KEPT = 0.8  # A3: how much of the advantage must be left
LEAST_STEPS = 20  # A3: steps that the largest batch size must leave
LEAST_SIZES = 3  # A3: batch sizes without which nothing can be said about a trend


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every combination of l2, reported iterate and kind of SGD, the main one first."""
    table = measurements[STUDY].fresh
    rivals = [m for m in table.method.unique() if m.startswith("sgd")]
    return [
        {"l2": l2, "iterate": readout, "sgd": rival}
        for l2 in table.l2.unique()
        for readout in table.readout.unique()
        for rival in rivals
    ]


def ratios(measurements: Measurements, arm: Mapping[str, Any]) -> "pandas.DataFrame":
    """One row for each set and batch size: SGD's gap over AdaGrad's, paired by seed, with its interval."""
    import pandas as pd

    table = measurements[STUDY].fresh
    table = table[(table.l2 == arm["l2"]) & (table.readout == arm["iterate"])]
    rows = []
    for (name, size), cell in table.groupby(["set", "batch_size"], sort=False):
        wide = cell.pivot(index="seed", columns="method", values="value")
        if not {arm["sgd"], CHALLENGER} <= set(wide.columns):
            continue
        both = cell[cell.method.isin([arm["sgd"], CHALLENGER])]
        interval = paired_ratio(wide[arm["sgd"]], wide[CHALLENGER])
        rates = both.drop_duplicates("method").set_index("method").lr
        edge = bool(both.edge.any())
        rows.append(
            {
                "set": name,
                "batch": cell.batch.iloc[0],
                "batch_size": int(size),
                "steps": int(cell.steps.iloc[0]),
                "sgd_gap": exp_interval(mean_interval(np.log(wide[arm["sgd"]]))).value,
                "adagrad_gap": exp_interval(mean_interval(np.log(wide[CHALLENGER]))).value,
                "sgd_lr": float(rates[arm["sgd"]]),
                "adagrad_lr": float(rates[CHALLENGER]),
                "ratio": interval.value,
                "low": interval.low,
                "high": interval.high,
                "seeds": interval.n,
                "edge": edge,
                "answer": "inconclusive" if edge else decide(interval, BETTER),
                "logs": np.log(wide[arm["sgd"]]) - np.log(wide[CHALLENGER]),
            }
        )
    return pd.DataFrame(rows)


_NOTHING = Judgement(NOT_TESTABLE, Interval(float("nan"), 0.0, float("inf"), 0), ("no runs to compare",))


def lower_gap(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A2: at equal examples AdaGrad reaches a lower gap than SGD, each tuned."""
    table = ratios(measurements, arm)
    if table.empty:
        return _NOTHING
    answers: list[Answer] = list(table.answer)
    answer, share = decide_share(answers, SHARE)
    sure, below, undecided = (answers.count(a) for a in ("holds", "fails", "inconclusive"))
    remarks = [
        f"{sure} of {len(answers)} cells have a ratio above {BETTER} for certain, {below} below, {undecided} undecided",
        f"the ratio SGD / AdaGrad runs from {table.ratio.min():.3g} to {table.ratio.max():.3g}",
    ]
    if table.edge.any():
        remarks.append(f"in {int(table.edge.sum())} cells a best learning rate is at the edge of its grid: not decided")
    return Judgement(answer, share, tuple(remarks), _shown(table))


def advantage_stays(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A3: the advantage does not vanish as the batch grows; every set must agree."""
    table = ratios(measurements, arm)
    if table.empty:
        return _NOTHING
    answers: list[Answer] = []
    kept: list[Interval] = []
    remarks = []
    for name, rows in table.groupby("set", sort=False):
        usable = rows[rows.steps >= LEAST_STEPS]
        if len(rows) < LEAST_SIZES or len(usable) < 2:
            answers.append(NOT_TESTABLE)
            remarks.append(f"{name}: too few batch sizes")
            continue
        logs = np.stack([series.to_numpy() for series in rows.logs])  # (batch sizes, seeds)
        largest = int(usable.batch_size.idxmax())
        with np.errstate(invalid="ignore"):  # inf - inf: runs that diverged decide nothing
            change = mean_interval(logs[list(rows.index).index(largest)] - np.median(logs, axis=0))
        interval = exp_interval(change)
        kept.append(interval)
        answers.append("inconclusive" if rows.edge.any() else decide(interval, KEPT))
        trend = rank_correlation(list(rows.batch_size), list(rows.ratio))
        remarks.append(
            f"{name}: ratio at batch {rows.batch[largest]} ({rows.steps[largest]} steps) is {interval.value:.3g} of "
            f"the median over batch sizes (95%: {interval.low:.3g} to {interval.high:.3g}); median ratio "
            f"{rows.ratio.median():.3g}; rank correlation of ratio and batch size {trend:.2f}"
        )
    worst = min(kept, key=lambda i: i.value, default=Interval(float("nan"), 0.0, float("inf"), 0))
    return Judgement(all_of(answers), worst, tuple(remarks), _shown(table))


def _shown(table: "pandas.DataFrame") -> tuple[dict[str, Any], ...]:
    plain = table.drop(columns="logs").replace([np.inf, -np.inf, np.nan], None)
    return tuple(plain.to_dict(orient="records"))


CLAIMS = (
    Claim(
        id="A2",
        sentence="At equal examples AdaGrad reaches a lower gap than SGD, each at its own tuned learning rate.",
        mark="S",
        studies=(STUDY,),
        statistic="share of cells (set, batch size) where SGD's gap over AdaGrad's is above 1.2 (95% interval, paired)",
        threshold="at least 0.8 of the cells",
        judge=lower_gap,
        arms=arms,
    ),
    Claim(
        id="A3",
        sentence="AdaGrad's advantage does not vanish as the batch size grows.",
        mark="S",
        studies=(STUDY,),
        statistic="ratio SGD / AdaGrad at the largest batch size with 20 steps or more, over its median over the sizes",
        threshold="at least 0.8 on every set",
        judge=advantage_stays,
        arms=arms,
    ),
)
