"""Anisotropy of L and sigma: coefficients, constants of a set against brute force, and the claims A6 and A7."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, sparse
from scipy.special import expit

from experiments import api, claims
from experiments.claims import NOT_TESTABLE
from experiments.figures import plain_log_ticks
from experiments.papers.adagrad_anisotropic import anisotropy_tables
from experiments.papers.adagrad_anisotropic.claims import a6, a7
from experiments.papers.adagrad_anisotropic.set_constants import comparators, constants, sorted_curves
from experiments.papers.adagrad_anisotropic.studies import anisotropy
from experiments.session import Session
from experiments.study import Found
from experiments.theory import bounds, linear_models
from optim import settings
from optim.settings import SettingError

# Coefficients --------------------------------------------------------------------------------------------------------


def ratios(smoothness: np.ndarray, noise: np.ndarray, domain: bounds.Domain) -> tuple[float, float]:
    length = math.sqrt((noise**2).sum())
    found = bounds.coefficients(float(smoothness.sum()), float(smoothness.max()), float(noise.sum()), length, domain)
    return found.bias_ratio, found.noise_ratio


def test_the_coefficients_by_hand() -> None:
    found = bounds.coefficients(7.0, 4.0, 5.0, 3.0, bounds.comparator([1.0, -2.0, 2.0]))
    assert bounds.comparator([1.0, -2.0, 2.0]) == bounds.Domain(2.0, 3.0)
    assert (found.adagrad_bias, found.adagrad_noise) == (7 * 4, 5 * 2)
    assert (found.sgd_bias, found.sgd_noise) == (4 * 9, 3 * 3)
    assert (found.bias_ratio, found.noise_ratio) == (36 / 28, 9 / 10)


def test_the_ratios_are_between_one_over_d_and_d() -> None:
    d = 9
    one, all_ = np.eye(d)[2], np.ones(d)
    assert ratios(one, one, bounds.comparator(all_)) == pytest.approx((d, math.sqrt(d)), rel=1e-15)
    assert ratios(all_, all_, bounds.comparator(one)) == pytest.approx((1 / d, 1 / math.sqrt(d)), rel=1e-15)
    assert ratios(all_, all_, bounds.box(d, 3.0)) == pytest.approx((1, 1), rel=1e-15)
    assert ratios(one, one, bounds.box(d, 3.0)) == pytest.approx((d, math.sqrt(d)), rel=1e-15)
    source = np.random.default_rng(0)
    for _ in range(200):
        smoothness, noise, point = source.random((3, d)) ** source.integers(1, 20)
        bias, scatter = ratios(smoothness, noise, bounds.comparator(point))
        assert 1 / d <= bias <= d
        assert 1 / math.sqrt(d) <= scatter <= math.sqrt(d)
        of_box = ratios(smoothness, noise, bounds.box(d, 0.5))
        assert min(of_box) >= 1 - 1e-12, "on a box both favour AdaGrad, whatever L and sigma are"
        assert of_box[0] == pytest.approx(bounds.smoothness_anisotropy(d, smoothness.max(), smoothness.sum()))
        assert of_box[1] == pytest.approx(bounds.noise_anisotropy(d, float(np.linalg.norm(noise)), noise.sum()))


def test_nothing_to_divide_by() -> None:
    found = bounds.coefficients(0.0, 0.0, 0.0, 0.0, bounds.box(3, 1.0))
    assert math.isnan(found.bias_ratio)
    assert math.isnan(found.noise_ratio)
    assert math.isnan(bounds.smoothness_anisotropy(3, 0.0, 0.0))
    assert math.isnan(bounds.noise_anisotropy(3, 0.0, 0.0))


# Vectors that follow from the rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("side", [10_000, 4])
def test_row_sums_and_diagonal(signs: bool, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_models, "DENSE_SIDE", side)
    source = np.random.default_rng(1)
    x = source.random((20, 6)) * (source.random((20, 6)) < 0.5)
    x = x * source.choice([-1.0, 1.0], (20, 6)) if signs else x
    a = np.zeros((6, 6))
    sizes = np.zeros((6, 6))
    for row in x:
        for j in range(6):
            for k in range(6):
                a[j, k] += 0.25 / 20 * row[j] * row[k]
                sizes[j, k] += 0.25 / 20 * abs(row[j] * row[k])
    loose = signs and side < 6
    expected = (sizes if loose else abs(a)).sum(axis=1) + 0.1
    for rows in (x, sparse.csr_array(x)):
        np.testing.assert_allclose(linear_models.row_sums(rows, 0.25, 0.1), expected, rtol=1e-13)
        np.testing.assert_allclose(linear_models.diagonal(rows, 0.25, 0.1), a.diagonal() + 0.1, rtol=1e-13)
    assert np.linalg.eigvalsh(np.diag(expected) - a - 0.1 * np.eye(6))[0] >= -1e-12
    assert np.linalg.eigvalsh(np.diag(a.diagonal()) - a)[0] < -1e-3, "the diagonal is no valid L"


def test_no_point_has_more_noise_than_everywhere() -> None:
    source = np.random.default_rng(2)
    x = source.normal(size=(40, 5))
    x[:, 4] = 0
    most = linear_models.noise_everywhere(x)
    reached = np.zeros(5)
    for _ in range(300):
        w = source.normal(size=5) * 10 ** source.uniform(-2, 2)
        each = -x * expit(-(x @ w))[:, None]
        assert (each.std(axis=0) <= most * (1 + 1e-12)).all()
        reached = np.maximum(reached, each.std(axis=0))
    assert (reached[:4] > 0.5 * most[:4]).all(), "and it is no idle bound"
    np.testing.assert_array_equal(linear_models.touched(x), [True] * 4 + [False])


# The constants of a set, against brute force -------------------------------------------------------------------------


def set_on_disk(folder: Path, signs: bool) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Words of a task on 60 rows with 6 columns, of which the last is empty; its rows and labels."""
    source = np.random.default_rng(3)
    x = np.round(source.random((60, 6)) * (source.random((60, 6)) < 0.6), 3) * [1, 2, 3, 0.5, 1, 0]
    x = x * source.choice([-1.0, 1.0], x.shape) if signs else x
    y = np.where(source.random(60) < 1 / (1 + np.exp(-(x @ [1, -1, 0.5, 2, 0, 0]))), 1.0, -1.0)
    lines = (
        f"{label:+g} " + " ".join(f"{j + 1}:{float(v)!r}" for j, v in enumerate(row) if v)
        for label, row in zip(y, x, strict=True)
    )
    (folder / "set").write_text("\n".join(lines) + "\n")
    return ["task=logistic/libsvm", f"task.path={folder / 'set'}", "task.features=6"], x, y


def smallest_total(a: np.ndarray) -> float:
    """`min sum L, diag(L) >= A` by its dual, `max <A, V V'>` over unit rows V, from several starts."""
    d, source = len(a), np.random.default_rng(0)

    def negative(flat: np.ndarray) -> float:
        v = flat.reshape(d, d)
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
        return -float(np.sum((a @ v) * v))

    starts = [source.normal(size=d * d) for _ in range(4)]
    return max(-optimize.minimize(negative, start, options={"gtol": 1e-10}).fun for start in starts)


@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize("signs", [False, True])
def test_constants_against_brute_force(signs: bool, l2: float, tmp_path: Path) -> None:
    words, x, y = set_on_disk(tmp_path, signs)
    (row,) = constants([*words, f"task.l2={l2}"], "any")
    x = x[:, :5]  # the empty column counts nowhere
    a = x.T @ x / (4 * 60) + l2 * np.eye(5)

    def slopes(w: np.ndarray) -> np.ndarray:
        return np.asarray(-y[:, None] * x / (1 + np.exp(y * (x @ w)))[:, None] + l2 * w)  # one row for each example

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        value = np.logaddexp(0, -y * (x @ w)).mean() + l2 / 2 * w @ w
        return float(value), slopes(w).mean(axis=0)

    best = optimize.minimize(objective, np.zeros(5), jac=True, method="BFGS", options={"gtol": 1e-11}).x
    assert (row["d"], row["columns"], row["examples"], row["comparator"]) == (5, 6, 60, "minimiser")
    total = smallest_total(a) if signs else float(((x.sum(axis=1)) ** 2).sum()) / 240 + 5 * l2
    assert row["L_1"] == pytest.approx(total, rel=1e-8)
    assert total <= row["row_sums_1"] * (1 + 1e-12)
    assert row["row_sums_1"] == pytest.approx(abs(a).sum(), rel=1e-12)
    assert row["row_sums_inf"] == pytest.approx(abs(a).sum(axis=1).max(), rel=1e-12)
    assert row["L_1"] == pytest.approx(row["row_sums_1"], rel=1e-9) or signs
    assert row["diagonal_1"] == pytest.approx(np.trace(a), rel=1e-12)
    assert row["lambda_max"] == pytest.approx(np.linalg.eigvalsh(a)[-1], rel=1e-10)
    assert row["certificate"] >= -1e-9
    for where, point in (("at w_0", np.zeros(5)), ("at w*", best)):
        sigma = np.sqrt(((slopes(point) - slopes(point).mean(axis=0)) ** 2).mean(axis=0))
        assert row[f"sigma_1 {where}"] == pytest.approx(sigma.sum(), rel=1e-6)
        assert row[f"sigma_2 {where}"] == pytest.approx(math.sqrt((sigma**2).sum()), rel=1e-6)
    assert row["sigma_1 everywhere"] == pytest.approx(np.sqrt((x**2).mean(axis=0)).sum(), rel=1e-12)
    assert row["D_inf"] == pytest.approx(abs(best).max(), rel=1e-6)
    assert row["D_2"] == pytest.approx(np.linalg.norm(best), rel=1e-6)


def test_without_a_minimiser_it_is_that_with_a_little_l2(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("+1 1:1\n+1 1:2\n-1 2:1\n")
    words = ["task=logistic/libsvm", f"task.path={tmp_path / 'set'}", "task.features=2"]
    (row,) = constants([*words, "task.l2=0.0"], "any")
    (with_l2,) = constants([*words, f"task.l2={1 / 3!r}"], "any")
    assert (row["comparator"], with_l2["comparator"]) == ("minimiser with l2 = 1/n", "minimiser")
    assert (row["D_inf"], row["D_2"]) == (with_l2["D_inf"], with_l2["D_2"])
    assert row["L_1"] == pytest.approx(6 / 12, rel=1e-12)
    assert with_l2["L_1"] == pytest.approx(6 / 12 + 2 / 3, rel=1e-12)
    for other, factor in zip(comparators([*words, "task.l2=0.0"], "any"), (1, 10, 0.1), strict=True):
        (own,) = constants([*words, f"task.l2={factor / 3!r}"], "any")
        assert other["comparator"] == f"minimiser with {other['choice']}"
        assert (other["D_inf"], other["D_2"]) == (own["D_inf"], own["D_2"])
    of_own = comparators([*words, f"task.l2={1 / 3!r}"], "any")
    assert {(o["comparator"], o["D_inf"]) for o in of_own} == {("minimiser", with_l2["D_inf"])}


def test_sorted_curves_hold_the_norms(tmp_path: Path) -> None:
    words, _, _ = set_on_disk(tmp_path, signs=True)
    (about,) = constants([*words, "task.l2=0.0"], "any")
    rows = pd.DataFrame(sorted_curves([*words, "task.l2=0.0"], "any", 80))
    assert list(rows["rank"]) == [1, 2, 3, 4, 5]
    assert rows.L.sum() == pytest.approx(about["L_1"], rel=1e-12)
    assert rows.L[0] == about["L_inf"]
    assert rows["L, diagonal"].sum() == pytest.approx(about["diagonal_1"], rel=1e-12)
    assert np.linalg.norm(rows.sigma) == pytest.approx(about["sigma_2 at w_0"], rel=1e-12)
    assert (rows[["L", "L, diagonal", "sigma"]].diff().dropna() <= 0).all().all()


# The study -----------------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "sets": ["logistic/breast_cancer"],
    "made_up": {"made": ["task=logistic/power_law", "task.examples=100", "task.dimension=20", "task.nonzeros=3.0"]},
    "choices": {"one": ["logistic/breast_cancer"]},
    "l2": [0, "1/n"],
    "arm_sets": ["made"],
    "batch_size": 32,
    "passes": 2,
    "methods": {"sgd": ["optimizer=sgd"], "adagrad": ["optimizer=adagrad"]},
    "grid": {"sgd": [0.5, 8.0], "adagrad": [0.1, 1.6]},
    "factor": 4.0,
    "tuning_seeds": [1000],
    "seeds": [0, 1],
    "curves": ["made"],
}


def test_the_study_from_end_to_end(tmp_path: Path) -> None:
    chosen = settings.build(anisotropy.Settings, SMALL, "anisotropy")
    session = Session(tmp_path)
    found = anisotropy.measure(chosen, session)
    tables = found.tables
    assert set(zip(tables["constants"]["set"], tables["constants"].l2, strict=True)) == {
        (name, l2) for name in ("logistic/breast_cancer", "made") for l2 in ("0", "1/n")
    }
    paths = tables["noise"].dropna(subset="seed")
    assert len(paths) == len(found.reported) == (1 + 2) * 2 * 2, "set and l2, methods, seeds"
    recorded = api.load_runs(tmp_path)
    for row in paths.to_dict(orient="records"):
        size = 569 if row["set"] != "made" else 100
        task, rule = ("logistic/power_law", "logistic/breast_cancer")[size == 569], row["where"].split()[0]
        of_run = recorded[(recorded.task == task) & (recorded.optimizer == rule) & (recorded.seed == row["seed"])]
        of_run = of_run[of_run.run.isin(found.reported) & ((of_run["task.l2"] > 0) == (row["l2"] == "1/n"))]
        assert of_run.run.nunique() == 1
        for norm in ("1", "2"):
            of_norm = of_run[of_run.metric == f"noise_supremum_l{norm}"].set_index("step").value
            assert len(of_norm) > 3
            assert (of_norm.diff().dropna() >= 0).all()
            assert row[f"sigma_{norm}"] == of_norm.iloc[-1]
            start = tables["constants"].set_index(["set", "l2"]).loc[(row["set"], row["l2"]), f"sigma_{norm} at w_0"]
            assert of_norm[0] == pytest.approx(start, rel=1e-12)
    of_set = tables["constants"]
    np.testing.assert_allclose(of_set["anisotropy"], of_set.d * of_set.L_inf / of_set.L_1, rtol=1e-14)
    np.testing.assert_allclose(of_set["anisotropy, lambda_max"], of_set.d * of_set.lambda_max / of_set.L_1, rtol=1e-14)
    d = np.where(tables["noise"]["set"] == "made", 20, 30)
    own = np.sqrt(d) * tables["noise"].sigma_2 / tables["noise"].sigma_1
    np.testing.assert_allclose(tables["noise"].anisotropy, own, rtol=1e-14)
    for row in tables["coefficients"].to_dict(orient="records"):
        about = tables["constants"].set_index(["set", "l2"]).loc[(row["set"], row["l2"])]
        noise = tables["noise"].set_index(["set", "l2", "where"]).loc[[(row["set"], row["l2"], row["sigma"])]]
        sigma = noise[["sigma_1", "sigma_2"]].mean()
        box = row["domain"] == "box"
        side = about.D_inf * (2 if box else 1)
        length = side * math.sqrt(about.d) if box else about.D_2
        assert row["L_1 D_inf^2"] == pytest.approx(about.L_1 * side**2)
        assert row["L_inf D_2^2"] == pytest.approx(about.L_inf * length**2)
        assert row["lambda_max D_2^2"] == pytest.approx(about.lambda_max * length**2)
        assert row["sigma_1 D_inf"] == pytest.approx(sigma.sigma_1 * side)
        assert row["sigma_2 D_2"] == pytest.approx(sigma.sigma_2 * length)
        assert row["R_b"] == pytest.approx(row["L_inf D_2^2"] / row["L_1 D_inf^2"])
        assert row["R_n"] == pytest.approx(row["sigma_2 D_2"] / row["sigma_1 D_inf"])
    for claim in (a6.CLAIM, a7.CLAIM):
        verdict = claims.judge(claim, {"anisotropy": found})
        assert verdict.n == 1, "the made-up problem does not count"
        assert verdict.answer in ("fails", "inconclusive"), "two seeds cannot make it hold"
    others = tables["comparators"]
    assert set(zip(others["set"], others.l2, strict=True)) == {("made", "0")}, "breast_cancer has a minimiser"
    again = anisotropy.measure(chosen, Session(tmp_path, only_report=True))  # raises where something is missing
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])
    assert set(anisotropy.draw(found, chosen)) == {"anisotropy", "bound_ratios", "sorted_coordinates"}
    no_curves = anisotropy.measure(replace(chosen, curves=[]), Session(tmp_path, only_report=True))
    assert set(anisotropy.draw(no_curves, chosen)) == {"anisotropy", "bound_ratios"}


@pytest.mark.parametrize(
    "changed",
    [
        {"sets": []},
        {"sets": ["logistic/a9a", "logistic/a9a"]},
        {"made_up": {"made": "task=logistic/power_law"}},
        {"curves": ["no such set"]},
        {"choices": {"one": ["no such set"]}},
        {"l2": [-1]},
        {"l2": []},
        {"methods": {"sgd": ["optimizer=sgd"]}},
    ],
)
def test_settings_that_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        settings.build(anisotropy.Settings, {**SMALL, **changed}, "anisotropy")


# The claims ----------------------------------------------------------------------------------------------------------


def problem(name: str, **changed: Any) -> dict[str, Any]:
    """A problem on which both claims hold: R_b = 6, R_n = 1.5 for w*, anisotropy 6 and 1.5."""
    about = {
        "set": name, "kind": "real", "l2": "0", "d": 100, "L_1": 100.0, "L_inf": 6.0, "row_sums_1": 120.0,
        "row_sums_inf": 6.0, "diagonal_1": 10.0, "diagonal_inf": 1.0, "lambda_max": 4.0, "certificate": 0.0,
        "excess": 0.0, "method": "by hand", "comparator": "minimiser", "D_inf": 1.0, "D_2": 10.0, "sigma": 1.5,
        "seeds": 5, "edge": False, "scatter": 0.0, "others": {},
    }  # fmt: skip
    return {**about, **changed}


def measured(*problems: dict[str, Any], with_every_l2: Sequence[str] = ()) -> dict[str, Found]:
    """Tables with ||sigma||_1 = 10 and ||sigma||_2 = `sigma` along AdaGrad's path, `scatter` apart between seeds.

    others: D_2 by choice of w*, beside a D_inf of 1.
    """
    noise = []
    for p in problems:
        labels = {k: p[k] for k in ("set", "kind", "l2")}
        noise.append({**labels, "where": "at w_0", "sigma_1": 10.0, "sigma_2": 2.0})
        for seed in range(p["seeds"]):
            value = p["sigma"] * (1 + p["scatter"] * (-1) ** seed)
            about = {"where": anisotropy_tables.MAIN, "seed": seed, "edge": p["edge"]}
            noise.append({**labels, **about, "sigma_1": 10.0, "sigma_2": value})
    points = [
        {"set": p["set"], "l2": p["l2"], "choice": c, "comparator": f"minimiser with {c}", "D_inf": 1.0, "D_2": length}
        for p in problems
        for c, length in p["others"].items()
    ]
    sets = list(dict.fromkeys(p["set"] for p in problems if p["kind"] == "real"))
    tables = {
        "comparators": pd.DataFrame(points, columns=["set", "l2", "choice", "comparator", "D_inf", "D_2"]),
        "constants": pd.DataFrame(list(problems)),
        "noise": pd.DataFrame(noise),
        "choices": anisotropy_tables.choices(sets, {"first": sets[:1]}, with_every_l2),
    }
    return {"anisotropy": Found(tables)}


def judged(claim: claims.Claim, *problems: dict[str, Any], **arm: Any) -> claims.Judgement:
    found = measured(*problems)
    return claim.judge(found, {**claim.arms(found)[0], **arm})


BOTH = pytest.mark.parametrize("claim", [a6.CLAIM, a7.CLAIM], ids=["A6", "A7"])
NEITHER = {"L_inf": 0.5, "sigma": 0.5}


@BOTH
def test_the_share_of_real_sets_decides(claim: claims.Claim) -> None:
    good = [problem(f"set {i}") for i in range(4)]
    bad, made_up = problem("bad", **NEITHER), problem("made", kind="made up", **NEITHER)
    assert judged(claim, *good, made_up).answer == "holds"
    assert judged(claim, *good, made_up).statistic.n == 4
    assert judged(claim, *good, bad).answer == "holds", "0.8"
    found = judged(claim, *good[:3], bad)
    assert (found.answer, found.statistic.value, found.statistic.n) == ("fails", 0.75, 4)
    assert judged(claim, made_up).answer == NOT_TESTABLE
    found = judged(claim, good[0], bad, made_up, sets="first")
    assert (found.answer, found.statistic.n) == ("holds", 1)
    assert list(dict.fromkeys(cell["set"] for cell in found.cells)) == ["set 0", "made"]


@BOTH
def test_what_leaves_a_set_undecided(claim: claims.Claim) -> None:
    for change in ({"edge": True}, {"seeds": 4}, {"scatter": 0.6}):
        assert judged(claim, problem("set", **change)).answer == "inconclusive", change
    assert judged(claim, problem("set", edge=True), sigma="at w_0").answer == "holds", "no run was needed there"


def test_thresholds_of_a6() -> None:
    at = {"L_inf": 3.0, "sigma": 1.2}
    assert judged(a6.CLAIM, problem("set", **at)).answer == "holds"
    assert judged(a6.CLAIM, problem("set", **{**at, "L_inf": 2.999})).answer == "fails"
    assert judged(a6.CLAIM, problem("set", **{**at, "sigma": 1.1999})).answer == "fails"
    assert judged(a6.CLAIM, problem("set", certificate=-1e-8)).answer == "inconclusive"
    assert judged(a6.CLAIM, problem("set", certificate=-1e-10)).answer == "holds"
    assert judged(a6.CLAIM, problem("set", lambda_max=2.9), **{"SGD's constant": "lambda_max"}).answer == "fails"
    assert judged(a6.CLAIM, problem("set", row_sums_1=201.0), L="row sums").answer == "fails"
    (cell,) = judged(a6.CLAIM, problem("set")).cells
    assert (cell["smoothness"], cell["noise"], cell["with lambda_max"]) == pytest.approx((6.0, 1.5, 4.0))


def test_the_eigenvalue_is_told_by_set() -> None:
    sets = problem("logistic/first"), problem("logistic/second", lambda_max=0.9), problem("third", L_inf=0.5)
    of_a6, of_a7 = (judged(claim, *sets).remarks for claim in (a6.CLAIM, a7.CLAIM))
    assert "drops below on second; anisotropic in both 2 of 3" in of_a6[2], "the third has a larger one than L_inf"
    assert "drops below 1 on second; both above 1 on 2 of 3" in of_a7[1]
    cells = judged(a6.CLAIM, *sets).cells
    assert [cell["L"] for cell in cells] == ["holds", "holds", "fails"]
    assert [cell["L, lambda_max"] for cell in cells] == ["holds", "fails", "holds"]


def test_the_comparator_is_an_arm_of_a7() -> None:
    lengths = {"l2 = 1/n": 10.0, "l2 = 10/n": 20.0, "l2 = 0.1/n": 2.0}
    free = problem("set", comparator="minimiser with l2 = 1/n", others=lengths)
    answers = [judged(a7.CLAIM, free, comparator=choice).answer for choice in lengths]
    assert answers == ["holds", "holds", "fails"]
    assert "1 of 1 real sets have no" in judged(a7.CLAIM, free).remarks[4]
    assert judged(a7.CLAIM, free).remarks[4].endswith("set 6, 24, 0.24")
    point, box = judged(a7.CLAIM, free, comparator="l2 = 0.1/n").cells
    assert (point["domain"], point["D_2"], box["D_inf"]) == ("minimiser with l2 = 0.1/n", 2.0, 2.0)
    own = judged(a7.CLAIM, problem("set"), comparator="l2 = 0.1/n")
    assert own.answer == "holds", "it has a minimiser"
    assert own.cells[0]["domain"] == "minimiser"


@BOTH
def test_an_l2_that_some_sets_have_is_compared_on_those(claim: claims.Claim) -> None:
    wide, narrow = (problem("wide", l2=l2, seeds=5 * (l2 == "0")) for l2 in ("0", "1/n")), problem("narrow", l2="1/n")
    found = measured(*wide, problem("narrow", **NEITHER), narrow, with_every_l2=["narrow"])
    verdict = claims.judge(claim, found)
    with_l2, same_sets = (
        [a for a in verdict.arms if a["sets"] == "with every l2" and a["l2"] == l2] for l2 in ("1/n", "0")
    )
    assert [(a["answer"], a["n"]) for a in with_l2] == [("holds", 1)]
    assert [(a["answer"], a["n"]) for a in same_sets] == [("fails", 1)]
    assert verdict.n == 2
    assert any("with every l2 and l2 = 1/n: without wide" in remark for remark in verdict.remarks)


@BOTH
def test_no_number_and_no_data(claim: claims.Claim) -> None:
    assert judged(claim, problem("set", L_1=0.0, row_sums_1=0.0)).answer == "inconclusive"
    assert judged(claim, problem("set", sigma=math.nan)).answer == "inconclusive"
    nothing = {"anisotropy": Found({"constants": pd.DataFrame(columns=["set", "kind", "l2"])})}
    assert claims.judge(claim, nothing).answer == NOT_TESTABLE
    assert claim.judge(nothing, {}).answer == NOT_TESTABLE


def test_the_study_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    nothing = {**SMALL, "sets": ["logistic/a9a"], "made_up": {}, "choices": {}, "arm_sets": None, "curves": []}
    chosen = settings.build(anisotropy.Settings, nothing, "anisotropy")
    found = anisotropy.measure(chosen, Session(tmp_path))
    assert anisotropy.draw(found, chosen) == {}
    assert claims.judge(a6.CLAIM, {"anisotropy": found}).answer == NOT_TESTABLE


def test_thresholds_of_a7() -> None:
    assert judged(a7.CLAIM, problem("set", L_inf=1.01)).answer == "holds"
    assert judged(a7.CLAIM, problem("set", L_inf=0.99)).answer == "fails"
    assert judged(a7.CLAIM, problem("set", sigma=0.99)).answer == "fails"
    assert judged(a7.CLAIM, problem("set", D_2=2.0)).answer == "fails", "a w* with its mass on few coordinates"
    point, box = judged(a7.CLAIM, problem("set", D_inf=2.0)).cells
    names = ["D_inf", "D_2", "L_1 D_inf^2", "L D_2^2", "sigma_1 D_inf", "sigma_2 D_2", "R_b", "R_n"]
    assert [point[name] for name in names] == pytest.approx([2, 10, 400, 600, 20, 15, 1.5, 0.75])
    assert [box[name] for name in names] == pytest.approx([4, 40, 1600, 9600, 40, 60, 6, 1.5]), "the ratios of A6"
    assert box["answer"] == "not counted"
    assert judged(a7.CLAIM, problem("set", lambda_max=0.9), **{"SGD's constant": "lambda_max"}).answer == "fails"


def test_arms_vary_one_choice_at_a_time() -> None:
    found = measured(problem("set"), problem("set", l2="1/n"))
    arms = a6.CLAIM.arms(found)
    with_comparators = a7.CLAIM.arms(found)
    assert [{k: v for k, v in arm.items() if k != "comparator"} for arm in with_comparators[: len(arms)]] == arms
    assert [arm["comparator"] for arm in with_comparators[-3:]] == ["l2 = 1/n", "l2 = 10/n", "l2 = 0.1/n"]
    main = {"l2": "0", "sigma": "adagrad path", "L": "smallest certified", "SGD's constant": "L_inf", "sets": "all"}
    assert arms[0] == main
    assert [sum(arm[k] != arms[0][k] for k in arms[0]) for arm in arms] == [0, 1, 1, 1, 1, 1]
    verdict = claims.judge(a6.CLAIM, found)
    assert verdict.share == (6, 6)
    no_path = measured(problem("set"), problem("set", l2="1/n", seeds=0))
    (without,) = [a for a in claims.judge(a6.CLAIM, no_path).arms if a["l2"] == "1/n"]
    assert without["answer"] == NOT_TESTABLE


# Figures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ends", "shown"), [((0.4, 30.0), [0.5, 1, 2, 5, 10, 20]), ((0.05, 20.0), [0.1, 1, 10])])
def test_plain_ticks_on_a_horizontal_axis(ends: tuple[float, float], shown: list[float]) -> None:
    figure, axis = plt.subplots()
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    before = list(axis.get_yticks())
    plain_log_ticks(axis, along="x")
    assert list(axis.get_xticks()) == pytest.approx(shown)
    assert list(axis.get_yticks()) == before
    plain_log_ticks(axis)
    assert {0.5, 2.0, 5.0} <= {round(float(tick), 9) for tick in axis.get_yticks()}
    plt.close(figure)
