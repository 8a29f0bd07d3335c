"""A8: imbalance along the axes is what AdaGrad's gain comes from."""

import math
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
    decide_at_most,
    exp_interval,
    mean_interval,
    paired_ratio,
    rank_correlation,
    rank_correlation_interval,
)

if TYPE_CHECKING:
    import pandas

FAMILY, ROTATION = "synthetic_family", "rotation"
CORRELATION = 0.8
GAIN = math.log(1.2)  # of SGD over AdaGrad, as in A2
FALL = 0.25  # of the gain, by rotation
MOVE = 0.03  # of SGD's gap, by rotation, must not be reached: a check of the code, for SGD commutes with rotations
PREDICTORS = ("bounds", "bounds, lambda_max", "R_b", "R_n")  # the first is the main one, chosen before any run


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """The main choice of everything, then each other choice on its own; each with every iterate and kind of SGD."""
    family, turned = measurements[FAMILY].tables["gaps"], measurements[ROTATION].tables["gaps"]
    if family.empty or turned.empty:
        return []
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
    gaps = tables["gaps"]
    gaps = gaps[(gaps.family == arm["family"]) & (gaps.batch_size == arm["batch"])]
    known = tables["coefficients"].set_index(list(synthetic_family.KEYS))[list(PREDICTORS)].to_dict(orient="index")
    cells, samples = [], []
    for labels, of, edge in gains.by_cell(gaps, synthetic_family.KEYS, arm["iterate"], arm["sgd"], arm["adagrad"]):
        samples.append(gains.log_ratio(of[arm["sgd"]], of[arm["adagrad"]]))
        gain = mean_interval(samples[-1])
        ends = {"gain": gain.value, "low": gain.low, "high": gain.high}
        cells.append({**labels, **known[tuple(labels.values())], **ends, "edge": edge})
    if not cells:
        return NOT_TESTABLE, Interval(float("nan"), -1.0, 1.0, 0), ["no family was run"], ()
    values = [cell["gain"] for cell in cells]
    correlation, of_imbalance = (
        rank_correlation_interval([cell[name] for cell in cells], values) for name in (arm["R"], "imbalance")
    )
    others = [name for name in (*PREDICTORS, "density") if name != arm["R"]]
    alone = [f"{name} {rank_correlation([cell[name] for cell in cells], values):.2f}" for name in others]
    problems = f"{arm['family']}, batch {arm['batch']}, {len(cells)} problems"
    remarks = [
        f"{problems}: rank correlation of gain and R {_bounded(correlation)}",
        f"rank correlation of gain and imbalance, which knows neither bound: {_bounded(of_imbalance)}",
        f"R is {arm['R']}; with others alone: {', '.join(alone)}",
        f"the gain, log(SGD / AdaGrad), runs from {min(values):.2f} to {max(values):.2f}",
    ]
    edges = sum(cell["edge"] for cell in cells)
    if edges:
        remarks.append(f"in {edges} problems a best learning rate is at the edge of its grid: not decided")
    answer = "inconclusive" if edges else decide(correlation, CORRELATION, seeds=min(map(len, samples)))
    return answer, correlation, remarks, tuple({name: _finite(v) for name, v in cell.items()} for cell in cells)


def _rotated(fresh: "pandas.DataFrame", arm: Mapping[str, Any]) -> tuple[list[Answer], list[str]]:
    """The answers "the gain falls" and "SGD stays", each for all sets and batch sizes, and their remarks."""
    sgd, adagrad = arm["sgd"], arm["adagrad"]
    falls: list[Answer] = []
    stays: list[Answer] = []
    remarks, tested = [], 0
    for where, by_rotation, edge in _of_cells(fresh[fresh.l2 == arm["l2 of the rotated sets"]], arm):
        before, *after = by_rotation
        turned = after[0][sgd]  # as in every rotation: SGD is run in the first one only
        gain, move = mean_interval(gains.log_ratio(before[sgd], before[adagrad])), paired_ratio(turned, before[sgd])
        left = [float(np.mean(gains.log_ratio(turned, of[adagrad]))) for of in after]  # one for each rotation
        was, became = exp_interval(gain).value, exp_interval(mean_interval(left)).value
        said = f"{where}: the ratio SGD / AdaGrad from {was:.3g} to {became:.3g}"
        if edge:
            falls.append("inconclusive")
            said += ", a best learning rate is at the edge of its grid: not decided"
        elif gain.low > GAIN:
            tested += 1
            fall = _fall(gain.value, left, arm["fall of"])
            falls.append(decide(fall, FALL))
            ends = f"{100 * fall.low:.3g} to {100 * fall.high:.3g}, {fall.n} rotations"
            said += f", the {arm['fall of']} falls by {100 * fall.value:.3g}% ({ends})"
        else:
            falls.append(NOT_TESTABLE)
            said += ", no certain gain before the rotation"
        stays.append("inconclusive" if edge else _within(move))
        remarks.append(f"{said}; check of the code: SGD moves by {100 * (move.value - 1):+.2g}%")
    remarks.append(f'"the gain falls" was tested in {tested} of {len(falls)} cells: where the ratio was above 1.2')
    return [all_of(falls), all_of(stays)], remarks


def _of_cells(
    fresh: "pandas.DataFrame", arm: Mapping[str, Any]
) -> list[tuple[str, list[dict[str, list[float]]], bool]]:
    """For each cell: its name, the gaps by method of the set as it is and of its rotations, is any rate at an edge."""
    found: dict[str, list[dict[str, list[float]]]] = {}
    edges: dict[str, bool] = {}
    keys = (*rotation.KEYS, "rotation")
    for labels, of, edge in gains.by_cell(fresh, keys, arm["iterate"], arm["sgd"], arm["adagrad"]):
        where = f"{labels['set']}, batch {labels['batch_size']}"
        found.setdefault(where, []).append(of)
        edges[where] = edges.get(where, False) or edge
    return [(where, gaps, edges[where]) for where, gaps in found.items()]


def _fall(before: float, after: Sequence[float], of: str) -> Interval:
    """By which share the gain falls, over rotations."""
    if of == "log ratio":
        left = mean_interval([gain / before for gain in after])
    else:
        left = exp_interval(mean_interval([gain - before for gain in after]))
    return Interval(1 - left.value, 1 - left.high, 1 - left.low, left.n)


def _within(move: Interval) -> Answer:
    """Is the ratio nearer to 1 than MOVE?"""
    return all_of([decide(move, 1 - MOVE), decide_at_most(move, 1 + MOVE)])


def _bounded(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _finite(value: Any) -> Any:
    """None for a number that JSON has not: that of a diverged run."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


CLAIM = Claim(
    id="A8",
    sentence="AdaGrad's gain follows the ratio of the bounds over problems of different imbalance and density, and a "
    "random rotation of the features takes it away.",
    mark="D",
    studies=(FAMILY, ROTATION),
    statistic="rank correlation, over the synthetic family, of log(SGD's gap / AdaGrad's gap) with the ratio of their "
    "bounds at the same batch size and steps",
    threshold="at least 0.8; and after random rotations, in every cell where SGD's gap was above 1.2 times "
    "AdaGrad's (95% interval), the gain at least 25% lower (95% interval over rotations) and, as a check of the code, "
    "SGD's gap within 3%",
    judge=imbalance_matters,
    arms=arms,
)
