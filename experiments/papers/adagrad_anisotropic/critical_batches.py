"""Critical batch sizes, fitted to the examples that a target takes: what claims A4 and A5 look at."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.names import short
from experiments.statistics import UNKNOWN, Interval, mean_interval, paired_ratio
from experiments.theory import critical_batch

if TYPE_CHECKING:
    import pandas

STUDY = "examples_to_target"
METHOD = "adagrad"
CHOICES = ("l2", "eps", "sampling", "grid")  # settings of the paper that we do not know, each varied on its own
LEAST_SPAN = 4  # what is called flat is so over a factor of at least this in the batch size
_DRAWS = 500
CONDITIONAL = (
    "N, the examples to the target, is a first passage of the reported iterate (first recorded point at or below it, "
    "interpolated); intervals are over the seeds, for the learning rates that were picked"
)
NOTHING = Judgement(NOT_TESTABLE, UNKNOWN, ("no runs",))


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every variant of the set-up, each with every reported iterate; the main one first.

    Where some sets have the main variant only, the others are compared with the main one on the same sets: "sets" then
    says which those are.
    """
    table = measurements[STUDY].runs
    found = {
        key: ", ".join(map(short, part["set"].unique()))
        for key, part in table.groupby(list(CHOICES), sort=False, dropna=False)
    }
    main = next(iter(found))
    variants: list[dict[str, Any]] = [dict(zip(CHOICES, key, strict=True)) for key in found]
    if len(set(found.values())) > 1:
        first, others = variants[0], [{**v, "sets": sets} for v, sets in zip(variants, found.values(), strict=True)][1:]
        alone = [{**first, "sets": sets} for sets in dict.fromkeys(found.values()) if sets != found[main]]
        variants = [{**first, "sets": "all"}, *alone, *others]
    return [{**variant, "iterate": readout} for variant in variants for readout in table.iterate.unique()]


def fits(runs: "pandas.DataFrame") -> "pandas.DataFrame":
    """One row for each set, variant, iterate, method and target: the fitted law, and slopes on either side of M*.

    runs: one row per run, with `needed`, the examples to the target (inf: never). Batch sizes at which a seed never
    gets there are left out (`missed`), and so is the exact gradient, which is no batch of n draws. The law is fitted to
    the geometric means over the seeds; the interval of M* is the bootstrap's over seeds, by percentiles, the others are
    Student's t. critical, start_slope (over the three smallest sizes), flat_slope (below M*/4), steep_slope (beyond
    4 M*, of a finite M*): Interval, the slopes None where there are fewer than two sizes; flat: [(M, Interval of
    N(M)/N(M_min))] up to M*/8, M_min apart. flat and flat_slope are empty and None where their sizes span less than a
    factor of 4; `flat_sizes` and `slope_sizes` say which they are ("4 to 64").
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
    none = {"critical": UNKNOWN, "least": math.nan, "error": math.nan, "flat": [], "flat_sizes": "", "slope_sizes": ""}
    if len(sizes) < 3:
        return {**row, **none, "start_slope": None, "flat_slope": None, "steep_slope": None}
    law = critical_batch.fit(sizes, np.exp(np.log(wide.to_numpy()).mean(axis=0)))
    flat, below = (_wide_enough(sizes[sizes <= law.critical / part]) for part in (8, 4))
    beyond = sizes[sizes >= law.critical * 4] if 0 < law.critical < math.inf else sizes[:0]
    return {
        **row,
        "critical": Interval(law.critical, *_bootstrap(sizes, wide.to_numpy()), len(wide)),
        "least": law.examples,
        "error": law.error,
        "flat": [(int(size), paired_ratio(wide[size], wide[sizes[0]])) for size in flat[1:]],
        "flat_sizes": _ends(flat),
        "slope_sizes": _ends(below if len(below) else sizes[:3]),
        "start_slope": _slope(wide, sizes[:3]),
        "flat_slope": _slope(wide, below),
        "steep_slope": _slope(wide, beyond),
    }


def _wide_enough(sizes: np.ndarray) -> np.ndarray:
    """These sizes, or none where they span less than a factor of 4: what is flat over less shows nothing."""
    return sizes if len(sizes) and sizes[-1] >= LEAST_SPAN * sizes[0] else sizes[:0]


def _ends(sizes: np.ndarray) -> str:
    return f"{sizes[0]:g} to {sizes[-1]:g}" if len(sizes) else ""


def _bootstrap(sizes: np.ndarray, needed: np.ndarray) -> tuple[float, float]:
    """95% interval of M* over seeds, which are drawn with replacement; the draws are always the same."""
    seeds = len(needed)
    if seeds < 2:
        return -math.inf, math.inf
    drawn = np.random.default_rng(0).integers(seeds, size=(_DRAWS, seeds))
    found = np.sort(critical_batch.criticals(sizes, np.exp(np.log(needed)[drawn].mean(axis=1))))
    return float(found[int(0.025 * _DRAWS)]), float(found[-int(0.025 * _DRAWS) - 1])


def _slope(wide: "pandas.DataFrame", sizes: np.ndarray) -> Interval | None:
    """Slope of log N against log M over these sizes, fitted to each seed."""
    if len(sizes) < 2:
        return None
    return mean_interval([critical_batch.slope(sizes, needed) for needed in wide[sizes].to_numpy()])


def chosen(measurements: Measurements, arm: Mapping[str, Any]) -> "pandas.DataFrame":
    """The fits of one arm, of every method."""
    table = measurements[STUDY].fits
    for choice, value in arm.items():
        if choice != "sets":
            table = table[table[choice] == value]
        elif value != "all":
            table = table[table["set"].map(short).isin(value.split(", "))]
    return table


def doubt(row: Mapping[str, Any]) -> str:
    """Why a fit decides nothing about small batches, whatever it says; empty if there is no reason."""
    if row["edge"]:
        return "a learning rate is at the edge of its grid"
    if any(size < row["largest"] for size in row["missed"]):
        return "a seed never gets there at a batch size below the largest fitted one"
    return ""


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


def summary(row: Mapping[str, Any]) -> str:
    """A fit in words."""
    critical: Interval = row["critical"]
    fitted = f"M* = {critical.value:.3g}"
    if 0 < critical.value < math.inf:
        fitted += f" (95%: {critical.low:.3g} to {critical.high:.3g})"
    sizes = f"{row['smallest']:g} to {row['largest']:g}" if row["sizes"] else "none"
    missed = f", a seed never gets there at {', '.join(map(str, row['missed']))}" if row["missed"] else ""
    return f"{short(row['set'])} to {row['target']:g}: {fitted}, batch sizes {sizes}{missed}"


def seconds_and_steps(measurements: Measurements) -> list[str]:
    """What the same points cost in steps and in seconds: a line for each set and method."""
    lines, units = [], {"steps": "steps", "examples": "examples", "seconds": "s"}
    costs = measurements["curves"].tables["costs"] if "curves" in measurements else None
    for (name, method), rows in () if costs is None else costs.groupby(["set", "method"], sort=False):
        shown = "; ".join(
            f"{row['batch']}: " + ", ".join(f"{_spread(row, column)} {word}" for column, word in units.items())
            for row in rows.to_dict(orient="records")
        )
        lines.append(
            f"{short(name)}, {method}, to {rows.target.iloc[0]:g}, median (min to max) over the runs on the machine "
            f"that ran them, by batch {shown}"
        )
    return lines


def _spread(row: Mapping[str, Any], column: str) -> str:
    return f"{row[column]:.3g} ({row[f'{column}_min']:.3g} to {row[f'{column}_max']:.3g})"
