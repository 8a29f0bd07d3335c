"""Sets, arms and sentences that claims A6 and A7 share: both are about a share of the real sets."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.anisotropy_tables import ALL, EVERY_L2, FIXED, MAIN
from experiments.papers.adagrad_anisotropic.names import short
from experiments.papers.adagrad_anisotropic.set_constants import COMPARATORS
from experiments.statistics import LEAST_SEEDS, Answer, Interval, decide, decide_share, mean_interval
from experiments.theory import bounds

if TYPE_CHECKING:
    import pandas

STUDY = "anisotropy"
SHARE = 0.8  # of the real sets, as in A2; chosen before any of them was looked at
CERTIFIED = -1e-9  # least eigenvalue of diag(L) - A
SMALLEST, ROW_SUMS = "smallest certified", "row sums"
LARGEST, EIGENVALUE = "L_inf", "lambda_max"
NOT_COUNTED = "not counted"
_COLUMNS = {SMALLEST: "L", ROW_SUMS: "row_sums"}
NOTHING = Judgement(NOT_TESTABLE, Interval(float("nan"), 0.0, 1.0, 0), ("no real set is at hand",))


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """The main choice of everything, then each other choice on its own; another l2 on the sets that have every l2."""
    return _arms(measurements, {})


def arms_with_comparators(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """The same, with the choice of w* where a problem has no finite minimiser."""
    return _arms(measurements, {"comparator": list(COMPARATORS)})


def _arms(measurements: Measurements, more: Mapping[str, Sequence[str]]) -> Sequence[Mapping[str, Any]]:
    tables = measurements[STUDY].tables
    if tables["constants"].empty:
        return []
    noise, constants, sets = (tables[name] for name in ("noise", "constants", "choices"))
    where = sorted(noise["where"].unique(), key=lambda w: w != MAIN)
    options = {
        "l2": list(constants.l2.unique()),
        "sigma": where,
        "L": [SMALLEST, ROW_SUMS],
        "SGD's constant": [LARGEST, EIGENVALUE],
        "sets": [ALL, *(c for c in sets.choice.unique() if c != ALL)],
        **more,
    }
    main = {name: values[0] for name, values in options.items()}
    beside = {"l2": {"sets": EVERY_L2}} if EVERY_L2 in options["sets"] else {}
    changed = [{**beside.get(name, {}), name: value} for name, values in options.items() for value in values[1:]]
    return [main, *({**main, **change} for change in changed)]


def by_set(measurements: Measurements, arm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each set and made-up problem of an arm its constants, and intervals over the seeds of what depends on sigma.

    Keys: set, kind, constants (the row), L_1, L (SGD's constant), certified, sigma_1 and sigma_2 (means over the
    seeds), comparator and domain (what w* is), smoothness_anisotropy and bias_ratio (each also "..., lambda_max"),
    bias_ratios (by choice of w*; empty where the problem has a minimiser), and as Interval noise_anisotropy and
    noise_ratio. seeds: how many count; exact numbers have an interval of no width and count as enough. edge: whether a
    learning rate was at the edge of its grid.
    """
    tables = measurements[STUDY].tables
    constants = tables["constants"]
    if constants.empty:
        return []
    noise, others = tables["noise"], tables["comparators"]
    counted = set(tables["choices"][tables["choices"].choice == arm["sets"]]["set"])
    constants = constants[(constants.l2 == arm["l2"]) & (constants["set"].isin(counted) | (constants.kind != "real"))]
    noise = noise[(noise.l2 == arm["l2"]) & (noise["where"] == arm["sigma"])]
    others = others[others.l2 == arm["l2"]]
    found = []
    for about in constants.to_dict(orient="records"):
        taken = noise[noise["set"] == about["set"]]
        if taken.empty:
            continue  # no path was run for this l2
        of_choice = {row["choice"]: row for row in others[others["set"] == about["set"]].to_dict(orient="records")}
        point = of_choice.get(arm.get("comparator"), about)
        domain = bounds.Domain(point["D_inf"], point["D_2"])
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
                "comparator": point["comparator"],
                "domain": domain,
                "smoothness_anisotropy": bounds.smoothness_anisotropy(about["d"], constant, total),
                "smoothness_anisotropy, lambda_max": bounds.smoothness_anisotropy(
                    about["d"], about["lambda_max"], total
                ),
                "noise_anisotropy": _interval(anisotropy),
                "bias_ratio": _bias_ratio(total, constant, domain),
                "bias_ratio, lambda_max": _bias_ratio(total, about["lambda_max"], domain),
                "bias_ratios": {
                    choice: _bias_ratio(total, constant, bounds.Domain(row["D_inf"], row["D_2"]))
                    for choice, row in of_choice.items()
                },
                "noise_ratio": _interval(ratio),
            }
        )
    return found


def judge_sets(
    measurements: Measurements,
    arm: Mapping[str, Any],
    cells_of: Callable[[Mapping[str, Any]], Sequence[dict[str, Any]]],
    say: Callable[[list[dict[str, Any]]], list[str]],
    shown: Sequence[str],
) -> Judgement:
    """Whether the answer of a set is yes on at least SHARE of the real ones; made-up problems are only shown.

    cells_of: a set's cells, from its row of `by_set`; one of them counts, the others have the answer NOT_COUNTED. say:
    remarks about the cells of the real sets. shown: columns whose span over the made-up problems is told.
    """
    cells = [cell for row in by_set(measurements, arm) for cell in cells_of(row)]
    real = [cell for cell in cells if cell["kind"] == "real"]
    if not real:
        return NOTHING
    answer, share = decide_share([cell["answer"] for cell in real if cell["answer"] != NOT_COUNTED], SHARE)
    remarks = [*say(real), _absent(measurements[STUDY].tables)]
    made_up = [cell for cell in cells if cell["kind"] != "real" and cell["answer"] != NOT_COUNTED]
    if made_up:
        spans = ", ".join(f"{name} {span(made_up, name)}" for name in shown)
        remarks.append(
            f"not counted, {len(made_up)} made-up problems: {spans}; above both thresholds {held(made_up, 'answer')}"
        )
    return Judgement(answer, share, tuple(remarks), tuple(cells))


def _absent(tables: "Mapping[str, pandas.DataFrame]") -> str:
    """In words: real sets that are not at hand, and those at hand that an arm does not have."""
    constants, noise, chosen = tables["constants"], tables["noise"], tables["choices"]
    at_hand = list(constants[constants.kind == "real"]["set"].unique())
    has = {f"sets {choice}": set(names) for choice, names in chosen.groupby("choice", sort=False)["set"]}
    for l2 in constants.l2.unique():
        has[f"l2 = {l2}"] = set(noise[(noise.l2 == l2) & (noise["where"] == MAIN)]["set"])
    lacking: dict[str, list[str]] = {}
    for arm, names in has.items():
        missing = ", ".join(short(name) for name in at_hand if name not in names)
        lacking.setdefault(missing, []).append(arm)
    lacking.pop("", None)
    lists = "; ".join(f"{' and '.join(arms)}: without {missing}" for missing, arms in lacking.items())
    wanted = chosen[chosen.choice == ALL]["set"].unique()
    elsewhere = ", ".join(short(name) for name in wanted if name not in at_hand)
    return f"arms with fewer sets: {lists or 'none'}; not at hand: {elsewhere or 'none'}"


def _bias_ratio(total: float, constant: float, domain: bounds.Domain) -> float:
    return bounds.coefficients(total, constant, 1.0, 1.0, domain).bias_ratio


def _interval(values: Sequence[float]) -> Interval:
    exact = len(set(values)) == 1
    return Interval(values[0], values[0], values[0], len(values)) if exact else mean_interval(values)


def exact(value: float, at_least: float) -> Answer:
    """Whether a number without chance in it is at least the threshold; undecided where there is no number."""
    if math.isnan(value):
        return "inconclusive"
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


def held(cells: Sequence[Mapping[str, Any]], name: str) -> str:
    """On how many of the cells this answer is yes, in words."""
    return f"{sum(cell[name] == 'holds' for cell in cells)} of {len(cells)}"


def failing(cells: Sequence[Mapping[str, Any]], name: str) -> str:
    """The sets on which this answer is no, in words."""
    return ", ".join(short(cell["set"]) for cell in cells if cell[name] == "fails") or "none"


def dropping(cells: Sequence[Mapping[str, Any]], name: str) -> str:
    """The sets on which this answer is no with lambda_max only, in words."""
    return failing([cell for cell in cells if cell[name] != "fails"], f"{name}, lambda_max")
