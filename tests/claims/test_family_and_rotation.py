"""Claims A8 and A9 on tables whose answer is known, and the numbers behind A8 against independent computations."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import optimize, special
from scipy.stats import spearmanr, t

from data.generators import power_law_classification
from experiments.claims import Verdict, judge
from experiments.components import CONFIGS
from experiments.papers.adagrad_anisotropic import gains
from experiments.papers.adagrad_anisotropic.claims import CLAIMS
from experiments.papers.adagrad_anisotropic.studies import rotation, synthetic_family
from experiments.protocol import Outcome
from experiments.session import Session
from experiments.statistics import rank_correlation, rank_correlation_interval, ratio_of_means
from experiments.study import Found
from optim import settings as declared
from optim.settings import SettingError

A8, A9 = (next(claim for claim in CLAIMS if claim.id == name) for name in ("A8", "A9"))
SEEDS = 6
FAMILY = [(imbalance, density) for imbalance in (0.0, 0.5, 1.0, 1.5, 2.0) for density in (0.1, 0.3, 1.0)]


def smoke(study: Any, name: str, **changes: Any) -> Any:
    chosen = yaml.safe_load((CONFIGS / "paper" / "adagrad-anisotropic" / "smoke.yaml").read_text())[name]
    return declared.build(study.Settings, {**chosen, **changes}, name)


# Statistics ----------------------------------------------------------------------------------------------------------


def test_fiellers_interval_holds_the_ratios_that_a_t_test_does_not_refuse() -> None:
    source = np.random.default_rng(3)
    bottom = 1.0 + 0.2 * source.normal(size=8)
    top = 0.4 * bottom + 0.1 * source.normal(size=8)
    found = ratio_of_means(top.tolist(), bottom.tolist())
    assert found.value == pytest.approx(top.mean() / bottom.mean(), rel=1e-14)
    for ratio, inside in ((found.low, None), (found.high, None), (found.low + 1e-6, True), (found.high + 1e-6, False)):
        rest = top - ratio * bottom
        statistic = abs(rest.mean()) / (rest.std(ddof=1) / math.sqrt(8))
        if inside is None:
            assert statistic == pytest.approx(t.ppf(0.975, 7), rel=1e-9)
        else:
            assert (statistic < t.ppf(0.975, 7)) == inside


@pytest.mark.parametrize("bottom", [[1.0, -1.0, 0.5, -0.4], [1.0, 2.0, math.inf, 1.0]])
def test_a_ratio_to_what_may_be_zero_has_no_bounds(bottom: list[float]) -> None:
    found = ratio_of_means([1.0, 1.1, 0.9, 1.0], bottom)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_the_bootstrap_of_a_rank_correlation_is_that_of_a_plain_loop() -> None:
    source = np.random.default_rng(5)
    x = source.normal(size=9).round(1)  # with ties
    samples = (x[:, None] + source.normal(size=(9, 4))).tolist()
    found = rank_correlation_interval(x.tolist(), samples, draws=300)
    assert found.value == pytest.approx(spearmanr(x, np.mean(samples, axis=1)).statistic, rel=1e-12)
    again = np.random.default_rng(0)
    inner = [again.integers(4, size=(300, 4)) for _ in samples]
    points = again.integers(9, size=(300, 9))
    loop = []
    for draw in range(300):
        means = [np.asarray(s)[of[draw]].mean() for s, of in zip(samples, inner, strict=True)]
        loop.append(spearmanr(x[points[draw]], np.asarray(means)[points[draw]]).statistic)
    assert [found.low, found.high] == pytest.approx(np.quantile(loop, [0.025, 0.975]).tolist(), rel=1e-12)
    assert found.n == 9


@pytest.mark.parametrize("x", [[1.0, 2.0, 3.0, 4.0], [1.0] * 6])
def test_few_or_equal_points_give_no_bounds(x: list[float]) -> None:
    found = rank_correlation_interval(x, [[float(i), i + 0.5] for i in range(len(x))])
    assert (found.low, found.high) == (-math.inf, math.inf)


# Coefficients --------------------------------------------------------------------------------------------------------


def test_the_coefficients_of_a_logistic_problem_are_those_of_its_matrix() -> None:
    n, d, l2 = 150, 12, 0.02
    words = ["task=logistic/power_law", f"task.examples={n}", f"task.dimension={d}", "task.nonzeros=3"]
    [found] = synthetic_family.coefficients([*words, f"task.l2={l2}", "task.imbalance=1.5", "task.density=0.5"], "")
    made = power_law_classification(n, d, nonzeros=3.0, imbalance=1.5, density=0.5, margin=2.0, seed=0)
    x, y = made.inputs.toarray(), made.targets
    hessian = x.T @ x / (4 * n) + l2 * np.eye(d)
    assert found["L_1"] == pytest.approx(hessian.sum(), rel=1e-12), "row sums are optimal for X >= 0"
    assert found["L_inf"] == pytest.approx(hessian.sum(axis=1).max(), rel=1e-12)
    assert found["lambda_max"] == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-10)
    sigma = (-0.5 * y[:, None] * x).std(axis=0)
    assert found["sigma_1"] == pytest.approx(sigma.sum(), rel=1e-12)
    assert found["sigma_2"] == pytest.approx(np.linalg.norm(sigma), rel=1e-12)

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        margins = y * (x @ w)
        slope = -special.expit(-margins) * y
        return float(np.logaddexp(0, -margins).mean() + l2 / 2 * w @ w), x.T @ slope / n + l2 * w

    point = optimize.minimize(objective, np.zeros(d), jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-11}).x
    assert found["D_inf"] == pytest.approx(np.abs(point).max(), rel=1e-6)
    assert found["D_2"] == pytest.approx(np.linalg.norm(point), rel=1e-6)
    assert found["certificate"] >= -1e-9


def test_the_ratio_of_the_bounds_at_a_batch_size(tmp_path: Path) -> None:
    chosen = smoke(synthetic_family, "synthetic_family", batch_sizes=[20, 100])
    table = synthetic_family.measure(chosen, Session(tmp_path)).tables["coefficients"]
    assert len(table) == 2 * 6
    for row in table.to_dict(orient="records"):
        steps, examples = 600 / row["batch_size"], 600
        assert row["steps"] == steps
        sgd = row["L_inf"] * row["D_2"] ** 2 / steps + row["sigma_2"] * row["D_2"] / math.sqrt(examples)
        adagrad = row["L_1"] * row["D_inf"] ** 2 / steps + row["sigma_1"] * row["D_inf"] / math.sqrt(examples)
        assert row["bounds"] == pytest.approx(sgd / adagrad, rel=1e-12)
        assert min(row["R_b"], row["R_n"]) <= row["bounds"] <= max(row["R_b"], row["R_n"]), "it is between its parts"
        assert 1 / 20 <= row["R_b"] <= 20
        assert 1 / math.sqrt(20) <= row["R_n"] <= math.sqrt(20)


# The control ---------------------------------------------------------------------------------------------------------


def test_a_rotation_leaves_sgd_and_adagrad_norm_as_they_were_and_moves_adagrad(tmp_path: Path) -> None:
    found = rotation.measure(smoke(rotation, "rotation"), Session(tmp_path))
    gaps = found.tables["gaps"].pivot(index=["method", "seed"], columns="rotated", values="value")
    for method in ("sgd", "adagrad_norm"):
        assert gaps.loc[method][True].tolist() == pytest.approx(gaps.loc[method][False].tolist(), rel=1e-9)
    assert not np.allclose(gaps.loc["adagrad"][True], gaps.loc["adagrad"][False], rtol=1e-3)
    assert not found.tables["gaps"].edge.any()
    assert len(found.reported) == len(found.tables["gaps"]) == 3 * 2 * 2


@pytest.mark.parametrize(
    ("study", "change", "said"),
    [
        ("rotation", {"methods": {"sgd": ["optimizer=sgd"]}}, "must have 'sgd' and 'adagrad'"),
        ("rotation", {"sets": {"one": ["logistic/a9a"]}}, "begins with task="),
        ("rotation", {"l2": ["1/m"]}, 'l2 must hold numbers from 0 or "1/n"'),
        ("rotation", {"grid": {"sgd": [1.0, 2.0]}}, "must have its first and last learning rate"),
        ("synthetic_family", {"imbalances": [1.0, 1.0]}, "none twice"),
        ("synthetic_family", {"families": {"one": {"words": []}}}, "must have words, imbalance, density and grid"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(study: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=study) as problem:
        smoke({"rotation": rotation, "synthetic_family": synthetic_family}[study], study, **change)
    assert said in str(problem.value)


def test_a_grid_of_rates() -> None:
    assert gains.rates([0.25, 4.0], 2.0) == (0.25, 0.5, 1.0, 2.0, 4.0)
    assert gains.rates([1.0, 5.0], 4.0) == (1.0, 4.0, 16.0)
    assert gains.rates([1.0, 1.0], 2.0) == (1.0,)


# A8 ------------------------------------------------------------------------------------------------------------------


def measured(
    gain: Callable[[float, float], float] = lambda imbalance, density: imbalance + density,
    plain: float = 1.0,
    turned: float = 0.5,
    moved: float = 1.0,
    **changes: Any,
) -> Mapping[str, Found]:
    """A family with this gain and R = exp(imbalance + density), and one set whose gain goes from `plain` to `turned`
    while SGD's gap is multiplied by `moved`. changes: seeds; edge: of which study the rates are at one.
    """
    seeds = range(changes.get("seeds", SEEDS))
    gaps, known, rotated = [], [], []
    for imbalance, density in FAMILY:
        labels = {"family": "one", "imbalance": imbalance, "density": density, "batch_size": 32}
        r = math.exp(imbalance + density)
        known.append({**labels, "bounds": r, "bounds, lambda_max": 1 / r, "R_b": r, "R_n": 1 / r})
        for seed in seeds:
            level = 10.0**-seed  # what the seeds share cancels
            about = {**labels, "readout": "last", "seed": seed, "edge": changes.get("edge") == "synthetic_family"}
            ratio = math.exp(gain(imbalance, density) + 0.01 * (-1) ** seed)
            gaps += [{**about, "method": "sgd", "value": level * ratio}, {**about, "method": "adagrad", "value": level}]
    for is_turned, log in ((False, plain), (True, turned)):
        for seed in seeds:
            level = 10.0**-seed * (moved if is_turned else 1.0)
            about = {"set": "a", "l2": "0", "batch_size": 32, "rotated": is_turned, "readout": "last", "seed": seed}
            about["edge"] = changes.get("edge") == "rotation"
            ratio = math.exp(log + 0.01 * (-1) ** (seed // 2))
            rotated += [
                {**about, "method": "sgd", "value": level},
                {**about, "method": "adagrad", "value": level / ratio},
            ]
    family = {"gaps": pd.DataFrame(gaps), "coefficients": pd.DataFrame(known)}
    return {"synthetic_family": Found(family), "rotation": Found({"gaps": pd.DataFrame(rotated)})}


def a8(**changes: Any) -> Verdict:
    return judge(A8, measured(**changes))


def test_a_gain_that_follows_r_and_goes_with_the_axes_holds() -> None:
    verdict = a8()
    assert verdict.answer == "holds"
    assert verdict.value == pytest.approx(1.0)
    assert verdict.n == len(FAMILY)
    assert [arm["answer"] for arm in verdict.arms if arm["R"] in ("R_n", "bounds, lambda_max")] == ["fails"] * 2
    assert verdict.deciding == "R"
    left = (0.5 + 0.01 / 3) / (1.0 + 0.01 / 3)  # four of the six seeds have 0.01 more, two have less
    assert any(f"the log ratio falls by {100 * (1 - left):.3g}%" in remark for remark in verdict.remarks)


def test_a_gain_that_follows_the_imbalance_alone_is_reported_as_such() -> None:
    verdict = a8(gain=lambda imbalance, density: imbalance - 2 * density)
    r = [imbalance + density for imbalance, density in FAMILY]
    expected = rank_correlation(r, [imbalance - 2 * density for imbalance, density in FAMILY])
    assert verdict.value == pytest.approx(expected)
    assert verdict.answer == "fails"


@pytest.mark.parametrize(
    ("plain", "turned", "answer"),
    [
        (1.0, 0.7, "holds"),
        (1.0, 0.8, "fails"),
        (1.0, 0.75, "inconclusive"),
        (1.0, -0.5, "holds"),  # all of the gain and more
        (1.0, 1.3, "fails"),
        (0.0, -0.5, "inconclusive"),  # there was no gain to lose
        (-1.0, -2.0, "inconclusive"),
    ],
)
def test_the_gain_must_fall_by_a_quarter(plain: float, turned: float, answer: str) -> None:
    assert a8(plain=plain, turned=turned).answer == answer


def test_a_fall_of_the_ratio_is_an_arm() -> None:
    arms = {arm["fall of"]: arm["answer"] for arm in a8(plain=2.0, turned=1.6).arms if arm["R"] == "bounds"}
    assert arms == {"log ratio": "fails", "ratio": "holds"}, "exp(-0.4) is a loss of a third, of the logarithm a fifth"


@pytest.mark.parametrize(("moved", "answer"), [(1.029, "holds"), (0.971, "holds"), (1.031, "fails"), (0.969, "fails")])
def test_sgd_must_stay(moved: float, answer: str) -> None:
    assert a8(moved=moved).answer == answer


@pytest.mark.parametrize("edge", ["synthetic_family", "rotation"])
def test_a_rate_at_the_edge_of_its_grid_decides_nothing(edge: str) -> None:
    assert a8(edge=edge).answer == "inconclusive"


def test_few_seeds_decide_nothing() -> None:
    assert a8(seeds=4).answer == "inconclusive"


# A9 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratios", "answer"),
    [([1.5] * 5, "holds"), ([1.5] * 4 + [1.0], "holds"), ([1.5] * 3 + [1.0] * 2, "fails"), ([0.5] * 5, "fails")],
)
def test_adagrad_against_adagrad_norm(ratios: list[float], answer: str) -> None:
    rows = []
    for size, ratio in zip((8, 32, 128, 512, 2048), ratios, strict=True):
        for method, factor in (("sgd", 100.0), ("adagrad_norm", ratio), ("adagrad", 1.0)):
            for seed in range(SEEDS):
                about = {"set": "a", "l2": "0", "readout": "last", "lr": 0.5, "edge": False, "seed": seed}
                value = 10.0**-seed * factor * (math.exp(0.01 * (-1) ** seed) if method != "adagrad" else 1.0)
                rows.append(
                    {**about, "batch": str(size), "batch_size": size, "steps": 40, "method": method, "value": value}
                )
    verdict = judge(A9, {"gap_by_batch_size": Outcome(pd.DataFrame(), pd.DataFrame(rows))})
    assert verdict.answer == answer
    assert verdict.value == pytest.approx(sum(ratio > 1.2 for ratio in ratios) / 5)
    assert [cell["ratio"] for cell in verdict.cells] == pytest.approx(ratios)
    assert "sgd" not in verdict.arms[0], "the kind of SGD does not matter here"
