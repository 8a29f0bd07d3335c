"""Examples to a target, the fitted critical batch, and what A4 and A5 say about them."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize

from experiments import api, config, curves, protocol, table
from experiments.claims import Claim, Verdict, judge
from experiments.papers.adagrad_anisotropic import critical_batches, curve_figures, predicted_batches
from experiments.papers.adagrad_anisotropic.claims.a4 import CLAIM as A4
from experiments.papers.adagrad_anisotropic.claims.a5 import CLAIM as A5
from experiments.papers.adagrad_anisotropic.claims.a5 import below_one
from experiments.papers.adagrad_anisotropic.studies import examples_to_target
from experiments.protocol import Cell, Protocol
from experiments.session import Session
from experiments.statistics import Interval
from experiments.store import Store
from experiments.theory.critical_batch import criticals, fit, predicted, slope, steps_to
from optim.settings import SettingError

SIZES = (1, 4, 16, 64, 256, 1024, 4096)


# The law -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("critical", [0.5, 37.0, 4000.0])
def test_the_law_is_found_again(critical: float) -> None:
    found = fit(SIZES, [250.0 * (1 + m / critical) for m in SIZES])
    assert found.critical == pytest.approx(critical, rel=1e-6)
    assert found.examples == pytest.approx(250.0, rel=1e-6)
    assert found.error < 1e-6
    assert found.at(12.0) == pytest.approx(250.0 * (1 + 12.0 / critical), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_the_least_squares_one(seed: int) -> None:
    """Against scipy's on both parameters, on data with noise."""
    logs: np.ndarray = np.log(90.0 * (1 + np.array(SIZES) / 55.0)) + 0.2 * np.random.default_rng(seed).normal(
        size=len(SIZES)
    )

    def residuals(at: Any) -> Any:
        return logs - at[0] - np.log1p(np.array(SIZES) / np.exp(at[1]))

    best = optimize.least_squares(residuals, [logs[0], 4.0], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    found = fit(SIZES, np.exp(logs))
    assert math.log(found.critical) == pytest.approx(best.x[1], abs=1e-5)
    assert math.log(found.examples) == pytest.approx(best.x[0], abs=1e-5)
    assert found.error == pytest.approx(math.sqrt(2 * best.cost / len(SIZES)), rel=1e-9)


def test_curves_without_a_knee_have_no_critical_batch() -> None:
    rising = fit(SIZES, [3.0 * m for m in SIZES])
    assert rising.critical == 0.0
    assert math.isnan(rising.examples)
    flat = fit(SIZES, [70.0] * len(SIZES))
    assert flat.critical == math.inf
    assert flat.examples == pytest.approx(70.0)


def test_many_laws_at_once_are_those_fitted_one_by_one() -> None:
    source = np.random.default_rng(0)
    rows = [50.0 * (1 + np.array(SIZES) / m) * np.exp(0.2 * source.normal(size=len(SIZES))) for m in (0.7, 9, 80, 3000)]
    needed = np.array([*rows, np.array(SIZES) ** 1.5, np.array(SIZES) ** -0.5])
    found = criticals(SIZES, needed)
    one_by_one = [fit(SIZES, row).critical for row in needed]
    assert one_by_one[-2:] == [0.0, math.inf]
    assert found.tolist() == pytest.approx(one_by_one, rel=0.006)


@pytest.mark.parametrize(("sizes", "needed"), [((1, 2), (1, 2)), ((1, 1, 1), (1, 2, 3)), ((1, 2, 4), (1, 2, math.inf))])
def test_a_law_that_cannot_be_fitted_is_refused(sizes: Sequence[float], needed: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="batch size"):
        fit(sizes, needed)


def test_slopes_and_predictions() -> None:
    assert slope((2, 8, 32), (5 * 2**0.7, 5 * 8**0.7, 5 * 32**0.7)) == pytest.approx(0.7)
    assert predicted(3.0, 2.0, 0.5) == 9.0
    assert predicted(3.0, 2.0, 0.0) == math.inf


def test_steps_to_a_target() -> None:
    """A gap of 8/t at recorded steps 1, 2, 4, ..., 64: it is 1 from step 8 on, and below 0.8 from step 10 on."""
    steps = [0, *(2**k for k in range(7))]
    gaps = [16.0, *(8 / t for t in steps[1:])]
    assert steps_to(steps, gaps, 1.0) == 8
    assert steps_to(steps, gaps, 0.8) == 10
    assert steps_to(steps, gaps, 0.79) == 11, "rounded up to a whole step"
    assert steps_to(steps, gaps, 9.0) == 1, "the first recorded step"
    assert steps_to(steps, gaps, 0.1) == math.inf
    assert steps_to([0, 1, 2, 3], [4.0, 3.0, 1.0, 2.0], 1.5) == 2, "the first time, and no later rise counts"
    for rounded in (-1e-18, 1e-300, 0.0):  # nothing below 1e-12 is known: 10 * 100^(log 2 / log 2e12) = 11.2
        assert steps_to([0, 10, 1000], [4.0, 2.0, rounded], 1.0) == 12
    assert steps_to([0, 5, 9], [4.0, math.nan, math.nan], 1.0) == math.inf


# Fits and claims, on tables whose answer is known --------------------------------------------------------------------


def measured(needed: Callable[[int, int], float], *, sizes: Sequence[int] = SIZES, seeds: int = 6, **about: Any) -> Any:
    """AdaGrad's examples by batch size and seed, in the form that the study gives."""
    shared = {"set": "logistic/one", "l2": "0", "eps": "1e-10", "sampling": "replacement", "grid": "factor 2"}
    shared |= {"iterate": "last", "method": "adagrad"}
    rest = {"target": 0.1, "gap": 0.05, "edge": False}
    return [
        {**shared, **rest, "batch": str(size), "batch_size": size, "seed": seed, "needed": needed(size, seed), **about}
        for size in sizes
        for seed in range(seeds)
    ]


def judged(claim: Claim, *groups: list[dict[str, Any]]) -> Verdict:
    runs = pd.DataFrame([row for group in groups for row in group])
    fits = critical_batches.fits(runs).assign(predicted=100.0, predicted_end=50.0)
    found = {"examples_to_target": examples_to_target.Examples({}, runs=runs, fits=fits)}
    verdict = judge(claim, found)
    json.dumps(asdict(verdict), allow_nan=False)
    return verdict


def law(critical: float, spread: float = 0.01, power: float = 1.0) -> Callable[[int, int], float]:
    """Seeds that are off by turns, the more so the larger the batch, in opposite directions that cancel."""
    return lambda size, seed: 500 * (1 + size / critical) ** power * math.exp(spread * (-1) ** seed * math.log(size))


def test_a_law_with_a_knee_in_the_middle_holds_in_both_claims() -> None:
    four, five = judged(A4, measured(law(130.0))), judged(A5, measured(law(130.0)))
    assert (four.answer, five.answer) == ("holds", "holds")
    cell = four.cells[0]
    assert cell["critical"] == pytest.approx(130.0, rel=0.001)
    assert cell["critical_low"] < cell["critical"] < cell["critical_high"]
    assert (cell["flat"], cell["steep"]) == ("holds", "holds")
    assert four.value == pytest.approx((1 + 16 / 130) / (1 + 1 / 130)), "M = 16 < M*/8 is the worst"
    assert five.value == pytest.approx(slope((1, 4, 16), [1 + m / 130 for m in (1, 4, 16)]))
    assert four.n == five.n == 6
    assert (cell["flat_sizes"], cell["slope_sizes"]) == ("1 to 16", "1 to 16")


def test_one_seed_without_a_knee_does_not_decide_about_the_law() -> None:
    def one_rising(size: int, seed: int) -> float:
        return 60.0 * size if seed == 0 else law(128.0, spread=0)(size, seed)

    row = critical_batches.fits(pd.DataFrame(measured(one_rising, seeds=10))).iloc[0]
    mean = fit(SIZES, [math.exp(np.mean([math.log(one_rising(m, s)) for s in range(10)])) for m in SIZES])
    assert row.critical.value == pytest.approx(mean.critical, rel=1e-9)
    assert 0 < row.critical.low < row.critical.value < row.critical.high == pytest.approx(128.0, rel=0.01)
    again = critical_batches.fits(pd.DataFrame(measured(one_rising, seeds=10))).iloc[0]
    assert again.critical == row.critical, "the same draws"


def test_flat_over_less_than_a_factor_of_four_shows_nothing() -> None:
    close = measured(law(64.0), sizes=(4, 6, 8, 64, 256, 1024))
    four, five = judged(A4, close), judged(A5, close)
    assert (four.cells[0]["flat"], four.cells[0]["flat_sizes"]) == ("inconclusive", ""), "4 to 8 is flat"
    assert five.cells[0]["slope_sizes"] == "4 to 8"
    assert any(remark.startswith("1 of 1 cells decided by the three smallest") for remark in five.remarks)


def test_a4_fails_where_small_batches_cost_more_and_where_the_end_is_not_linear() -> None:
    def bump(size: int, seed: int) -> float:
        return law(512.0)(size, seed) * (2.5 if size == 4 else 1.0)

    verdict = judged(A4, measured(bump))
    assert (verdict.answer, verdict.cells[0]["flat"]) == ("fails", "fails")
    assert any("not as claimed" in remark for remark in verdict.remarks)
    assert judged(A5, measured(bump)).answer == "holds", "a bump is no slope of 1"

    def square(size: int, seed: int) -> float:
        return 500 * (1 + (size / 64) ** 2) * math.exp(0.01 * (-1) ** seed)

    verdict = judged(A4, measured(square))
    assert (verdict.answer, verdict.cells[0]["steep"]) == ("fails", "fails")
    assert verdict.cells[0]["steep_slope"] > 1.1


@pytest.mark.parametrize(
    ("low", "high", "n", "answer"),
    [(0.5, 0.99, 6, "holds"), (0.9, 1.4, 6, "inconclusive"), (1.2, 1.4, 6, "fails"), (1.2, 1.4, 4, "inconclusive")],
)
def test_a5_asks_whether_the_interval_is_below_one(low: float, high: float, n: int, answer: str) -> None:
    slope, other = Interval((low + high) / 2, low, high, n), Interval(9.0, 8.0, 10.0, 6)
    row = {"edge": False, "missed": [], "largest": 64.0, "flat_slope": slope, "start_slope": other}
    assert below_one(row) == answer
    assert below_one(row | {"flat_slope": None, "start_slope": slope}) == answer, "M* below the sizes is no way out"
    assert below_one(row | {"edge": True}) == "inconclusive"
    assert below_one(row | {"missed": [8]}) == "inconclusive"
    assert below_one(row | {"missed": [128]}) == answer, "beyond the fitted sizes"
    assert below_one(row | {"flat_slope": None, "start_slope": None}) == "not testable at this scale"


def test_what_the_range_does_not_show_is_no_support() -> None:
    flat_only = judged(A4, measured(law(20000.0)))
    assert (flat_only.cells[0]["flat"], flat_only.cells[0]["steep"]) == ("holds", "not testable at this scale")
    assert flat_only.answer == "holds"
    assert any(remark.startswith("1 of 1 cells on the flat part alone") for remark in flat_only.remarks)
    steep_only = judged(A4, measured(law(3.0)))
    assert (steep_only.cells[0]["flat"], steep_only.cells[0]["steep"]) == ("inconclusive", "holds")
    assert steep_only.answer == "inconclusive", "nothing was seen to be free"
    both = judged(A4, measured(law(3.0)), measured(law(128.0), set="logistic/two"))
    assert both.answer == "inconclusive", "and another set does not make up for it"
    assert any("nothing seen to be free" in remark for remark in both.remarks)


@pytest.mark.parametrize(("power", "answer"), [(1.1, "fails"), (1.0, "inconclusive"), (0.9, "holds")])
def test_examples_that_grow_like_the_batch_from_the_start_decide_a5(power: float, answer: str) -> None:
    rising = measured(lambda size, seed: 10.0 * size**power * math.exp(0.001 * (-1) ** seed * math.log(size)))
    five = judged(A5, rising, measured(law(128.0), set="logistic/two"))
    assert five.answer == answer
    four = judged(A4, rising)
    assert four.answer != "holds"
    assert four.cells[0]["critical"] != 0 or four.cells[0]["steep_slope"] is None


def test_every_set_and_target_must_agree_and_edges_and_few_seeds_decide_nothing() -> None:
    good, bad = measured(law(128.0)), measured(law(128.0, power=1.9), target=0.03)
    assert judged(A4, good, bad).answer == "fails"
    assert judged(A4, good, measured(law(128.0), set="logistic/two")).answer == "holds"
    for claim in (A4, A5):
        assert judged(claim, measured(law(128.0), edge=True)).answer == "inconclusive"
        assert judged(claim, measured(law(128.0), seeds=4)).answer == "inconclusive"
        assert judged(claim, good, measured(law(128.0, power=1.9), method="sgd")).answer == "holds", "not about SGD"


def test_sizes_that_a_seed_never_gets_to_are_left_out_and_named() -> None:
    def missing(size: int, seed: int) -> float:
        return math.inf if size == 1 and seed == 3 else law(128.0)(size, seed)

    four = judged(A4, measured(missing))
    cell = four.cells[0]
    assert (cell["missed"], cell["sizes"], cell["smallest"]) == ("1", 6, 4.0)
    assert (cell["flat"], four.answer, judged(A5, measured(missing)).answer) == ("inconclusive",) * 3
    assert any("a seed never gets there at 1:" in remark for remark in four.remarks)
    late = measured(lambda size, seed: math.inf if size == 4096 else law(128.0)(size, seed))
    assert judged(A4, late).answer == judged(A5, late).answer == "holds", "missed beyond what was fitted"
    full = measured(law(128.0), sizes=(8192,), batch="full", batch_size=10**6)
    assert judged(A4, measured(law(128.0)), full).cells[0]["largest"] == 4096, "the exact gradient is not in the fit"
    assert judged(A4, measured(lambda size, seed: math.inf)).answer == "not testable at this scale"


def test_arms_on_some_sets_are_compared_with_the_main_one_on_these_sets() -> None:
    """The second set fails, and only it: so the sets decide, and not the arms that leave it out."""
    good, bad = measured(law(128.0)), measured(law(128.0, power=1.9), set="logistic/two")
    arms = [measured(law(128.0), l2="1/n"), measured(law(128.0), eps="1e-5")]
    verdict = judged(A4, good, bad, *arms)
    assert [(a["l2"], a["eps"], a["sets"], a["answer"]) for a in verdict.arms] == [
        ("0", "1e-10", "all", "fails"),
        ("0", "1e-10", "one", "holds"),
        ("1/n", "1e-10", "one", "holds"),
        ("0", "1e-5", "one", "holds"),
    ]
    assert verdict.deciding == "sets"
    assert all("sets" not in arm for arm in judged(A4, good, *arms).arms)


def test_curves_of_four_batch_sizes_show_the_median_over_seeds() -> None:
    gaps = {0: (1.0, 1.0, 1.0), 1: (0.4, 0.1, 0.2), 2: (0.3, -1e-18, 0.05)}
    points = pd.DataFrame(
        {"set": "one", "method": "adagrad", "batch": str(size), "seed": seed, "steps": step, "examples": step * size}
        | {"seconds": 0.1 * step * (1 + seed), "gap": gap}
        for size in (1, 2, 4, 8)
        for step, values in gaps.items()
        for seed, gap in enumerate(values)
    )
    about: dict[str, Any] = {"methods": {"adagrad": []}, "batch_sizes": {"one": [1, 2, 4, 8]}, "target": 0.1, "l2": 0}
    about |= {"iterate": {"last": "gap"}, "alone": [0, 1, 2]}
    costs = pd.DataFrame([{"set": "one"}])
    figure, _ = curve_figures.draw(points, costs, SimpleNamespace(**about), "What?")["curves"]
    lines = {line.get_label(): line for line in figure.axes[2].lines}  # seconds
    shown = [lines[f"adagrad, {name}"] for name in ("smallest", "no. 2", "no. 3", "largest")]
    assert shown[0].get_xdata().tolist() == pytest.approx([0.2, 0.4])
    assert shown[0].get_ydata().tolist() == [0.2, 0.05]
    plt.close(figure)


# Runs ----------------------------------------------------------------------------------------------------------------


def settings(**changed: Any) -> examples_to_target.Settings:
    about: dict[str, Any] = {
        "sets": ["logistic/breast_cancer"],
        "batch_sizes": [16, 64, 256, "full"],
        "passes": 3,
        "steps": 40,
        "targets": [0.6, 0.4],
        "l2": ["1/n"],
        "methods": {"adagrad": ["optimizer=adagrad", "optimizer.eps=1e-10"]},
        "readouts": {"last": "gap", "average": "average/gap"},
        "grid": {"adagrad": [0.25, 2.0]},
        "tuning_seeds": [1000],
        "seeds": [0, 1],
    }
    return examples_to_target.Settings(**{**about, **changed})


def test_the_study_from_end_to_end(tmp_path: Path) -> None:
    """The examples of every fresh run are read off its own record, the rates are inside, the constants are right."""
    session = Session(tmp_path)
    found = examples_to_target.measure(settings(), session)
    assert len(found.runs) == 4 * 2 * 2 * 2
    assert not found.runs.edge.any()
    rows = table.load(session.store, only=set(found.reported))
    for row in found.runs.itertuples():
        metric = "gap" if row.iterate == "last" else "average/gap"
        own = rows[(rows.run == row.run) & (rows.metric == metric)].sort_values("step")
        start = own.value.iloc[0]
        below = own[own.value <= row.target * start]
        if below.empty:
            assert row.needed == math.inf
            continue
        before = own[own.step < below.step.iloc[0]]
        assert before.examples.iloc[-1] < row.needed <= below.examples.iloc[0]
        assert row.needed % row.batch_size == 0
        assert row.gap == pytest.approx(row.target * start)
    cells = found.tables["cells"]
    assert ((cells.first_rate < cells.lr) & (cells.lr < cells.last_rate)).all()
    task = api.load_task("logistic/breast_cancer", [f"task.l2={1 / 569!r}"])
    bound = task.curvature_bound()
    assert bound is not None
    x = bound[0].toarray()
    top = float(np.linalg.eigvalsh(x.T @ x / (4 * 569) + np.eye(30) / 569)[-1])
    gradients = -0.5 * x  # at w = 0, up to the sign of a row
    params = task.init()
    losses = torch.func.vmap(
        torch.func.grad(lambda w, i: task.losses({"weight": w}, task.batch(i[None])).sum()), (None, 0)
    )
    gradients = losses(params["weight"], torch.arange(569)).numpy()
    sigma = gradients.std(axis=0)
    fits = found.fits
    assert fits.predicted.tolist() == pytest.approx(
        [sigma.sum() ** 2 / (_total(task) * gap) for gap in fits.gap], rel=1e-9
    )
    (row,) = predicted_batches.constants("logistic/breast_cancer", 1 / 569, "")
    assert row["top_eigenvalue"] == pytest.approx(top, rel=1e-9)
    assert row["noise_l2_start"] == pytest.approx(float(np.linalg.norm(sigma)), rel=1e-9)


def _total(task: Any) -> float:
    from experiments.theory.smoothness import smoothness

    return smoothness(*task.curvature_bound()).total


def test_a_set_may_have_its_own_budget_and_targets() -> None:
    own = {"targets": [0.4], "passes": 2, "steps": 7, "batch_sizes": [64]}
    sets = ["logistic/breast_cancer", "logistic/power_law"]
    found = examples_to_target.cells(settings(sets=sets, only={"logistic/breast_cancer": own}))
    first, *rest = found
    assert set(first.readouts) == {"last 0.4", "average 0.4"}
    assert first.labels["steps"] == math.ceil(2 * 569 / 64) + 7
    assert f"budget.examples={first.labels['steps'] * 64}" in first.words
    assert [cell.labels["batch"] for cell in rest] == ["16", "64", "256", "full"]
    assert set(rest[0].readouts) == {"last 0.6", "last 0.4", "average 0.6", "average 0.4"}
    assert rest[0].labels["steps"] == 3 * 2000 // 16 + 40


def test_curves_are_those_of_the_table(tmp_path: Path) -> None:
    words = ["optimizer=adagrad", "lanes.lr=[0.1,1.0]", "lanes.seed=[0,1]", "budget.steps=20", f"store={tmp_path}"]
    runs = [result.id for result in api.run(words)]
    store = Store(tmp_path)
    found = curves.read(store, runs[1:], ["gap"])
    rows = table.load(store)
    assert set(found) == set(runs[1:])
    for run, curve in found.items():
        own = rows[(rows.run == run) & (rows.metric == "gap")].sort_values("step")
        assert curve.values["gap"].tolist() == own.value.tolist()
        assert curve.examples.tolist() == own.examples.tolist()
        assert np.isnan(curve.seconds).all(), "four runs shared the job"


def test_a_target_that_no_rate_reaches_falls_back_on_the_final_gap() -> None:
    words = ("task=logistic/breast_cancer", "optimizer=adagrad", "batch_size.size=64", "budget.steps=10")
    cell = Cell({}, words, (0.5, 1.0), {"last 0.1": "needed"}, None, {"last 0.1": "gap"})
    rounds = []

    def complete(runs: Sequence[Any], purpose: str) -> dict[str, dict[str, float | None]]:
        rounds.append(runs)
        gaps = {run.id: abs(math.log2(run.hyper["lr"] / 4)) for run in runs}
        return {run: {"needed": math.inf, "gap": gap} for run, gap in gaps.items()}

    how = Protocol((1000,), (0,), 2.0, tuning_record="log")
    found = protocol.measure([cell], how, complete)
    assert found.fresh.lr.tolist() == [4.0]
    assert not found.fresh.edge.any()
    assert found.fresh.value.tolist() == [math.inf]
    assert {run.experiment.record for run in rounds[0]} == {"log"}
    assert rounds[0][0].experiment.key == config.request(list(words)).runs[0].experiment.key


@pytest.mark.parametrize(
    "changed",
    [
        {"targets": []},
        {"targets": [1.0]},
        {"targets": [0.1, 0.1]},
        {"only": {"logistic/breast_cancer": {"targets": [2]}}},
    ],
)
def test_targets_that_make_no_sense_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="targets"):
        settings(**changed)
