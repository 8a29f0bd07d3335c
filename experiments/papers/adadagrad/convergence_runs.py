"""What the study `convergence` calculates: plain values in, rows of plain values out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.calculations import Row
from experiments.seeds import derive
from experiments.statistics import mean_interval
from experiments.theory.adaptive_batches import (
    Lane,
    Method,
    Problem,
    draw_problem,
    second_moments,
    simulate,
)

NORM, COORDINATES = "adagrad_norm", "adagrad"
EXACT, SAMPLE, CONSTANT, FULL = "exact test", "sample test", "constant", "full"


def _problem(seed: int, problem: dict[str, Any]) -> Problem:
    """The problem of a seed; `problem` has examples, dimension and flipped."""
    return draw_problem(_source(seed, "problem"), **problem)


def _source(seed: int, *names: str | int) -> np.random.Generator:
    return np.random.default_rng(derive(seed, *names))


def _method(name: str, v_0: float, eps: float) -> Method:
    """AdaGrad-Norm starts from v_0 and has no eps, AdaGrad the other way round."""
    return Method(False, v_0, 0.0) if name == NORM else Method(True, 0.0, eps)


def paths(
    seed: int,
    problem: dict[str, Any],
    method: str,
    alpha: list[float],
    eta: list[float],
    initial: int,
    constant: list[int],
    v_0: float,
    eps: float,
    at: list[int],
) -> list[Row]:
    """One row for each alpha and scheme, with lists over the K in `at`; see `adaptive_batches.Paths`.

    Lanes of a seed draw from the same numbers: as long as their batch sizes agree they see the same batches. kept is
    None without a test.
    """
    schemes: list[tuple[Any, float, int]] = [(FULL, 0.0, 0), *((CONSTANT, 0.0, size) for size in constant)]
    schemes += [(scheme, value, initial) for scheme in (EXACT, SAMPLE) for value in eta]
    lanes = [Lane(step, *scheme) for step in alpha for scheme in schemes]
    made = _problem(seed, problem)
    found = simulate(made, _method(method, v_0, eps), lanes, at, [_source(seed, "batches") for _ in lanes])
    rows = []
    for k, lane in enumerate(lanes):
        tested = lane.scheme in (EXACT, SAMPLE)
        row: Row = {"method": method, "seed": seed, "alpha": lane.alpha, "scheme": lane.scheme}
        row |= {"eta": lane.eta if tested else None, "batch": lane.size if lane.scheme == CONSTANT else None}
        row |= {"steps": at, "mean_square": found.mean_squares[k].tolist()}
        row |= {"size": found.sizes[k].tolist(), "examples": found.examples[k].tolist()}
        row |= {"sampled": int(found.sampled[k]), "kept": int(found.kept[k]) if tested else None}
        rows.append(row)
    return rows


def moments(
    seed: int,
    problem: dict[str, Any],
    method: str,
    alpha: float,
    eta: list[float],
    initial: int,
    v_0: float,
    eps: float,
    at: list[int],
    draws: int,
) -> list[Row]:
    """One row for each eta and point of the full-gradient run, 0 its start: E[moment of ghat]/(moment of g) at the
    batch size that the exact test asks for, estimated with a 95% interval from so many batches.

    expected: its exact value; promised: 1 + eta^2. By coordinate these are those of the coordinate that sets the batch
    size, and `above` counts the coordinates whose whole interval is above what is promised.
    """
    made, way = _problem(seed, problem), _method(method, v_0, eps)
    rows: list[Row] = []
    for step, point in zip(at, _full_run(made, way, alpha, at), strict=True):
        for value in eta:
            source = _source(seed, "moments", step, repr(value))
            size, expected, samples = second_moments(made, way, point, value, initial, draws, source)
            intervals = [mean_interval(column) for column in samples.T]
            binding, promised = int(np.argmax(expected)), 1 + value**2
            found = intervals[binding]
            row: Row = {"method": method, "seed": seed, "step": step, "eta": value, "size": size}
            row |= {"expected": float(expected[binding]), "promised": promised, "ratio": found.value}
            row |= {"low": _finite(found.low), "high": _finite(found.high)}
            row |= {"above": sum(interval.low > promised for interval in intervals)}
            rows.append(row)
    return rows


def _full_run(made: Problem, method: Method, alpha: float, at: Sequence[int]) -> list[np.ndarray]:
    """Points of the run with the exact gradient."""
    later = [step for step in at if step > 0]
    start = np.zeros(made.rows.shape[1])
    if not later:
        return [start for _ in at]
    found = simulate(made, method, [Lane(alpha, "full")], later, [_source(0)])
    after = dict(zip(later, found.points[0], strict=True))
    return [after[step] if step else start for step in at]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
