"""Probes lane by lane against the functions they call, alone and in a run."""

import dataclasses
import math

import models
import pytest
import torch

from experiments import api, measure
from experiments.measure.probe import Probe
from experiments.measure.probes.gradient_noise import GradientNoise
from experiments.measure.probes.hessian_trace import HessianTrace
from experiments.measure.probes.top_eigenvalue import TopEigenvalue


def two_lanes(task):
    start = task.init()
    points = [start, {k: 1.5 * v for k, v in start.items()}]
    return points, {k: torch.stack([p[k] for p in points]) for k in start}


def test_lane_by_lane():
    task = models.make("mlp")
    points, params = two_lanes(task)
    top = TopEigenvalue().measure(task, params, {}, 2)
    trace = HessianTrace(samples=10, seed=4).measure(task, params, {}, 2)
    noise = GradientNoise().measure(task, params, {}, 2)
    for i, point in enumerate(points):
        eigenvalue = measure.top_eigenvalue(task, point)
        assert top["top_eigenvalue"][i] == pytest.approx(eigenvalue.value, rel=1e-12)
        assert top["top_eigenvalue_residual"][i] == pytest.approx(eigenvalue.residual_bound, rel=1e-6)
        value, error = measure.hessian_trace(task, point, samples=10, seed=4)
        assert (trace["hessian_trace"][i], trace["hessian_trace_error"][i]) == (value, error)
        sigma = models.flat(measure.gradient_noise(task, point))
        expected = {"noise_l1": sigma.sum(), "noise_l2": sigma.norm(), "noise_max": sigma.max()}
        for name, number in expected.items():
            torch.testing.assert_close(noise[name][i], number, rtol=1e-12, atol=0)


def test_a_subset_is_the_same_whenever_it_is_drawn_and_another_with_another_seed():
    task = models.make("mlp")
    _, params = two_lanes(task)
    one, same, other, all_of_them = (
        GradientNoise(examples=k, seed=s).measure(task, params, {}, 2)["noise_l1"].tolist()
        for k, s in [(3, 0), (3, 0), (3, 1), (7, 1)]
    )
    assert one == same
    assert one != other
    assert all_of_them == GradientNoise().measure(task, params, {}, 2)["noise_l1"].tolist()
    # In a subset of two, sigma is half the distance between their gradients, whichever they are.
    pairs = []
    for i in range(7):
        for j in range(i):
            batch = task.batch(torch.tensor([i, j]))
            pairs.append(float(models.flat(measure.gradient_noise(task, task.init(), batch)).sum()))
    found = float(GradientNoise(examples=2, seed=5).measure(task, params, {}, 2)["noise_l1"][0])
    assert min(abs(found - p) for p in pairs) < 1e-12


def test_due():
    every = dataclasses.make_dataclass("Every", [], bases=(Probe,), frozen=True, kw_only=True)(every=3)
    assert [p for p in range(8) if every.due(p, last=p == 7)] == [0, 3, 6, 7]


def test_in_a_run(tmp_path):
    words = ["task=logistic/breast_cancer", "optimizer=adagrad", "lanes.lr=[0.1,1.0]", "budget.steps=3", "record=ends"]
    probes = [
        "probe=[top_eigenvalue,hessian_trace,gradient_noise]",
        "dtype=float64",
        "probe.gradient_noise.examples=50",
    ]
    results = api.run([*words, *probes, f"store={tmp_path}"])
    names = {"top_eigenvalue", "top_eigenvalue_residual", "hessian_trace", "hessian_trace_error"}
    names |= {"noise_l1", "noise_l2", "noise_max"}
    for result in results:
        assert names <= set(result.metrics)
        assert all(math.isfinite(result.metrics[name]) for name in names)
        assert result.metrics["hessian_trace_error"] == 0  # 30 dimensions: exact
        assert result.metrics["top_eigenvalue"] <= result.metrics["hessian_trace"]
    rows = api.load_runs(tmp_path)
    start = rows[(rows.metric == "hessian_trace") & (rows.step == 0)].value
    task = api.load_task("logistic/breast_cancer")
    dense = models.dense_hessian(task, task.init(), task.batch(None))
    assert start.tolist() == pytest.approx([float(dense.trace())] * 2, rel=1e-12)
