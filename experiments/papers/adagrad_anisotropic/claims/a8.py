"""A8: imbalance along the axes is what AdaGrad's gain comes from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic import gains
from experiments.papers.adagrad_anisotropic.studies import rotation, synthetic_family
from experiments.statistics import (
    Answer,
    Interval,
    all_of,
    decide,
    exp_interval,
    mean_interval,
    paired_ratio,
    rank_correlation,
    rank_correlation_interval,
    ratio_of_means,
)

if TYPE_CHECKING:
    import pandas

FAMILY, ROTATION = "synthetic_family", "rotation"
CORRELATION = 0.8
FALL = 0.25  # of the gain, by rotation
MOVE = 0.03  # of SGD's gap, by rotation, must not be reached
PREDICTORS = ("bounds", "bounds, lambda_max", "R_b", "R_n")  # the first is the main one, chosen before any run


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """The main choice of everything, then each other choice on its own; each with every iterate and kind of SGD."""
    family, turned = measurements[FAMILY].tables["gaps"], measurements[ROTATION].tables["gaps"]
    methods = [m for m in family.method.unique() if m in set(turned.method)]
    options = {
        "R": list(PREDICTORS),
        "family": list(family.family.unique()),
        "batch": [int(size) for size in family.batch_size.unique()],
        "l2 of the rotated sets": list(turned.l2.unique()),
        "adagrad": gains.challengers(methods),
        "fall of": ["log ratio", "ratio"],
    }
    main = {name: values[0] for name, values in options.items()}
    variants = [main, *({**main, name: v} for name, values in options.items() for v in values[1:])]
    readouts = [r for r in family.readout.unique() if r in set(turned.readout)]
    return [{**v, "iterate": r, "sgd": rival} for v in variants for r in readouts for rival in gains.rivals(methods)]


def imbalance_matters(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A8: the gain follows the ratio of the bounds over the family, and a rotation takes it away."""
    answer, correlation, remarks, cells = _follows(measurements[FAMILY].tables, arm)
    of_rotation, more = _rotated(measurements[ROTATION].tables["gaps"], arm)
    both = all_of([answer, *of_rotation])
    if both == "holds" and NOT_TESTABLE in (answer, *of_rotation):
        both = "inconclusive"  # every part must hold
    return Judgement(both, correlation, (*remarks, *more), cells)


def _follows(
    tables: "Mapping[str, pandas.DataFrame]", arm: Mapping[str, Any]
) -> tuple[Answer, Interval, list[str], tuple[dict[str, Any], ...]]:
    """Answer, rank correlation of gain and R, remarks and cells."""
    gaps, known = tables["gaps"], tables["coefficients"]
    gaps = gaps[(gaps.family == arm["family"]) & (gaps.batch_size == arm["batch"])]
    cells, logs, edges = [], [], 0
    for labels, wide, edge in gains.by_cell(gaps, synthetic_family.KEYS, arm["iterate"], arm["sgd"], arm["adagrad"]):
        match = known[(known[list(labels)] == list(labels.values())).all(axis=1)].iloc[0]
        logs.append(gains.log_ratio(wide, arm["sgd"], arm["adagrad"]))
        gain = mean_interval(logs[-1])
        edges += edge
        cells.append({**labels, **{p: float(match[p]) for p in PREDICTORS}, **_plain("gain", gain), "edge": edge})
    if not cells:
        return NOT_TESTABLE, Interval(float("nan"), -1.0, 1.0, 0), ["no family was run"], ()
    seeds = min(len(each) for each in logs)
    correlation = rank_correlation_interval([cell[arm["R"]] for cell in cells], logs)
    values = [cell["gain"] for cell in cells]
    others = [name for name in (*PREDICTORS, "imbalance", "density") if name != arm["R"]]
    alone = [f"{name} {rank_correlation([cell[name] for cell in cells], values):.2f}" for name in others]
    followed = f"{correlation.value:.2f} ({correlation.low:.2f} to {correlation.high:.2f})"
    remarks = [
        f"{arm['family']}, batch {arm['batch']}, {len(cells)} problems: rank correlation of gain and R {followed}",
        f"R is {arm['R']}; with others alone: {', '.join(alone)}",
        f"the gain, log(SGD / AdaGrad), runs from {min(values):.2f} to {max(values):.2f}",
    ]
    if edges:
        remarks.append(f"in {edges} problems a best learning rate is at the edge of its grid: not decided")
    answer = "inconclusive" if edges else decide(correlation, CORRELATION, seeds=seeds)
    return answer, correlation, remarks, tuple(cells)


def _rotated(fresh: "pandas.DataFrame", arm: Mapping[str, Any]) -> tuple[list[Answer], list[str]]:
    """The answers "the gain falls" and "SGD stays", each for all sets and batch sizes, and a remark for each cell."""
    falls: list[Answer] = []
    stays: list[Answer] = []
    remarks = []
    fresh = fresh[fresh.l2 == arm["l2 of the rotated sets"]]
    methods = (arm["sgd"], arm["adagrad"])
    plain = gains.by_cell(fresh[~fresh.rotated], rotation.KEYS, arm["iterate"], *methods)
    turned = gains.by_cell(fresh[fresh.rotated], rotation.KEYS, arm["iterate"], *methods)
    for (labels, before, edge), (same, after, other_edge) in zip(plain, turned, strict=True):
        assert labels == same
        gain, left = gains.log_ratio(before, *methods), gains.log_ratio(after, *methods)
        had, move = mean_interval(gain), paired_ratio(after[arm["sgd"]], before[arm["sgd"]])
        fall = _fall(gain, left, arm["fall of"])
        at_edge = edge or other_edge
        stays.append("inconclusive" if at_edge else _within(move))
        falls.append("inconclusive" if at_edge else decide(fall, FALL) if had.low > 0 else NOT_TESTABLE)
        where = f"{labels['set']}, batch {labels['batch_size']}: SGD moves by {100 * (move.value - 1):+.2g}%"
        was, became = (exp_interval(i).value for i in (had, mean_interval(left)))
        ratios = f"the ratio SGD / AdaGrad from {was:.3g} to {became:.3g}"
        lost = f"the {arm['fall of']} falls by {100 * fall.value:.3g}% ({100 * fall.low:.3g} to {100 * fall.high:.3g})"
        remarks.append(f"{where}, {ratios}: {lost if had.low > 0 else 'no certain gain before the rotation'}")
    return [all_of(falls), all_of(stays)], remarks


def _fall(before: Sequence[float], after: Sequence[float], of: str) -> Interval:
    """By which share the gain falls."""
    left = (
        ratio_of_means(after, before)
        if of == "log ratio"
        else exp_interval(mean_interval(np.subtract(after, before).tolist()))
    )
    return Interval(1 - left.value, 1 - left.high, 1 - left.low, left.n)


def _within(move: Interval) -> Answer:
    """Is the ratio nearer to 1 than MOVE?"""
    over, under = decide(move, 1 - MOVE), decide(Interval(-move.value, -move.high, -move.low, move.n), -1 - MOVE)
    return all_of([over, under])


def _plain(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, "low": interval.low, "high": interval.high}


CLAIM = Claim(
    id="A8",
    sentence="AdaGrad's gain follows the ratio of the bounds over problems of different imbalance and density, and a "
    "random rotation of the features takes it away.",
    mark="D",
    studies=(FAMILY, ROTATION),
    statistic="rank correlation, over the synthetic family, of log(SGD's gap / AdaGrad's gap) with the ratio of their "
    "bounds at the same batch size and steps",
    threshold="at least 0.8; and after a rotation, on every set where there is a gain, the gain at least 25% lower and "
    "SGD's gap within 3%",
    judge=imbalance_matters,
    arms=arms,
)
