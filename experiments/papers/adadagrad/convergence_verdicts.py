"""What claims B8 to B10 share: slopes of A_K, and K A_K against the full gradient's, seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experiments.claims import NOT_TESTABLE, Judgement, Measurements
from experiments.papers.adadagrad.convergence_runs import CONSTANT, EXACT, FULL, SAMPLE
from experiments.statistics import (
    UNKNOWN,
    Answer,
    Interval,
    all_of,
    decide,
    decide_at_most,
    mean_interval,
    paired_ratio,
)

if TYPE_CHECKING:
    import pandas

STUDY = "convergence"
STEEPEST, FLATTEST = -1.1, -0.9  # slopes of log A_K against log K
ROOM = 1.5  # times 1 + eta^2: K A_K over that of the full gradient
ALL = "all"
ALPHA = 1.0  # where B8 and B9 look
STATISTIC = "slope of log A_K against log K over [K/20, K] at alpha = 1 (the eta that is farthest from -1)"
THRESHOLD = (
    "in [-1.1, -0.9], and K A_K at most 1.5 (1 + eta^2) times the full gradient's, for every eta; and the slope below "
    "that of the first constant batch size (95% interval of the paired difference; this part is ours)"
)
PER_EXAMPLE = (
    "the rate is per step: where ||grad F||^2 falls like 1/k the demand grows like k, so per example it is of the "
    "order of SGD at a constant batch size"
)
NOTHING = Judgement(NOT_TESTABLE, UNKNOWN, ("no runs",))


def most(eta: float) -> float:
    """The largest K A_K that is wanted, over the full gradient's."""
    return ROOM * (1 + eta**2)


def arms(measurements: Measurements) -> list[dict[str, Any]]:
    """Every eta together or alone, under the exact test and under the sample test; the main one first."""
    table = measurements[STUDY].tables["runs"]
    etas = [float(eta) for eta in table.eta.dropna().unique()]
    tests = [test for test in (EXACT, SAMPLE) if (table.scheme == test).any()]
    return [{"eta": eta, "test": test} for test in tests for eta in (ALL, *etas)] if etas else []


def at_one_alpha(measurements: Measurements, arm: Mapping[str, Any], method: str) -> Judgement:
    """B8 and B9: the rate at alpha = 1, steeper than at a constant batch size; with what is worth knowing beside it."""
    found = judged(measurements, arm, method, [ALPHA], beside_constant=True)
    if not found.cells:
        return found
    more = [_sampling_remark(found.cells), *_constant_remarks(measurements, method)]
    if arm["test"] == EXACT:
        of_sample = judged(measurements, {**arm, "test": SAMPLE}, method, [ALPHA], beside_constant=False)
        more += [_sample_remark(of_sample.cells)] if of_sample.cells else []
    more += [_enforced(measurements, method), PER_EXAMPLE]
    return replace(found, remarks=(*found.remarks, *more))


def judged(
    measurements: Measurements, arm: Mapping[str, Any], method: str, alphas: Sequence[float], beside_constant: bool
) -> Judgement:
    """Slopes in the band and K A_K within what is wanted, at every eta of the arm and every alpha.

    beside_constant: the slopes must be below that of the first constant batch size as well, which shows that the
    problem can tell the two rates apart.
    """
    table = measurements[STUDY].tables["runs"]
    own = table[(table.method == method) & table.alpha.isin(alphas)]
    chosen = own[own.scheme == arm["test"]]
    if arm["eta"] != ALL:
        chosen = chosen[chosen.eta == arm["eta"]]
    if chosen.empty:
        return NOTHING
    cells = [
        _cell(part, own[own.alpha == alpha], beside_constant)
        for (alpha, _), part in chosen.groupby(["alpha", "eta"], sort=False)
    ]
    worst = max(cells, key=lambda cell: abs(cell["slope"] + 1))
    statistic = Interval(worst["slope"], worst["low"], worst["high"], worst["seeds"])
    answers: list[Answer] = [cell["answer"] for cell in cells]
    return Judgement(all_of(answers), statistic, tuple(_remarks(cells)), tuple(cells))


def _cell(part: "pandas.DataFrame", others: "pandas.DataFrame", beside_constant: bool) -> dict[str, Any]:
    """One alpha and eta; `others`: all runs at this alpha."""
    tested = part.set_index("seed").sort_index()
    full = _by_seed(others[others.scheme == FULL], tested)
    constant = _first_constant(others)
    eta = float(part.eta.iloc[0])
    found = mean_interval(tested.slope)
    ratio = paired_ratio(tested.total, full.total)
    beside = mean_interval(_by_seed(constant, tested).slope) if len(constant) else None
    answers = {
        "slope": all_of([decide(found, STEEPEST), decide_at_most(found, FLATTEST)]),
        "total": decide_at_most(ratio, most(eta)),
    }
    if beside_constant:
        steeper = mean_interval(tested.slope - _by_seed(constant, tested).slope) if beside else None
        answers["constant"] = decide_at_most(steeper, 0.0) if steeper else "inconclusive"
    kept = tested.kept[tested.sampled > 0]
    return {
        "alpha": float(part.alpha.iloc[0]),
        "eta": eta,
        "slope": found.value,
        "low": found.low,
        "high": found.high,
        "late": float(tested.late.mean()),
        "total over full": ratio.value,
        "total low": ratio.low,
        "total high": ratio.high,
        "wanted": most(eta),
        "full slope": float(full.slope.mean()),
        "constant slope": beside.value if beside else None,
        "constant batch": int(constant.batch.iloc[0]) if beside else None,
        "steps": int(tested.steps.iloc[0]),
        "sampled": float(tested.sampled.median()),
        "kept": float(kept.mean()) if len(kept) else None,
        "seeds": found.n,
        **{f"{name} answer": answer for name, answer in answers.items()},
        "answer": all_of(list(answers.values())),
    }


def _by_seed(part: "pandas.DataFrame", like: "pandas.DataFrame") -> "pandas.DataFrame":
    """One row for each seed of `like`, in its order."""
    return part.set_index("seed").loc[like.index]


def _first_constant(others: "pandas.DataFrame") -> "pandas.DataFrame":
    constant = others[others.scheme == CONSTANT]
    return constant[constant.batch == constant.batch.iloc[0]] if len(constant) else constant


def _remarks(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each alpha."""
    lines = []
    for alpha in dict.fromkeys(cell["alpha"] for cell in cells):
        own = [cell for cell in cells if cell["alpha"] == alpha]
        of_eta = "; ".join(
            f"eta {cell['eta']:g}: slope {_bounded(cell['slope'], cell['low'], cell['high'])}, late "
            f"{cell['late']:.3f}, K A_K {_bounded(cell['total over full'], cell['total low'], cell['total high'])} "
            f"times the full gradient's, wanted at most {cell['wanted']:.3g}: {cell['answer']}"
            for cell in own
        )
        beside = f"the full gradient's slope {own[0]['full slope']:.3f}"
        if own[0]["constant slope"] is not None:
            beside += f", that of constant b = {own[0]['constant batch']} {own[0]['constant slope']:.3f}"
        lines.append(f"alpha {alpha:g}: {of_eta}; {beside}")
    return lines


def _bounded(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _constant_remarks(measurements: Measurements, method: str) -> list[str]:
    """The slopes of the constant batch sizes at alpha = 1, about -1/2 where noise limits."""
    table = measurements[STUDY].tables["runs"]
    own = table[(table.method == method) & (table.alpha == ALPHA) & (table.scheme == CONSTANT)]
    found = {int(batch): mean_interval(part.slope) for batch, part in own.groupby("batch", sort=False)}
    return [
        f"constant b = {b}: slope {_bounded(s.value, s.low, s.high)}, expected about -1/2" for b, s in found.items()
    ]


def _sampling_remark(cells: Sequence[Mapping[str, Any]]) -> str:
    """How long batches were drawn at all."""
    drawn = ", ".join(f"{cell['sampled']:g} (eta {cell['eta']:g})" for cell in cells)
    return (
        f"steps with a batch, of {cells[0]['steps']} (median): {drawn}; in the others the demand was above 1e12 and "
        "the gradient exact, so that the slope -1 is trivial and K A_K is what can fail"
    )


def _sample_remark(cells: Sequence[Mapping[str, Any]]) -> str:
    """What becomes of it under the test that can be computed."""
    of_eta = "; ".join(
        f"eta {cell['eta']:g}: slope {cell['slope']:.3f}, K A_K {cell['total over full']:.3g} times the full gradient's"
        + ("" if cell["kept"] is None else f", inequality held at {100 * cell['kept']:.3g}% of the steps with a batch")
        for cell in cells
    )
    return f"under the sample test, beside the claim: {of_eta}"


def _enforced(measurements: Measurements, method: str) -> str:
    """One line on the Monte Carlo of the inequality at frozen points."""
    table = measurements[STUDY].tables["moments"]
    own = table[table.method == method]
    refuted = int((own.above > 0).sum())
    parts = own.ratio / own.promised
    return (
        f"E of the squared estimate over that of the gradient at {len(own)} frozen points and etas: {parts.min():.3f} "
        f"to {parts.max():.3f} of the promised 1 + eta^2; at {refuted} of them a 95% interval lies wholly above it (by "
        "chance in 2.5% of those that meet it with equality)"
    )
