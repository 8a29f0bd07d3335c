"""A1 and A10: the bound, the fitted form and the studies against computations made another way; verdicts by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import optimize

from data import MissingData
from experiments import api
from experiments.claims import judge
from experiments.components import CONFIGS
from experiments.papers.adagrad_anisotropic import nonconvex_figures
from experiments.papers.adagrad_anisotropic.claims import CLAIMS, a1
from experiments.papers.adagrad_anisotropic.studies import bound, nonconvex
from experiments.session import Session
from experiments.study import Found
from experiments.theory.rate_form import fit, gap_bound, logistic_noise_in_box
from experiments.theory.running_mean import running_means, slope
from optim import settings
from optim.settings import SettingError

A1, A10 = (next(claim for claim in CLAIMS if claim.id == name) for name in ("A1", "A10"))
SIZES, STEPS = (1.0, 8.0, 64.0, math.inf), (16, 64, 256, 1024)
CELLS = [(size, steps) for size in SIZES for steps in STEPS]


# Theory --------------------------------------------------------------------------------------------------------------


def test_the_bound_by_hand():
    assert gap_bound(3.0, 5.0, 2.0, 4, 100) == pytest.approx(4 * 3 * 4 / 100 + 2 * 2**0.5 * 5 * 2 / 20, rel=1e-15)
    assert gap_bound(3.0, 5.0, 2.0, math.inf, 100) == pytest.approx(0.48, rel=1e-15)


def test_the_form_is_found_and_the_fit_is_the_best_there_is():
    exact = [3.0 / t + 0.7 / math.sqrt(m * t) for m, t in CELLS]
    found = fit(*zip(*CELLS, strict=True), exact)
    assert (found.a, found.b, found.r_squared) == pytest.approx((3.0, 0.7, 1.0), rel=1e-5)
    noisy = np.array(exact) * np.exp(0.4 * np.random.default_rng(0).standard_normal(len(CELLS)))
    found = fit(*zip(*CELLS, strict=True), noisy)
    assert found.at(8, 64) == pytest.approx(found.a / 64 + found.b / math.sqrt(512), rel=1e-14)

    def error(logs):
        shape = [math.exp(logs[0]) / t + math.exp(logs[1]) / math.sqrt(m * t) for m, t in CELLS]
        return float(((np.log(noisy) - np.log(shape)) ** 2).sum())

    best = min((optimize.minimize(error, s, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14})
                for s in ([0, 0], [2, -2], [-2, 2])), key=lambda r: r.fun)  # fmt: skip
    assert (found.a, found.b) == pytest.approx(np.exp(best.x), rel=1e-4)
    scatter = float(((np.log(noisy) - np.log(noisy).mean()) ** 2).sum())
    assert found.r_squared == pytest.approx(1 - best.fun / scatter, abs=1e-8)


def test_the_form_on_its_edges():
    finite = [(m, t) for m, t in CELLS if m < math.inf]
    noise = fit(*zip(*finite, strict=True), [2 / math.sqrt(m * t) for m, t in finite])
    assert (noise.b, noise.r_squared) == pytest.approx((2.0, 1.0), rel=1e-5)
    bias = fit(*zip(*CELLS, strict=True), [2 / t for _, t in CELLS])
    assert max(noise.a, bias.b) < 1e-6
    assert (bias.a, bias.r_squared) == pytest.approx((2.0, 1.0), rel=1e-5)
    strong = fit(*zip(*CELLS, strict=True), [5 / t**2 + 3 / (m * t) for m, t in CELLS], bias=2, noise=1)
    assert (strong.a, strong.b, strong.r_squared) == pytest.approx((5.0, 3.0, 1.0), rel=1e-5)
    for gaps, message in (([1, 1], "three cells"), ([1, 0, 1], "positive")):
        with pytest.raises(ValueError, match=message):
            fit(range(1, len(gaps) + 1), range(1, len(gaps) + 1), gaps)


def test_no_point_of_the_box_has_more_noise():
    source = np.random.default_rng(1)
    rows, half = source.standard_normal((40, 5)), 0.7
    limit = logistic_noise_in_box(rows, half)
    corners = np.array(np.meshgrid(*[[-half, half]] * 5)).reshape(5, -1).T
    for point in [*corners, *source.uniform(-half, half, size=(200, 5))]:
        slopes = -1 / (1 + np.exp(rows @ point))
        assert ((slopes[:, None] * rows).std(axis=0) <= limit).all()
    assert (limit < np.sqrt((rows**2).mean(axis=0))).all(), "better than a slope of 1"


def test_running_means_are_sums_over_the_steps():
    values = np.random.default_rng(2).uniform(1, 2, size=11)
    every = running_means(range(11), values, [1, 4, 11])
    assert every == pytest.approx([values[:1].mean(), values[:4].mean(), values.mean()], rel=1e-14)
    assert running_means([0, 2, 5], [4.0, 2.0, 8.0], [6]) == pytest.approx([(4 + 3 + 2 + 4 + 6 + 8) / 6], rel=1e-14)
    assert slope([1, 4, 16], [3.0, 1.5, 0.75]) == pytest.approx(-0.5, rel=1e-12)
    with pytest.raises(ValueError, match="T <= 6"):
        running_means([0, 5], [1.0, 1.0], [7])


def chosen(study, scale="smoke", **others):
    content = yaml.safe_load((CONFIGS / "paper" / "adagrad-anisotropic" / f"{scale}.yaml").read_text())
    name = study.__name__.rpartition(".")[2]
    return settings.build(study.Settings, content[name] | others, name)


def test_a_cell_of_the_bound_is_projected_averaged_adagrad(tmp_path):
    name = "breast cancer"
    given = chosen(bound, problems={name: ["task=logistic/breast_cancer"]}, batch_sizes=["full"], room=[1.0, 2.0])
    found = bound.measure(given, Session(tmp_path))
    task = api.load_task("logistic/breast_cancer", [f"task.l2={1 / 569!r}"])
    rows, _ = task.arrays()
    x, point = rows.toarray(), task.minimum().point
    cells, problems = found.tables["cells"], found.tables["problems"]
    for room in (1.0, 2.0):
        half = room * np.abs(point).max()
        weight, total, mean = np.zeros(30), np.zeros(30), np.zeros(30)
        gaps, sigma = {}, np.zeros(30)
        for step in range(1, 17):
            slopes = -1 / (1 + np.exp(x @ weight))
            gradient = x.T @ slopes / 569 + weight / 569
            sigma = np.maximum(sigma, (slopes[:, None] * x).std(axis=0))
            mean += (weight - mean) / step
            total += gradient**2
            weight = np.clip(weight - 2 * half / math.sqrt(2) * gradient / (np.sqrt(total) + 1e-10), -half, half)
            loss = np.log1p(np.exp(-(x @ mean))).mean() + (mean**2).sum() / (2 * 569)
            gaps[step] = loss - task.optimum
        part = cells[(cells.room == room) & (cells.seed == 0)]
        assert part.steps.tolist() == [4, 8, 16]
        assert part.gap.tolist() == pytest.approx([gaps[t] for t in (4, 8, 16)], rel=1e-9)
        about = problems[problems.room == room].iloc[0]
        assert (about.side, about.examples) == (pytest.approx(2 * half), 569)
        assert about.certificate >= -1e-9
        assert about.gradient_at_solution < 1e-9
        assert part.noise_path.iloc[0] <= sigma.sum() * (1 + 1e-12), "only recording points count"
        assert part.noise_path.iloc[0] < part.noise_box.iloc[0]
        for where in ("path", "box"):
            expected = [gap_bound(about.smoothness_l1, part[f"noise_{where}"].iloc[0], about.side, math.inf, t)
                        for t in (4, 8, 16)]  # fmt: skip
            assert part[f"bound_{where}"].tolist() == pytest.approx(expected, rel=1e-14)
    assert cells.groupby(["room", "steps"]).gap.nunique().unique() == [1], "nothing random at the full batch"
    assert set(bound.draw(found, given)) == {"gap_and_bound"}


def test_gaps_are_no_smaller_than_f_star_is_known_and_diverged_ones_fail(tmp_path, monkeypatch):
    read = bound.curves.read

    def changed(store, runs, metrics):
        found = read(store, runs, metrics)
        for curve in found.values():
            curve.values["average/gap"][:] = [*[-1e-15] * (len(curve.steps) - 1), math.nan]
        return found

    monkeypatch.setattr(bound.curves, "read", changed)
    given = chosen(bound, problems={"quadratic": ["task=quadratic/power_law", "task.dimension=3"]}, seeds=[*range(5)])
    found = bound.measure(given, Session(tmp_path))
    assert found.tables["cells"].groupby("steps").gap.unique().map(list).to_dict() == {
        4: [1e-12],
        8: [1e-12],
        16: [math.inf],
    }
    verdict = judge(A1, {"bound": found})
    assert [cell["answer"] for cell in verdict.cells] == ["holds", "holds", "fails"]
    assert (verdict.answer, verdict.value) == ("fails", None)
    assert set(bound.draw(found, given)) == {"gap_and_bound"}


def test_mean_norms_are_those_of_the_picked_runs(tmp_path):
    given = chosen(nonconvex)
    found = nonconvex.measure(given, Session(tmp_path))
    means, scatter = found.tables["means"], found.tables["scatter"]
    assert not means.edge.any()
    last = means[(means.steps == 16) & (means.seed == 1)]
    for _, row in last[last.tuned == "at each T"].iterrows():
        size = "batch_size=full" if row.batch == "full" else f"batch_size.size={row.batch}"
        words = ["task=mlp/breast_cancer", *given.methods[row.method], f"optimizer.lr={row.lr}", size, "seed=1"]
        words += ["budget.steps=16", "record=every:1", "probe=[gradient_norm]", "dtype=float64"]
        (run,) = api.run([*words, f"store={tmp_path}/again"])
        rows = api.load_runs(f"{tmp_path}/again")
        of_run = rows[(rows.run == run.id) & (rows.metric == nonconvex.NORMS[row.norm])].sort_values("step")
        assert row.value == pytest.approx(of_run.value.to_numpy()[:16].mean(), rel=1e-9)  # all 16 steps are recorded
        again = last[(last.tuned == "at the last T") & (last.batch == row.batch) & (last.method == row.method)]
        assert (again.value.iloc[0], again.lr.iloc[0]) == (row.value, row.lr)
    assert sorted(scatter.step.unique()) == [0, 16]
    assert set(nonconvex.draw(found, given)) == {"mean_gradient_norm", "curvature_and_gradient"}


@pytest.mark.parametrize(
    ("study", "others", "message"),
    [
        (bound, {"room": [0.5]}, "room must hold numbers from 1"),
        (bound, {"arm_problems": ["cancer"]}, "there is no problem 'cancer'"),
        (nonconvex, {"steps": [4, 8]}, "three whole numbers"),
    ],
)
def test_bad_settings_are_named(study, others, message):
    with pytest.raises(SettingError, match=message):
        chosen(study, **others)


# Verdicts on tables made by hand -------------------------------------------------------------------------------------


def bound_cells(gap, seeds=6, problems=("one", "two")):
    """Cells whose bound is 1 everywhere along the path and 2 in the box."""
    free = {"l2": "1/n", "room": 1.0, "eps": 1e-10, "sampling": "replacement"}
    rows = [
        {**free, "problem": problem, "batch": "full" if m == math.inf else f"{m:g}", "batch_size": m, "steps": t}
        | {"seed": s, "gap": gap(problem, m, t) * math.exp(0.01 * (-1) ** s), "bound_path": 1.0, "bound_box": 2.0}
        for problem in problems
        for m, t in CELLS
        for s in range(seeds)
    ]
    about = pd.DataFrame([{**free, "problem": problem, "note": ""} for problem in problems])
    return {"bound": Found({"cells": pd.DataFrame(rows), "problems": about})}


def of_form(problem, m, t):
    return 0.5 / t + 0.2 / math.sqrt(m * t)


@pytest.mark.parametrize(
    ("gap", "seeds", "path", "box"),
    [
        (of_form, 6, "holds", "holds"),
        (of_form, 4, "inconclusive", "inconclusive"),
        (lambda p, m, t: of_form(p, m, t) * (100 if p == "two" else 1), 6, "fails", "fails"),
        (lambda p, m, t: of_form(p, m, t) * 1.2 / of_form(p, 1, 16), 6, "fails", "holds"),  # 1.2 in the first cell
        (lambda p, m, t: of_form(p, m, t) / t**1.5 if p == "two" else of_form(p, m, t), 6, "fails", "fails"),  # form
        (lambda p, m, t: math.inf if (m, t) == (8, 64) else of_form(p, m, t), 6, "fails", "fails"),
        (lambda p, m, t: math.inf if (m, t) == (8, 64) else of_form(p, m, t), 4, "inconclusive", "inconclusive"),
    ],
)
def test_a1(gap, seeds, path, box):
    verdict = judge(A1, bound_cells(gap, seeds))
    assert [(arm["sigma"], arm["answer"]) for arm in verdict.arms] == [("path", path), ("box", box)]
    if path == "holds":
        assert verdict.value == pytest.approx(of_form("", 1, 16), rel=1e-3)
        assert verdict.remarks[0] == "the bound: holds in 32 of 32 cells; the form: holds on 2 of 2 problems"
        assert all(cell["r_squared"] > 0.999 for cell in verdict.cells)


def test_a1_says_that_the_form_decides():
    verdict = judge(A1, bound_cells(lambda p, m, t: of_form(p, m, t) / (t**1.5 if p == "two" else 1)))
    assert (verdict.answer, verdict.value < 1) == ("fails", True)
    assert verdict.remarks[0] == "the bound: holds in 32 of 32 cells; the form: fails on 1 of 2 problems (holds on 1)"


def test_the_form_is_judged_over_cells_too():
    """Cells off the form, all of them the same for every seed: no seed sees it, other cells would."""
    off = {(size, steps): math.exp(0.45 * (-1) ** k) for k, (size, steps) in enumerate(CELLS)}
    found = bound_cells(lambda p, m, t: of_form(p, m, t) * off[m, t], problems=("one",))
    table = found["bound"].tables["cells"]
    interval = a1._form(table)
    assert interval.low < 0.9 < interval.value < interval.high
    assert judge(A1, found).answer == "inconclusive"
    few = a1._form(table[(table.batch == "8")])
    assert (few.low, few.high) == (-math.inf, math.inf), "four cells are too few"


def test_a1_without_cells_in_the_main_variant_is_not_testable():
    found = bound_cells(of_form)["bound"].tables
    other = {"l2": "0", "room": 1.0, "eps": 1e-10, "sampling": "replacement"}
    nowhere = found["problems"].assign(note="no finite minimiser")
    problems = pd.concat([nowhere, found["problems"].assign(**other)])
    verdict = judge(A1, {"bound": Found({"cells": found["cells"].assign(**other), "problems": problems})})
    assert [arm["answer"] for arm in verdict.arms] == ["not testable at this scale"] * 2 + ["holds"] * 2
    assert verdict.remarks == (
        "no runs",
        "not in this arm: one (no finite minimiser), two (no finite minimiser)",
    )
    nothing = Found({"cells": pd.DataFrame(), "problems": pd.DataFrame()})
    assert judge(A1, {"bound": nothing}).answer == "not testable at this scale"
    assert set(bound.draw(nothing, chosen(bound))) == {"gap_and_bound"}
    only_other = Found({"cells": found["cells"].assign(**other), "problems": problems})
    assert set(bound.draw(only_other, chosen(bound))) == {"gap_and_bound"}


def test_a1_names_what_an_arm_is_without():
    found = bound_cells(of_form)["bound"].tables
    cells, problems = ([t, t[t.problem == "one"].assign(sampling="reshuffled")] for t in found.values())
    given = {"bound": Found({"cells": pd.concat(cells), "problems": pd.concat(problems)})}
    (*_, arm) = A1.arms(given)
    assert arm["sampling"] == "reshuffled"
    assert A1.judge(given, arm).remarks[-1] == "not in this arm: two (not asked for, or the choice means nothing there)"


def test_streams_are_in_no_arm_of_l2_or_sampling():
    given = chosen(bound, l2=["1/n", 0], sampling=["replacement", "reshuffled"], room=[1.0, 2.0], eps=[1e-10, 1e-5])
    found = [(labels["problem"], *labels.values()) for labels, _, _ in bound._cases(given)]
    assert [name for name, *_ in found].count("breast cancer") == 5
    streams = [values[2:6] for values in found if values[0] == "quadratic"]
    assert streams == [("1/n", r, e, "replacement") for r, e in ((1.0, 1e-10), (2.0, 1e-10), (1.0, 1e-5))]


def test_streams_are_measured_where_no_set_is_at_hand(monkeypatch, tmp_path):
    def missing(names):
        raise MissingData("no data")

    monkeypatch.setattr(bound, "examples_in", missing)
    given = chosen(bound)
    assert [labels["problem"] for labels, _, _ in bound._cases(given)] == ["quadratic"]
    given.problems.pop("quadratic")
    found = bound.measure(given, Session(tmp_path))
    assert all(table.empty for table in found.tables.values())


def mean_rows(full, small, seeds=6, edge=False, tasks=("mlp/one",), factor=40.0):
    """Means that fall like T^full at the full batch and factor T^small at batch 8, a little differently by seed."""
    rows = [
        {"task": task, "method": method, "norm": norm, "eps": "1e-10", "tuned": tuned, "batch": batch, "steps": t}
        | {"seed": s, "lr": 0.5, "edge": edge, "value": 3 * scale * t ** (power + 0.01 * (-1) ** s)}
        for task in tasks
        for method, norm in (("adagrad", "l1"), ("sgd", "l2"))
        for tuned in ("at each T", "at the last T")
        for batch, power, scale in (("full", full, 1.0), ("8", small, factor))
        for t in (16, 32, 64, 128)
        for s in range(seeds)
    ]
    return {"nonconvex": Found({"means": pd.DataFrame(rows)})}


@pytest.mark.parametrize(
    ("full", "small", "others", "answer"),
    [
        (-0.5, -0.24, {}, "holds"),
        (-0.3, -0.25, {}, "fails"),
        (-0.5, -0.1, {}, "fails"),
        (-0.45, -0.25, {}, "inconclusive"),
        (-0.5, -0.24, {"seeds": 4}, "inconclusive"),
        (-0.5, -0.24, {"edge": True}, "inconclusive"),
    ],
)
def test_a10(full, small, others, answer):
    verdict = judge(A10, mean_rows(full, small, **others))
    assert verdict.answer == answer
    for cell in verdict.cells:
        power = full if cell["batch"] == "full" else small
        assert [cell[name] for name in ("slope", "early", "late")] == pytest.approx([power] * 3, abs=1e-9)
    assert verdict.value == pytest.approx(max((full + 0.45, full), (small + 0.2, small))[1], abs=1e-9)


def test_a10_looks_at_every_network_and_says_what_sgd_does():
    table = mean_rows(-0.5, -0.25, tasks=("mlp/one", "mlp/two"))["nonconvex"].tables["means"]
    slow = (table.task == "mlp/two") & (table.batch == "full") & (table.method == "adagrad")
    changed = table.assign(value=np.where(slow, 1 / table.steps**0.2, table.value))
    verdict = judge(A10, {"nonconvex": Found({"means": changed})})
    assert (verdict.answer, verdict.value) == ("fails", pytest.approx(-0.2, abs=1e-9))
    assert sum(remark.startswith("sgd, beside the claim") for remark in verdict.remarks) == 4
    assert "steeper by construction" in verdict.remarks[-1]


@pytest.mark.parametrize(("factor", "counts"), [(1.6, True), (1.4, False)])
def test_a10_counts_small_batches_that_noise_limits(factor, counts):
    """Batch 8 is too flat by itself, and at T = 128 its mean norm is a factor above the full batch's."""
    verdict = judge(A10, mean_rows(-0.5, -0.1, factor=factor * 128**-0.4))
    assert verdict.answer == ("fails" if counts else "holds")
    assert verdict.value == pytest.approx(-0.1 if counts else -0.5, abs=1e-9)
    assert f"{factor:.2f} times the full batch's" in verdict.remarks[1]
    assert ("not counted" in verdict.remarks[1]) != counts


@pytest.mark.parametrize("batch", ["full", "8"])
@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a10_hides_no_run_that_diverged(batch, bad):
    found = mean_rows(-0.5, -0.25)["nonconvex"]
    table = found.tables["means"]
    where = (table.batch == batch) & (table.seed == 2) & (table.steps == 128)
    changed = table.assign(value=np.where(where, bad, table.value), task="mlp/one")
    verdict = judge(A10, {"nonconvex": Found({"means": changed})})
    assert (verdict.answer, verdict.value) == ("inconclusive", None)
    assert "a run diverged" in verdict.remarks[("full", "8").index(batch)]


def test_points_without_curvature_are_not_drawn():
    row = {"task": "mlp/one", "method": "sgd", "step": 0, "scatter_correlation": math.nan}
    names = [f"scatter_{kind}_{g}" for kind in ("gradient", "row_sum", "diagonal") for g in (1, 2)]
    scatter = pd.DataFrame([{**row, **dict.fromkeys(names, value)} for value in (0.0, math.nan)])
    figures = nonconvex_figures.draw(
        {"means": mean_rows(-0.5, -0.25)["nonconvex"].tables["means"], "scatter": scatter}, chosen(nonconvex), "?"
    )
    assert "within coordinates" not in figures["curvature_and_gradient"][1]
    fine = scatter.assign(scatter_correlation=0.25)
    assert "sgd: 0.25 (2 points)" in nonconvex_figures._scatter_caption(fine, chosen(nonconvex))
