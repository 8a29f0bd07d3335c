"""The tables of the study `training`."""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.papers.adadagrad.plans import LINEAR_RAMP, REPLAY, SAME_AVERAGE, STAGE_RAMP
from experiments.papers.adadagrad.reading import Measured
from experiments.sizes import Change
from experiments.statistics import mean_interval
from optim.adaptive import AdaptiveRule

if TYPE_CHECKING:
    import pandas

LABELS = ["task", "optimizer", "scheme", "rate"]
_SIZE_POINTS, _CURVE_POINTS = 60, 20
_DIGITS = {"steps": 1, "average_size": 1, "loss": 4, "test_accuracy": 4, "seconds": 4, "test_seconds": 4}


def runs(measured: Sequence[Measured], main: str) -> "pandas.DataFrame":
    """One row for each run on a fresh seed. steps, examples, average_size: examples/steps. first_size, final_size: as
    asked for (the last batch is cut to the budget). loss, test_loss, test_accuracy: at the end, NaN where it diverged.
    seconds: of training. test_seconds: of the main scheme, beyond its replay on the same seed.
    """
    import pandas as pd

    table = pd.DataFrame([_row(one) for one in measured])
    replays = table[table.scheme == REPLAY].set_index(["task", "optimizer", "rate", "seed"]).seconds
    keys = zip(table.task, table.optimizer, table.rate, table.seed, strict=True)
    without = np.array([replays.get(key, math.nan) for key in keys])
    return table.assign(test_seconds=np.where(table.scheme == main, table.seconds - without, math.nan))


def _row(one: Measured) -> dict[str, Any]:
    point = one.reported.point
    return {
        **point.labels,
        "kind": point.kind,
        "largest": point.largest,
        "lr": one.reported.lr,
        "edge": one.reported.edge,
        "seed": one.seed,
        "run": one.reported.run.id,
        "steps": one.steps,
        "examples": one.examples,
        "average_size": one.examples / one.steps,
        "first_size": one.changes[0][2],
        "final_size": one.changes[-1][2],
        **one.finals,
        "seconds": one.seconds,
        "diverged": one.diverged,
    }


def summary(table: "pandas.DataFrame") -> "pandas.DataFrame":
    """Means over the n seeds of each scheme with their 95% intervals (`_low`, `_high`; empty for one seed)."""
    import pandas as pd

    rows = []
    for labels, group in table.groupby(LABELS, sort=False):
        row: dict[str, Any] = {**dict(zip(LABELS, labels, strict=True)), "n": len(group)}
        for name, digits in _DIGITS.items():
            found = mean_interval(group[name])
            ends = {"": found.value, "_low": found.low, "_high": found.high}
            row |= {name + end: round(x, digits) if math.isfinite(x) else math.nan for end, x in ends.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def sizes(measured: Sequence[Measured]) -> "pandas.DataFrame":
    """The batch size along the runs under a test and their replays: the first step, the changes thinned to those that
    hold at 60 steps spaced geometrically, and the last step. examples: seen before that step. tests: taken before it.
    """
    import pandas as pd

    rows = []
    for one in measured:
        point = one.reported.point
        if point.kind not in ("adaptive", "replay"):
            continue
        tests = _tests(one)
        for step, seen, size in (*_thinned(one.changes, one.steps), _last(one)):
            row = {"step": step, "examples": seen, "size": size, "tests": tests(step)}
            rows.append({**point.labels, "seed": one.seed, **row})
    return pd.DataFrame(rows).drop_duplicates(ignore_index=True)


def _thinned(changes: Sequence[Change], steps: int) -> list[Change]:
    """The changes in force at steps spaced geometrically, if there are many; those of the first steps are all there."""
    if len(changes) <= _SIZE_POINTS:
        return list(changes)
    at = [step for step, _, _ in changes]
    wanted = np.unique(np.geomspace(1, steps, _SIZE_POINTS).round().astype(int))
    places = sorted({bisect.bisect_right(at, step) - 1 for step in wanted.tolist()})
    return [changes[place] for place in places]


def _last(one: Measured) -> Change:
    """The last step."""
    step, seen, size = one.changes[-1]
    return one.steps, seen + (one.steps - step) * size, size


def _tests(one: Measured) -> Callable[[int], int]:
    """How many tests had been taken before a step: one every `test_interval` steps, and none at the cap."""
    rule = one.reported.run.experiment.batch_size
    if not isinstance(rule, AdaptiveRule):
        return lambda _: 0
    at_cap = [step for step, _, size in one.changes if size >= rule.bound(one.reported.point.n)]
    end = at_cap[0] if at_cap and not rule.allow_decrease else one.steps
    return lambda step: (min(step, end) - 1) // rule.test_interval


def curves(measured: Sequence[Measured], main: str, optimizers: Mapping[str, str]) -> "pandas.DataFrame":
    """Thinned curves of the main scheme, constant sizes, ramps and replays, with the main optimizer of each task."""
    import pandas as pd

    shown = {main, SAME_AVERAGE, STAGE_RAMP, LINEAR_RAMP, REPLAY}
    frames = []
    for one in measured:
        point = one.reported.point
        if optimizers[point.task] != point.optimizer or not (point.scheme in shown or point.kind == "constant"):
            continue
        curve, at = one.curve, [step for step, _, _ in one.changes]
        picks = np.unique(np.linspace(0, len(curve.steps) - 1, _CURVE_POINTS).round().astype(int))
        places = [max(0, bisect.bisect_right(at, step) - 1) for step in curve.steps[picks].tolist()]
        columns = {
            "step": curve.steps[picks].astype(int),
            "examples": curve.examples[picks].astype(int),
            "seconds": curve.seconds[picks],
            "loss": curve.values["loss"][picks],
            "test_accuracy": curve.values["test_accuracy"][picks],
            "batch_size": [one.changes[place][2] for place in places],
        }
        frames.append(pd.DataFrame({**point.labels, "seed": one.seed, **columns}))
    return pd.concat(frames, ignore_index=True)
