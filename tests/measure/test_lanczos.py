"""The top eigenvalue against dense eigenvalues, and its bound."""

import math
import os

import models
import pytest
import torch

import data
from experiments import api, measure


def quadratic(matrix, dtype=torch.float64):
    """0.5 w'Hw, in two tensors of parameters."""
    d = len(matrix)
    start = {"a": torch.ones(d // 2, dtype=dtype), "b": torch.ones(d - d // 2, dtype=dtype)}

    def losses(params, batch):
        w = torch.cat([params["a"], params["b"]])
        return batch["x"] * 0.5 * (w @ matrix.to(dtype) @ w)

    return models.Given(function=losses, data={"x": torch.ones(1, dtype=dtype)}, start=start)


def with_spectrum(values):
    basis, _ = torch.linalg.qr(
        torch.randn(len(values), len(values), generator=torch.Generator().manual_seed(0)).double()
    )
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


SPECTRA = {
    "decaying": [10.0 * 0.9**k for k in range(60)],
    "larger below": [3.0, 2.0, 0.5, -50.0] + [0.1 * k for k in range(16)],
    "all below": [-1.0, -2.0, -3.0, -7.0],
    "repeated": [2.0] * 5 + [1.0] * 20,
    "low rank": [4.0, 1.0] + [0.0] * 30,
    "one": [-0.3],
    "tiny": [1e-9, 5e-10, 1e-12],
}


@pytest.mark.parametrize("values", SPECTRA.values(), ids=SPECTRA.keys())
def test_spectra(values):
    task = quadratic(with_spectrum(values))
    found = measure.top_eigenvalue(task, task.init())
    assert found.value == pytest.approx(max(values), rel=1e-9)
    size = max(map(abs, values))
    assert abs(found.value - max(values)) <= found.residual_bound <= 2e-6 * max(abs(max(values)), 1e-8 * size)
    assert found.products <= len(values) + 1
    assert found == measure.top_eigenvalue(task, task.init())


def test_no_curvature_at_all():
    task = quadratic(torch.zeros(6, 6, dtype=torch.float64))
    assert measure.top_eigenvalue(task, task.init()) == measure.Eigenvalue(0.0, 0.0, 2)


@pytest.mark.parametrize("iterations", [1, 2, 5, 12])
def test_an_eigenvalue_lies_within_the_bound_however_early_it_stops(iterations):
    values = [10.0 * 0.9**k for k in range(60)]
    task = quadratic(with_spectrum(values))
    found = measure.top_eigenvalue(task, task.init(), iterations=iterations)
    assert found.products == iterations + 1
    assert min(abs(found.value - v) for v in values) <= found.residual_bound
    assert 1e-4 < found.residual_bound < 10


def test_single_precision():
    values = SPECTRA["decaying"]
    task = quadratic(with_spectrum(values), torch.float32)
    found = measure.top_eigenvalue(task, task.init())
    assert abs(found.value - 10) <= found.residual_bound < 1e-3


def test_a_point_that_is_not_finite():
    task = quadratic(torch.full((4, 4), math.nan, dtype=torch.float64))
    found = measure.top_eigenvalue(task, task.init())
    assert math.isnan(found.value)
    assert math.isnan(found.residual_bound)


@pytest.mark.parametrize("name", models.NAMES[:-1])
def test_models(name):
    task = models.make(name)
    dense = models.dense_hessian(task, task.init(), task.batch(None))
    top = float(torch.linalg.eigvalsh(dense)[-1])
    found = measure.top_eigenvalue(task, task.init())
    assert found.value == pytest.approx(top, rel=1e-9)
    assert abs(found.value - top) <= found.residual_bound <= 1.1e-6 * top


def test_a9a():
    if "DATA_DIR" not in os.environ:
        pytest.skip("the environment variable DATA_DIR is not set: no real data files to check")
    task = api.load_task("logistic/a9a")
    rows = torch.from_numpy(data.load("libsvm/a9a").inputs.toarray())  # labels do not matter for the curvature
    random = torch.randn(123, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for w in (torch.zeros(123, dtype=torch.float64), random):
        slopes = torch.sigmoid(rows @ w)
        dense = rows.T @ (rows * (slopes * (1 - slopes))[:, None]) / len(rows)
        top = float(torch.linalg.eigvalsh(dense)[-1])
        found = measure.top_eigenvalue(task, {"weight": w})
        assert found.value == pytest.approx(top, rel=1e-9)
        assert abs(found.value - top) <= found.residual_bound
