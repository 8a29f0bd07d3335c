"""Probes that follow a run, against the same path taken by hand; curvature by coordinate against dense Hessians."""

import math

import models
import numpy as np
import pytest
import torch
from scipy import stats

from experiments import api, measure
from experiments.measure.probes.smoothness_scatter import SmoothnessScatter, _within
from experiments.seeds import generator


def values(store, metric):
    rows = api.load_runs(store)
    of_metric = rows[rows.metric == metric].sort_values(["seed", "step"])
    return {seed: dict(zip(part.step, part.value, strict=True)) for seed, part in of_metric.groupby("seed")}


def test_the_mean_gradient_norm_is_that_of_every_step(tmp_path):
    words = ["task=mlp/breast_cancer", "task.hidden=[3]", "optimizer=sgd", "optimizer.lr=0.5", "batch_size=full"]
    lengths = ["budget.steps=9", "record=every:4", "dtype=float64", "probe=[mean_gradient_norm]", "lanes.seed=[0,1]"]
    api.run([*words, *lengths, f"store={tmp_path}/coarse"])
    api.run([*words, *lengths[:1], "record=every:1", "dtype=float64", "probe=[gradient_norm]", "lanes.seed=[0,1]",
             f"store={tmp_path}/fine"])  # fmt: skip
    for metric, single in (("mean_gradient_norm_l1", "gradient_norm_l1"), ("mean_gradient_norm", "gradient_norm")):
        coarse, fine = values(f"{tmp_path}/coarse", metric), values(f"{tmp_path}/fine", single)
        for seed in (0, 1):
            assert list(coarse[seed]) == [0, 4, 8, 9]
            assert coarse[seed][0] == 0
            for steps in (4, 8, 9):
                expected = np.mean([fine[seed][t] for t in range(steps)])
                assert coarse[seed][steps] == pytest.approx(expected, rel=1e-12)


def test_the_noise_supremum_is_the_largest_by_coordinate_so_far(tmp_path):
    task, lr, points = api.load_task("logistic/breast_cancer"), 8.0, []
    weight = task.init()["weight"]
    for _ in range(5):
        points.append(measure.gradient_noise(task, {"weight": weight})["weight"])
        leaf = weight.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(task.losses({"weight": leaf}, task.batch(None)).mean(), leaf)
        weight = weight - lr * gradient
    words = ["task=logistic/breast_cancer", "optimizer=sgd", f"optimizer.lr={lr}", "batch_size=full", "dtype=float64"]
    api.run([*words, "budget.steps=4", "record=every:2", "probe=[noise_supremum]", f"store={tmp_path}"])
    total, length = (values(tmp_path, f"noise_supremum_{norm}")[0] for norm in ("l1", "l2"))
    for step, seen in ((0, [0]), (2, [0, 2]), (4, [0, 2, 4])):
        expected = torch.stack([points[i] for i in seen]).amax(dim=0)
        assert total[step] == pytest.approx(float(expected.sum()), rel=1e-9)
        assert length[step] == pytest.approx(float(expected.norm()), rel=1e-9)
    assert len({int(i) for i in torch.stack([points[i] for i in (0, 2, 4)]).argmax(dim=0)}) > 1, "not one point alone"


def test_curvature_against_gradient_by_group():
    task = api.load_task("mlp/digits", ["task.hidden=[1]"])
    starts = [task.init(torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    params = {k: torch.stack([s[k] for s in starts]) for k in starts[0]}
    probe = SmoothnessScatter(groups=4)
    found = probe.measure(task, params, probe.init(params), 2)
    for lane, start in enumerate(starts):
        hessian = models.dense_hessian(task, start, task.batch(None))
        leaves = {k: v.clone().requires_grad_() for k, v in start.items()}
        gradient = torch.autograd.grad(task.losses(leaves, task.batch(None)).mean(), list(leaves.values()))
        sizes, sums = models.flat(dict(enumerate(gradient))).abs().numpy(), hessian.abs().sum(dim=1).numpy()
        diagonal = hessian.diagonal().abs().numpy()
        assert float(found["smoothness_l1"][lane]) == pytest.approx(sums.sum(), rel=1e-10)
        assert float(found["diagonal_l1"][lane]) == pytest.approx(diagonal.sum(), rel=1e-10)
        # The row sums are an L: diag(L) - H and diag(L) + H have no negative eigenvalue.
        for sign in (1, -1):
            assert torch.linalg.eigvalsh(torch.diag(torch.from_numpy(sums)) + sign * hessian)[0] > -1e-12
        touched = np.flatnonzero((sizes > 0) & (sums > 0))
        assert 0 < len(touched) < len(sizes), "some pixels are never set"
        for g, group in enumerate(np.array_split(touched[np.argsort(sizes[touched])], 4), start=1):
            for name, expected in (("gradient", sizes), ("row_sum", sums), ("diagonal", diagonal)):
                assert float(found[f"scatter_{name}_{g}"][lane]) == pytest.approx(np.median(expected[group]), rel=1e-9)
        assert bool(found["scatter_correlation"][lane].isnan()), "one point says nothing"


def test_curvature_and_gradient_within_coordinates(tmp_path):
    words = ["task=mlp/digits", "task.hidden=[1]", "optimizer=sgd", "optimizer.lr=0.5", "batch_size=full"]
    words += ["budget.steps=6", "record=every:2", "dtype=float64", "probe=[smoothness_scatter]", f"store={tmp_path}"]
    api.run(words)
    found = values(tmp_path, "scatter_correlation")[0]
    assert [step for step, value in found.items() if np.isfinite(value)] == [4, 6], "three points are needed"
    task = api.load_task("mlp/digits", ["task.hidden=[1]"])
    params = task.init(generator(0, "initialisation"))
    logs = []
    for step in range(7):
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        gradient = torch.autograd.grad(task.losses(leaves, task.batch(None)).mean(), list(leaves.values()))
        if step % 2 == 0:
            sums = models.dense_hessian(task, params, task.batch(None)).abs().sum(dim=1)
            with np.errstate(divide="ignore"):
                logs.append(np.log([models.flat(dict(enumerate(gradient))).abs().numpy(), sums.numpy()]))
        params = {k: v - 0.5 * g for (k, v), g in zip(params.items(), gradient, strict=True)}
    for points, step in ((3, 4), (4, 6)):
        kept = np.array(logs[:points])
        kept = kept[:, :, np.isfinite(kept).all(axis=(0, 1))]
        x, y = np.moveaxis(kept - kept.mean(axis=0), 1, 0)
        assert found[step] == pytest.approx(stats.spearmanr(x.ravel(), y.ravel()).statistic, rel=1e-9)


def test_within_coordinates_by_hand():
    """Curvature that does not change within coordinates, and rises across them, says nothing."""
    logs = torch.zeros(4, 2, 3, dtype=torch.float64)
    logs[:, 0] = torch.tensor([[0.1], [0.7], [0.3], [0.4]]) + torch.tensor([0.0, 5.0, 9.0])
    logs[:, 1] = torch.tensor([0.1, 0.7, 1.3])
    assert bool(_within(logs).isnan())
    logs[:, 1] -= 2 * logs[:, 0]
    assert float(_within(logs)) == pytest.approx(-1.0)
    logs[:2, 1, 0] = -math.inf
    logs[0, 1, 1] = -math.inf
    logs[:, 1, 0] += 100 * torch.arange(4)
    assert float(_within(logs)) == pytest.approx(-1.0), "two points of the first coordinate are too few"
