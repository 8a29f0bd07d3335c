"""Critical batch sizes, fitted to the examples that a target takes: what claims A4 and A5 look at."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.statistics import Interval, exp_interval, mean_interval, paired_ratio
from experiments.theory import critical_batch

if TYPE_CHECKING:
    import pandas

STUDY = "examples_to_target"
METHOD = "adagrad"
CHOICES = ("l2", "eps", "sampling", "grid")  # settings of the paper that we do not know, each varied on its own
NOTHING = Judgement(NOT_TESTABLE, Interval(math.nan, -math.inf, math.inf, 0), ("no runs",))


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every variant of the set-up, each with every reported iterate; the main one first."""
    table = measurements[STUDY].runs
    variants = table[list(CHOICES)].drop_duplicates().to_dict(orient="records")
    return [{**variant, "iterate": readout} for variant in variants for readout in table.iterate.unique()]


def fits(runs: "pandas.DataFrame") -> "pandas.DataFrame":
    """One row for each set, variant, iterate, method and target: the fitted law, and slopes on either side of M*.

    runs: one row per run, with `needed`, the examples to the target (inf: never). Batch sizes at which a seed never
    gets there are left out, and so is the exact gradient, which is no batch of n draws. The law is fitted to each seed
    and M* is the geometric mean; intervals are Student's t over the seeds. critical, flat_slope, steep_slope: Interval,
    the slopes (below M*/4, beyond 4 M*) None where there are fewer than two sizes; flat: [(M, Interval of
    N(M)/N(M_min))] up to M*/8, M_min apart; start_slope: Interval of the slope over the three smallest sizes.
    """
    import pandas as pd

    keys = ["set", *CHOICES, "iterate", "method", "target"]
    return pd.DataFrame([_fit(dict(zip(keys, key, strict=True)), part) for key, part in runs.groupby(keys, sort=False)])


def _fit(labels: dict[str, Any], part: "pandas.DataFrame") -> dict[str, Any]:
    batches = part[part.batch != "full"]
    wide = batches.pivot(index="seed", columns="batch_size", values="needed").sort_index(axis=1)
    reached = np.isfinite(wide).all(axis=0)
    missed = [int(size) for size in wide.columns[~reached]]
    wide = wide.loc[:, reached]
    sizes = wide.columns.to_numpy(dtype=float)
    row = {
        **labels,
        "gap": float(part.gap.iloc[0]),
        "seeds": len(wide),
        "sizes": len(sizes),
        "smallest": float(sizes.min()) if len(sizes) else math.nan,
        "largest": float(sizes.max()) if len(sizes) else math.nan,
        "missed": missed,
        "edge": bool(batches.edge.any()),
    }
    none = {"critical": _UNKNOWN, "least": math.nan, "error": math.nan, "flat": []}
    if len(sizes) < 3:
        return {**row, **none, "start_slope": None, "flat_slope": None, "steep_slope": None}
    each = [critical_batch.fit(sizes, needed) for needed in wide.to_numpy()]
    with np.errstate(divide="ignore", invalid="ignore"):  # M* = 0 or inf: no interval
        critical = exp_interval(mean_interval(np.log([one.critical for one in each]).tolist()))
    flat = sizes <= critical.value / 8
    first = wide[sizes[0]]
    return {
        **row,
        "critical": critical,
        "least": float(np.exp(np.log([one.examples for one in each]).mean())),
        "error": float(np.mean([one.error for one in each])),
        "flat": [(int(size), paired_ratio(wide[size], first)) for size in sizes[flat & (sizes > sizes[0])]],
        "start_slope": _slope(wide, sizes <= sizes[2]),
        "flat_slope": _slope(wide, sizes <= critical.value / 4),
        "steep_slope": _slope(wide, sizes >= critical.value * 4),
    }


_UNKNOWN = Interval(math.nan, -math.inf, math.inf, 0)


def _slope(wide: "pandas.DataFrame", chosen: np.ndarray) -> Interval | None:
    """Slope of log N against log M over these sizes, fitted to each seed."""
    if chosen.sum() < 2:
        return None
    sizes = wide.columns.to_numpy(dtype=float)[chosen]
    return mean_interval([critical_batch.slope(sizes, needed) for needed in wide.to_numpy()[:, chosen]])


def chosen(measurements: Measurements, arm: Mapping[str, Any]) -> "pandas.DataFrame":
    """The fits of one arm, of every method."""
    table = measurements[STUDY].fits
    for choice, value in arm.items():
        table = table[table[choice] == value]
    return table


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of fits as plain numbers, for tables."""
    slopes = ("start_slope", "flat_slope", "steep_slope")
    shown = {k: v for k, v in row.items() if k not in ("critical", "flat", "missed", *slopes)}
    critical: Interval = row["critical"]
    shown |= {"critical": critical.value, "critical_low": critical.low, "critical_high": critical.high}
    worst = max((ratio for _, ratio in row["flat"]), key=lambda ratio: ratio.value, default=None)
    shown |= _bounds("flat_ratio", worst)
    for name in slopes:
        shown |= _bounds(name, row[name])
    shown["missed"] = " ".join(map(str, row["missed"]))
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in shown.items()}


def _bounds(name: str, interval: Interval | None) -> dict[str, Any]:
    values = (None,) * 3 if interval is None else (interval.value, interval.low, interval.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def short(name: str) -> str:
    """A set without the family of its task."""
    return name.removeprefix("logistic/")


def summary(row: Mapping[str, Any]) -> str:
    """A fit in words."""
    critical: Interval = row["critical"]
    fitted = f"M* = {critical.value:.3g}"
    if 0 < critical.value < math.inf:
        fitted += f" (95%: {critical.low:.3g} to {critical.high:.3g})"
    sizes = f"{row['smallest']:g} to {row['largest']:g}" if row["sizes"] else "none"
    return f"{short(row['set'])} to {row['target']:g}: {fitted}, batch sizes {sizes}"


def seconds_and_steps(measurements: Measurements) -> list[str]:
    """What the same points cost in steps and in seconds: a line for each set and method."""
    lines = []
    costs = measurements["curves"].tables["costs"] if "curves" in measurements else None
    for (name, method), rows in () if costs is None else costs.groupby(["set", "method"], sort=False):
        shown = "; ".join(
            f"{r.batch}: {r.steps:.3g} steps, {r.examples:.3g} examples, {r.seconds:.2g} s" for r in rows.itertuples()
        )
        lines.append(
            f"{short(name)}, {method}, to {rows.target.iloc[0]:g} median on the machine that ran it, by batch {shown}"
        )
    return lines
