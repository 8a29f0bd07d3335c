"""Anisotropy and coefficients of the bounds, set by set: what claims A6 and A7 look at."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.statistics import LEAST_SEEDS, Answer, Interval, decide, mean_interval
from experiments.theory import bounds

if TYPE_CHECKING:
    import pandas

STUDY = "anisotropy"
MAIN = "adagrad path"  # where sigma is taken first: the theorem is about AdaGrad and wants a supremum
FIXED = ("at w_0", "at w*", "everywhere")
SHARE = 0.8  # of the real sets, as in A2; chosen before any of them was looked at
CERTIFIED = -1e-9  # least eigenvalue of diag(L) - A
SMALLEST, ROW_SUMS = "smallest certified", "row sums"
LARGEST, EIGENVALUE = "L_inf", "lambda_max"
_COLUMNS = {SMALLEST: "L", ROW_SUMS: "row_sums"}
NOTHING = Judgement(NOT_TESTABLE, Interval(float("nan"), 0.0, 1.0, 0), ("no real set is at hand",))


def choices(sets: Sequence[str], others: Mapping[str, Sequence[str]]) -> "pandas.DataFrame":
    """Which real sets count, by choice: all of them first."""
    import pandas as pd

    rows = [(choice, name) for choice, names in {"all": sets, **others}.items() for name in names]
    return pd.DataFrame(rows, columns=["choice", "set"])


def fixed_noise(constants: "pandas.DataFrame") -> "pandas.DataFrame":
    """At points that no run is needed for, sigma as rows of `noise` (without a seed)."""
    import pandas as pd

    rows = [
        {
            **{k: row[k] for k in ("set", "kind", "l2")},
            "where": where,
            "sigma_1": row[f"sigma_1 {where}"],
            "sigma_2": row[f"sigma_2 {where}"],
        }
        for row in constants.to_dict(orient="records")
        for where in FIXED
    ]
    return pd.DataFrame(rows)


def add_ratios(constants: "pandas.DataFrame", noise: "pandas.DataFrame") -> None:
    """Columns with the anisotropy of L and of sigma."""
    columns = {"anisotropy": constants.L_inf, "anisotropy, lambda_max": constants.lambda_max}
    for name, constant in columns.items():
        of_set = zip(constants.d, constant, constants.L_1, strict=True)
        constants[name] = [bounds.smoothness_anisotropy(*row) for row in of_set]
    dimension = noise["set"].map(dict(zip(constants["set"], constants.d, strict=True)))
    of_row = zip(dimension, noise.sigma_2, noise.sigma_1, strict=True)
    noise["anisotropy"] = [bounds.noise_anisotropy(*row) for row in of_row]


def coefficients(constants: "pandas.DataFrame", noise: "pandas.DataFrame") -> "pandas.DataFrame":
    """One row for each set, l2, place of sigma and domain: the comparator w*, or the box of side 2 max_j |w*_j|.

    Columns: the four coefficients (L smallest certified; of seeds the mean), R_b (also with lambda_max) and R_n.
    """
    import pandas as pd

    rows = []
    norms = noise.groupby(["set", "l2", "where"], sort=False)[["sigma_1", "sigma_2"]].mean().sort_index()
    for about in constants.to_dict(orient="records"):
        domains = {
            "comparator": bounds.Domain(about["D_inf"], about["D_2"]),
            "box": bounds.box(about["d"], 2 * about["D_inf"]),
        }
        for where, (total, length) in norms.loc[(about["set"], about["l2"])].iterrows():
            for name, domain in domains.items():
                found = bounds.coefficients(about["L_1"], about["L_inf"], total, length, domain)
                other = bounds.coefficients(about["L_1"], about["lambda_max"], total, length, domain)
                rows.append(
                    {
                        **{k: about[k] for k in ("set", "kind", "l2", "comparator")},
                        "domain": name,
                        "sigma": where,
                        "L_1 D_inf^2": found.adagrad_bias,
                        "L_inf D_2^2": found.sgd_bias,
                        "lambda_max D_2^2": other.sgd_bias,
                        "sigma_1 D_inf": found.adagrad_noise,
                        "sigma_2 D_2": found.sgd_noise,
                        "R_b": found.bias_ratio,
                        "R_b, lambda_max": other.bias_ratio,
                        "R_n": found.noise_ratio,
                    }
                )
    return pd.DataFrame(rows)


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """The main choice of everything, then each other choice on its own."""
    noise, constants, sets = (measurements[STUDY].tables[name] for name in ("noise", "constants", "choices"))
    where = sorted(noise["where"].unique(), key=lambda w: w != MAIN)
    options = {
        "l2": list(constants.l2.unique()),
        "sigma": where,
        "L": [SMALLEST, ROW_SUMS],
        "SGD's constant": [LARGEST, EIGENVALUE],
        "sets": ["all", *(c for c in sets.choice.unique() if c != "all")],
    }
    main = {name: values[0] for name, values in options.items()}
    return [main, *({**main, name: value} for name, values in options.items() for value in values[1:])]


def by_set(measurements: Measurements, arm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each set and made-up problem of an arm its constants, and intervals over the seeds of what depends on sigma.

    Keys: set, kind, constants (the row), L_1, L (SGD's constant), certified, sigma_1 and sigma_2 (means over the
    seeds), smoothness_anisotropy, bias_ratio (of the comparator), and as Interval noise_anisotropy and noise_ratio.
    seeds: how many count; exact numbers have an interval of no width and count as enough. edge: whether a learning
    rate was at the edge of its grid.
    """
    tables = measurements[STUDY].tables
    constants, noise = tables["constants"], tables["noise"]
    counted = set(tables["choices"][tables["choices"].choice == arm["sets"]]["set"])
    constants = constants[(constants.l2 == arm["l2"]) & (constants["set"].isin(counted) | (constants.kind != "real"))]
    noise = noise[(noise.l2 == arm["l2"]) & (noise["where"] == arm["sigma"])]
    found = []
    for about in constants.to_dict(orient="records"):
        taken = noise[noise["set"] == about["set"]]
        if taken.empty:
            continue  # no path was run for this l2
        domain = bounds.Domain(about["D_inf"], about["D_2"])
        column = _COLUMNS[arm["L"]]
        total = about[f"{column}_1"]
        constant = about["lambda_max"] if arm["SGD's constant"] == EIGENVALUE else about[f"{column}_inf"]
        of_seeds = [
            (
                bounds.noise_anisotropy(about["d"], row.sigma_2, row.sigma_1),
                bounds.coefficients(total, constant, row.sigma_1, row.sigma_2, domain).noise_ratio,
            )
            for row in taken.itertuples()
        ]
        anisotropy, ratio = zip(*of_seeds, strict=True)
        found.append(
            {
                "set": about["set"],
                "kind": about["kind"],
                "constants": about,
                "seeds": LEAST_SEEDS if arm["sigma"] in FIXED else len(taken),
                "edge": bool("edge" in taken and taken.edge.eq(True).any()),
                "L_1": total,
                "L": constant,
                # row sums need no certificate: diag(L) - A is diagonally dominant
                "certified": column == "row_sums" or about["certificate"] >= CERTIFIED,
                "sigma_1": float(taken.sigma_1.mean()),
                "sigma_2": float(taken.sigma_2.mean()),
                "smoothness_anisotropy": bounds.smoothness_anisotropy(about["d"], constant, total),
                "noise_anisotropy": _interval(anisotropy),
                "bias_ratio": bounds.coefficients(total, constant, 1.0, 1.0, domain).bias_ratio,
                "noise_ratio": _interval(ratio),
            }
        )
    return found


def _interval(values: Sequence[float]) -> Interval:
    exact = len(set(values)) == 1
    return Interval(values[0], values[0], values[0], len(values)) if exact else mean_interval(values)


def exact(value: float, at_least: float) -> Answer:
    """Whether a number without chance in it is at least the threshold."""
    return "holds" if value >= at_least else "fails"


def sampled(row: Mapping[str, Any], name: str, at_least: float) -> Answer:
    """Whether a statistic of sigma is; undecided where a learning rate is at the edge of its grid."""
    return "inconclusive" if row["edge"] else decide(row[name], at_least, row["seeds"])


def ends(interval: Interval) -> dict[str, float | None]:
    """The interval's ends for a page, None where it has none."""
    return {name: v if math.isfinite(v) else None for name, v in (("low", interval.low), ("high", interval.high))}


def span(cells: Sequence[Mapping[str, Any]], name: str) -> str:
    """From the smallest to the largest value, in words."""
    values = [cell[name] for cell in cells]
    return f"{min(values):.3g} to {max(values):.3g}"
