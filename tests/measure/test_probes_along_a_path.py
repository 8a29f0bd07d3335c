"""Probes that follow a run, against the same path taken by hand; curvature by coordinate against dense Hessians."""

import models
import numpy as np
import pytest
import torch

from experiments import api, measure
from experiments.measure.probes.smoothness_scatter import SmoothnessScatter


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
    found = values(tmp_path, "noise_supremum_l1")[0]
    for step, seen in ((0, [0]), (2, [0, 2]), (4, [0, 2, 4])):
        expected = torch.stack([points[i] for i in seen]).amax(dim=0).sum()
        assert found[step] == pytest.approx(float(expected), rel=1e-9)
    assert len({int(i) for i in torch.stack([points[i] for i in (0, 2, 4)]).argmax(dim=0)}) > 1, "not one point alone"


def test_curvature_against_gradient_by_group():
    task = api.load_task("mlp/digits", ["task.hidden=[1]"])
    starts = [task.init(torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    params = {k: torch.stack([s[k] for s in starts]) for k in starts[0]}
    found = SmoothnessScatter(groups=4).measure(task, params, {}, 2)
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
        for g, group in enumerate(np.array_split(np.argsort(sizes), 4), start=1):
            for name, expected in (("gradient", sizes), ("row_sum", sums), ("diagonal", diagonal)):
                assert float(found[f"scatter_{name}_{g}"][lane]) == pytest.approx(np.median(expected[group]), rel=1e-9)
        ranks = [np.argsort(np.argsort(v)) for v in (sizes, sums)]
        assert float(found["scatter_correlation"][lane]) == pytest.approx(np.corrcoef(ranks)[0, 1], rel=1e-9)
