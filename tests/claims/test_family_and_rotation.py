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
from scipy.stats import t

from data.generators import power_law_classification
from experiments import checks
from experiments.claims import Verdict, judge, write
from experiments.components import CONFIGS
from experiments.papers.adagrad_anisotropic import gains
from experiments.papers.adagrad_anisotropic.claims import CLAIMS
from experiments.papers.adagrad_anisotropic.studies import rotation, synthetic_family
from experiments.protocol import Outcome
from experiments.session import Session
from experiments.statistics import rank_correlation
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
        assert row["effective_density"] == pytest.approx(row["D_2"] ** 2 / (row["d"] * row["D_inf"] ** 2), rel=1e-12)
        assert 1 / row["d"] <= row["effective_density"] <= 1


# The control ---------------------------------------------------------------------------------------------------------


def test_a_rotation_leaves_sgd_and_adagrad_norm_as_they_were_and_moves_adagrad(tmp_path: Path) -> None:
    found = rotation.measure(smoke(rotation, "rotation"), Session(tmp_path))
    gaps = found.tables["gaps"].pivot(index=["method", "seed"], columns="rotation", values="value")
    for method in ("sgd", "adagrad_norm"):
        assert gaps.loc[method][1].tolist() == pytest.approx(gaps.loc[method][0].tolist(), rel=1e-9)
        assert gaps.loc[method][2].isna().all(), "one rotation is enough to check the code"
    of_adagrad = gaps.loc["adagrad"]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(of_adagrad[one], of_adagrad[other], rtol=1e-3)
    assert not found.tables["gaps"].edge.any()
    assert len(found.reported) == len(found.tables["gaps"]) == (2 + 2 + 3) * 2


def test_a_set_may_have_fewer_cells_than_the_others(tmp_path: Path) -> None:
    sets = {name: ["task=logistic/power_law", "task.examples=100", "task.dimension=20"] for name in ("one", "two")}
    only = {"two": {"l2": [0.1], "batch_sizes": [50]}}
    chosen = smoke(rotation, "rotation", sets=sets, only=only, l2=[0.1, 0.2], batch_sizes=[20, 50])
    table = rotation.measure(chosen, Session(tmp_path)).tables["gaps"]
    cells = set(table[["set", "l2", "batch_size"]].itertuples(index=False, name=None))
    assert cells == {("one", l2, size) for l2 in ("0.1", "0.2") for size in (20, 50)} | {("two", "0.1", 50)}


@pytest.mark.parametrize(
    ("study", "change", "said"),
    [
        ("rotation", {"methods": {"sgd": ["optimizer=sgd"]}}, "must have 'sgd' and 'adagrad'"),
        ("rotation", {"sets": {"one": ["logistic/a9a"]}}, "begins with task="),
        ("rotation", {"l2": ["1/m"]}, 'l2 must hold numbers from 0 or "1/n"'),
        ("rotation", {"rotations": [0, 1]}, "rotations must be numbers from 1"),
        ("rotation", {"rotations": [1, 1]}, "none twice"),
        ("rotation", {"only": {"other": {"l2": [0]}}}, "only: 'other' must be one of the sets"),
        ("rotation", {"only": {"power_law": {"passes": 3}}}, "with batch_sizes, l2 or both"),
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
    assert checks.rates([0.25, 4.0], 2.0) == (0.25, 0.5, 1.0, 2.0, 4.0)
    assert checks.rates([1.0, 5.0], 4.0) == (1.0, 4.0, 16.0)
    assert checks.rates([1.0, 1.0], 2.0) == (1.0,)


def test_cells_come_as_they_were_run_with_the_methods_they_have() -> None:
    rows = [
        {"cell": cell, "readout": "last", "method": method, "seed": seed, "value": value + seed, "edge": method == edge}
        for cell, edge, values in (("b", "x", {"x": 1.0, "y": 2.0}), ("a", "", {"x": math.inf}), ("c", "z", {"y": 3.0}))
        for method, value in (values | {"z": 0.0}).items()
        for seed in (0, 1)
    ]
    table = pd.DataFrame([*rows, *({**row, "readout": "average", "value": -1.0} for row in rows)])
    assert list(gains.by_cell(table, ["cell"], "last", "x", "y")) == [
        ({"cell": "b"}, {"x": [1.0, 2.0], "y": [2.0, 3.0]}, True),
        ({"cell": "a"}, {"x": [math.inf, math.inf]}, False),
        ({"cell": "c"}, {"y": [3.0, 4.0]}, False),
    ]


# A8 ------------------------------------------------------------------------------------------------------------------


def measured(
    gain: Callable[[float, float], float] = lambda imbalance, density: imbalance + density,
    plain: float = 1.0,
    turned: float = 0.5,
    moved: float = 1.0,
    **changes: Any,
) -> Mapping[str, Found]:
    """A family with this gain and R = exp(imbalance + density), and one set whose gain goes from `plain` to `turned`,
    a little more or less in each rotation, while SGD's gap is multiplied by `moved`. changes: seeds; rotations; edge:
    of which study the rates are at one.
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
    turns = range(1, changes.get("rotations", 5) + 1)
    middle = sum(turns) / len(turns)
    for number, log in ((0, plain), *((k, turned + 0.01 * (k - middle)) for k in turns)):
        for seed in seeds:
            level = 10.0**-seed * (moved if number else 1.0)
            about = {"set": "a", "l2": "0", "batch_size": 32, "rotation": number, "readout": "last", "seed": seed}
            about["edge"] = changes.get("edge") == "rotation"
            ratio = math.exp(log + 0.01 * (-1) ** (seed // 2))
            rotated.append({**about, "method": "adagrad", "value": level / ratio})
            if number < 2:  # SGD is run in the first rotation only
                rotated.append({**about, "method": "sgd", "value": level})
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
    assert '"the gain falls" was tested in 1 of 1 cells: where the ratio was above 1.2' in verdict.remarks


def test_the_fall_has_the_t_interval_over_rotations() -> None:
    half = 100 * t.ppf(0.975, 4) * 0.01 * np.std([1, 2, 3, 4, 5], ddof=1) / math.sqrt(5) / (1 + 0.01 / 3)
    fall = 100 * (1 - (0.5 + 0.01 / 3) / (1 + 0.01 / 3))
    assert any(f"({fall - half:.3g} to {fall + half:.3g}, 5 rotations)" in remark for remark in a8().remarks)
    assert a8(rotations=4).answer == "inconclusive", "four rotations are too few"


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
        (math.log(1.19), 0.0, "inconclusive"),  # too small a one
        (math.log(1.25), 0.0, "holds"),
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


def test_diverged_seeds_are_no_numbers_in_the_cells(tmp_path: Path) -> None:
    found = measured(gain=lambda imbalance, density: math.inf if imbalance == density == 1.0 else imbalance + density)
    verdict = judge(A8, found)
    [diverged] = [cell for cell in verdict.cells if cell["gain"] is None]
    assert (diverged["imbalance"], diverged["density"], diverged["low"], diverged["high"]) == (1.0, 1.0, None, None)
    write([verdict], tmp_path / "verdicts.json", {})


@pytest.mark.parametrize("study", ["synthetic_family", "rotation"])
def test_a_study_without_runs_cannot_be_tested(study: str) -> None:
    empty = Found({"gaps": pd.DataFrame(), "coefficients": pd.DataFrame()})
    assert judge(A8, {**measured(), study: empty}).answer == "not testable at this scale"


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
                about["examples"] = 4096
                value = 10.0**-seed * factor * (math.exp(0.01 * (-1) ** seed) if method != "adagrad" else 1.0)
                rows.append(
                    {**about, "batch": str(size), "batch_size": size, "steps": 40, "method": method, "value": value}
                )
    verdict = judge(A9, {"gap_by_batch_size": Outcome(pd.DataFrame(), pd.DataFrame(rows))})
    assert verdict.answer == answer
    assert verdict.value == pytest.approx(sum(ratio > 1.2 for ratio in ratios) / 5)
    assert [cell["ratio"] for cell in verdict.cells] == pytest.approx(ratios)
    assert "sgd" not in verdict.arms[0], "the kind of SGD does not matter here"
