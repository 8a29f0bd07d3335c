"""Least squares against numpy, autograd and moments of Gaussians computed by quadrature."""

import itertools

import numpy as np
import pytest
import torch
import yaml

from experiments import components, gradients
from experiments.order import Order
from experiments.tasks.least_squares import LeastSquares
from optim import settings
from optim.settings import SettingError

CPU = torch.device("cpu")
SPECTRA = [
    {"dimension": 5, "decay": 0.7},
    {"eigenvalues": [2, 1, 0.5, 0.1], "rotation": "random"},
    {"eigenvalues": [2, 1, 0.5, 0.1], "rotation": "helmert", "block_size": 2, "minimiser": [1, 2, 0, -1]},
]
STREAMS = [{**spectrum, "label_noise": noise} for spectrum, noise in zip(SPECTRA, (1.0, 0.3, 0.0), strict=True)]
SETS = [{**stream, "examples": n} for stream, n in zip(STREAMS, (23, 40, 11), strict=True)]
WIDE = {"dimension": 9, "rotation": "random", "examples": 6}  # more unknowns than rows


def ready(dtype=torch.float64, **values):
    task = settings.build(LeastSquares, values, "task")
    task.prepare(CPU, dtype)
    return task


def close(actual, expected, rtol=1e-11, atol=1e-13):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def point(width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=width))


@pytest.mark.parametrize("values", [*STREAMS, *SETS, WIDE])
def test_everything_known_agrees_with_autograd(values):
    task = ready(**values)
    whole, width = task.batch(None), task.init()["weight"].shape[0]
    weight = point(width)

    def objective(w):
        return task.losses({"weight": w}, whole).mean()

    close(task.evaluate({"weight": weight})["loss"], objective(weight))
    close(task.gradient({"weight": weight})["weight"], torch.func.grad(objective)(weight), atol=1e-12)
    close(task.hessian(), torch.func.hessian(objective)(weight))
    centre = task.solution["weight"]
    close(task.optimum, objective(centre), atol=1e-14)
    close(torch.func.grad(objective)(centre), np.zeros(width), atol=1e-12)
    rows, factor, l2 = task.curvature_bound()
    close(factor * (rows.T @ rows).toarray() / rows.shape[0] + l2 * np.eye(width), task.hessian())


@pytest.mark.parametrize("values", [*SETS, WIDE])
def test_a_finite_set_against_numpy(values):
    task = ready(**values)
    batch = task.batch(None)
    inputs, targets = batch["inputs"].numpy(), batch["targets"].numpy()
    n = values["examples"]
    assert task.size == n == len(inputs)
    solution = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    close(task.solution["weight"], solution, rtol=1e-9)
    close(task.optimum, 0.5 * np.mean((inputs @ solution - targets) ** 2), atol=1e-14)
    weight = point(inputs.shape[1])
    own = inputs * (inputs @ weight.numpy() - targets)[:, None]
    close(task.covariance({"weight": weight}), np.cov(own.T, bias=True))
    some = task.batch(torch.tensor([3, 0, 3]))
    np.testing.assert_array_equal(some["inputs"], inputs[[3, 0, 3]])
    np.testing.assert_array_equal(some["targets"], targets[[3, 0, 3]])
    assert not np.array_equal(inputs, ready(**{**values, "problem_seed": 1}).batch(None)["inputs"])


@pytest.mark.parametrize("values", STREAMS)
def test_covariance_of_a_stream_by_quadrature(values):
    """Gauss and Hermite's rule with 3 nodes a dimension is exact to degree 5, and these have degree 4."""
    task = ready(**values)
    sigma = task.hessian().numpy()
    width = len(sigma)
    weight = point(width).numpy()
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    weights = weights / weights.sum()
    root = np.linalg.cholesky(sigma)
    second = np.zeros((width, width))
    for index in itertools.product(range(3), repeat=width + 1):
        x, label = root @ nodes[list(index[:-1])], values["label_noise"] * nodes[index[-1]]
        g = x * (x @ (weight - task.solution["weight"].numpy()) - label)
        second += weights[list(index)].prod() * np.outer(g, g)
    mean = task.gradient({"weight": torch.from_numpy(weight)})["weight"].numpy()
    exact = task.covariance({"weight": torch.from_numpy(weight)})
    close(exact, second - np.outer(mean, mean))
    close(task.gradient_moments({"weight": torch.from_numpy(weight)})[1]["weight"], np.diag(exact))


@pytest.mark.parametrize("values", STREAMS)
def test_draws_of_a_stream(values):
    """Functions of their ids; inputs have covariance Sigma, targets the linear model with its noise."""
    task = ready(**values)
    assert task.size is None
    ids = torch.arange(40000) + 5 * 2**40
    batch = task.batch(ids)
    again = task.batch(ids[[7, 20000]])
    close(again["inputs"], batch["inputs"][[7, 20000]])
    close(again["targets"], batch["targets"][[7, 20000]])
    inputs, sigma = batch["inputs"].numpy(), task.hessian().numpy()
    spread = np.sqrt((np.outer(np.diag(sigma), np.diag(sigma)) + sigma**2) / len(inputs))
    assert (np.abs(inputs.T @ inputs / len(inputs) - sigma) <= 6 * spread).all()
    noise = batch["targets"].numpy() - inputs @ task.solution["weight"].numpy()
    close(noise.std(), values["label_noise"], rtol=0.02)
    assert np.abs(inputs.T @ noise / len(inputs)).max() <= 6 * np.sqrt(sigma.max() / len(inputs))


@pytest.mark.parametrize("values", [*STREAMS, *SETS])
@pytest.mark.parametrize("groups", [1, 3])
def test_lane_gradients_agree_with_autograd(values, groups):
    task = ready(**values)
    width = task.init()["weight"].shape[0]
    batch = task.batch(Order(task.size, "replacement", [4, 0, 9][:groups], CPU).draws(11, 5))
    params = {"weight": torch.stack([point(width, seed) for seed in range(6)])}
    expected, grads = gradients.sequential(task, params, batch, groups)
    losses, found = task.lane_gradient(params, batch)
    assert losses.shape == (6, 5)
    close(losses.mean(dim=1), expected)
    close(found["weight"], grads["weight"])
    close(gradients.batched(task, params, batch, groups)[1]["weight"], grads["weight"])
    close(task.evaluate(params, lanes=6)["loss"], [task.evaluate({"weight": w})["loss"] for w in params["weight"]])


@pytest.mark.parametrize("examples", [None, 30])
def test_a_turned_problem_is_the_same_to_gradient_descent(examples):
    turned = {"rotation": "random", "minimiser_basis": "eigenvectors"}
    tasks = [ready(dimension=6, examples=examples, **extra) for extra in ({}, turned)]
    weights = [task.init()["weight"] for task in tasks]
    for step in range(5):
        batches = [task.batch(torch.arange(4 * step, 4 * step + 4)) for task in tasks]
        pairs = zip(tasks, weights, batches, strict=True)
        found = [task.lane_gradient({"weight": w[None]}, batch) for task, w, batch in pairs]
        close(found[0][0], found[1][0])
        weights = [w - 0.1 * grads["weight"][0] for w, (_, grads) in zip(weights, found, strict=True)]
    assert not np.allclose(weights[0], weights[1])


def test_float32_is_the_cast_of_float64():
    for values in (STREAMS[1], SETS[1]):
        narrow, wide = (ready(dtype, **values) for dtype in (torch.float32, torch.float64))
        draws = torch.arange(4)
        for name, tensor in narrow.batch(draws).items():
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, wide.batch(draws)[name].float())
        assert narrow.optimum == wide.optimum
        assert torch.equal(narrow.hessian(), wide.hessian())


def test_released_tasks_come_back():
    task = ready(**SETS[0])
    before = task.batch(None)["inputs"]
    others = [ready(**{**SETS[0], "problem_seed": seed}) for seed in range(1, 6)]  # only four keep their data
    assert torch.equal(task.batch(None)["inputs"], before)
    assert not torch.equal(others[0].batch(None)["inputs"], before)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"dimension": 3, "label_noise": -1}, "task.label_noise must be at least 0"),
        ({"dimension": 3, "examples": 0}, "task.examples must be at least 1"),
        ({"dimension": 5000, "examples": 1_000_000}, "lower task.examples"),
        ({"examples": 10}, "task.dimension"),
    ],
)
def test_bad_settings_are_one_sentence(values, says):
    with pytest.raises(SettingError) as caught:
        settings.build(LeastSquares, values, "task")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gaussian", "rotated", "finite"])
def test_named_problems(name):
    path = components.CONFIGS / "task" / "least_squares" / f"{name}.yaml"
    task = components.component("task", yaml.safe_load(path.read_text()))
    task.prepare(CPU, torch.float64)
    facts = task.describe()
    close(facts["largest_eigenvalue"], torch.linalg.eigvalsh(task.hessian())[-1])
    assert facts["examples"] == (2000 if name == "finite" else None)
    assert facts["optimum"] == task.optimum > 0.4
