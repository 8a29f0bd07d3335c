"""Quadratics and their noise against plain Python, autograd and numpy."""

import math

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from experiments import components, gradients
from experiments.order import Order
from experiments.tasks.noise import normal
from experiments.tasks.quadratic import Quadratic
from optim import settings
from optim.settings import SettingError

CPU = torch.device("cpu")
KINDS = [
    {"dimension": 7, "decay": 1.5},
    {"dimension": 6, "rotation": "random", "noise_basis": "eigenvectors", "noise_decay": 0.5},
    {"eigenvalues": [3, 1, 0, 2, 0.5, 4], "rotation": "random", "block_size": 3, "noise_profile": [1, 2, 3, 0, 5, 6]},
    {"eigenvalues": [5.0, 1, 1, 0.4, 2, 2], "rotation": "helmert", "block_size": 3, "minimiser": [1, 1, 1, -2, -2, -2]},
]


def ready(dtype=torch.float64, **values):
    task = settings.build(Quadratic, values, "task")
    task.prepare(CPU, dtype)
    return task


def close(actual, expected, rtol=1e-12, atol=1e-13):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def point(width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=width))


# Noise ----------------------------------------------------------------------------------------------------------------


def splitmix(state):
    """splitmix64 in unbounded integers, as its authors publish it."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def reference_normal(number, column, key):
    row = splitmix(splitmix(number % 2**64) ^ key)
    first, second = (splitmix((row + splitmix(2 * (column // 2) + k)) % 2**64) >> 11 for k in (0, 1))
    radius = math.sqrt(-2 * math.log(1 - first / 2**53))
    angle = 2 * math.pi * second / 2**53
    return radius * (math.sin(angle) if column % 2 else math.cos(angle))


def test_splitmix_gives_the_published_numbers():
    state, found = 1234567, []
    for _ in range(3):
        found.append(splitmix(state))
        state = (state + 0x9E3779B97F4A7C15) % 2**64
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_noise_is_the_stated_function_of_id_column_and_key():
    ids = [0, 1, 5, -3, 2**40, 7 * 2**40 + 12345, 2**62 + 1]
    for key in (0, 987654321, 2**63 - 1):
        expected = [[reference_normal(number, column, key) for column in range(5)] for number in ids]
        close(normal(torch.tensor(ids), 5, key), expected, rtol=1e-13)


def test_noise_does_not_depend_on_its_company():
    ids = torch.arange(4000).reshape(40, 100) + 3 * 2**40
    whole = normal(ids, 9, 5)
    assert whole.shape == (40, 100, 9)
    assert torch.equal(normal(ids.reshape(-1).flip(0), 9, 5).flip(0).reshape(40, 100, 9), whole)
    assert torch.equal(normal(ids[17, 31:34], 4, 5), whole[17, 31:34, :4])
    assert torch.equal(normal(ids[3, 3], 9, 5), whole[3, 3])


def test_noise_is_normal_and_independent():
    z = normal(torch.arange(20000) + 2**40, 10, 77).numpy()
    n = len(z)
    assert stats.kstest(z.reshape(-1), "norm").pvalue > 1e-3
    assert np.abs(z.mean(axis=0)).max() < 5 / math.sqrt(n)
    assert np.abs(z.T @ z / n - np.eye(10)).max() < 6 * math.sqrt(2 / n)
    assert np.abs((z[1:].T @ z[:-1]) / n).max() < 5 / math.sqrt(n)
    other = normal(torch.arange(20000) + 2**40, 10, 78).numpy()
    assert np.abs(other.T @ z / n).max() < 5 / math.sqrt(n)


# The objective --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", KINDS)
def test_everything_known_agrees_with_autograd(values):
    task = ready(**values)
    width = task.init()["weight"].shape[0]
    assert torch.equal(task.init()["weight"], torch.zeros(width, dtype=torch.float64))
    weight, draws = point(width), torch.arange(9) + 2**40
    batch, whole = task.batch(draws), task.batch(None)

    def objective(w):
        return task.losses({"weight": w}, whole).mean()

    close(task.evaluate({"weight": weight})["loss"], objective(weight))
    close(task.gradient({"weight": weight})["weight"], torch.func.grad(objective)(weight))
    close(task.hessian(), torch.func.hessian(objective)(weight))
    own = torch.func.jacrev(lambda w: task.losses({"weight": w}, batch))(weight)
    close(own, task.gradient({"weight": weight})["weight"] + batch["noise"])
    centre = task.solution["weight"]
    assert task.optimum == 0.0
    assert float(objective(centre)) == 0.0
    close(task.gradient({"weight": centre})["weight"], np.zeros(width))
    rows, factor, l2 = task.curvature_bound()
    close(factor * (rows.T @ rows).toarray() / rows.shape[0] + l2 * np.eye(width), task.hessian())


@pytest.mark.parametrize("values", KINDS)
def test_the_spectrum_is_the_one_asked_for(values):
    task = ready(**values)
    hessian = task.hessian().numpy()
    width = len(hessian)
    wanted = values.get("eigenvalues") or [i ** -values.get("decay", 1.0) for i in range(1, width + 1)]
    close(np.linalg.eigvalsh(hessian), sorted(wanted), atol=1e-12)
    size = values.get("block_size", width if "rotation" in values else 1)
    inside = np.kron(np.eye(width // size), np.ones((size, size))) == 1
    assert (hessian[~inside] == 0).all()
    if values.get("rotation") == "random":
        assert (hessian[inside] != 0).all()
        for b in range(width // size):  # consecutive eigenvalues share a block
            block = slice(b * size, (b + 1) * size)
            close(np.linalg.eigvalsh(hessian[block, block]), sorted(wanted[block]), atol=1e-12)


def test_helmert_blocks_have_equal_entries():
    hessian = ready(**KINDS[3]).hessian().numpy()
    for start, (first, other) in ((0, (5.0, 1.0)), (3, (0.4, 2.0))):
        block = np.full((3, 3), (first - other) / 3) + other * np.eye(3)
        close(hessian[start : start + 3, start : start + 3], block)


@pytest.mark.parametrize("values", KINDS)
def test_covariance_is_that_of_the_gradients(values):
    """Coordinate by coordinate from the settings, and loosely from 40,000 gradients."""
    task = ready(**{"noise": 0.5, **values})
    width = task.init()["weight"].shape[0]
    profile = values.get("noise_profile") or [i ** -values.get("noise_decay", 0.0) for i in range(1, width + 1)]
    variances = np.diag(0.25 * np.asarray(profile, dtype=float) ** 2)
    params = {"weight": point(width)}
    exact = task.covariance(params).numpy()
    if values.get("noise_basis") == "eigenvectors":
        q = np.linalg.eigh(task.hessian().numpy())[1][:, ::-1]  # eigenvalues of this case fall
        variances = q @ variances @ q.T
    close(exact, variances)
    mean, variance = task.gradient_moments(params)
    close(mean["weight"], task.gradient(params)["weight"])
    close(variance["weight"], np.diag(exact))
    found = np.cov(task.batch(torch.arange(40000))["noise"].numpy().T)
    spread = np.sqrt(np.outer(np.diag(exact), np.diag(exact)) * 2 / 40000)
    assert (np.abs(found - exact) <= 6 * spread).all()


@pytest.mark.parametrize("values", KINDS)
@pytest.mark.parametrize("groups", [1, 3])
def test_lane_gradients_agree_with_autograd(values, groups):
    task = ready(**values)
    width = task.init()["weight"].shape[0]
    draws = Order(None, "replacement", [4, 0, 9][:groups], CPU).draws(11, 5)
    batch = task.batch(draws)
    assert batch["noise"].shape == (*draws.shape, width)
    params = {"weight": torch.stack([point(width, seed) for seed in range(6)])}
    expected, grads = gradients.sequential(task, params, batch, groups)
    losses, found = task.lane_gradient(params, batch)
    assert losses.shape == (6, 5)
    close(losses.mean(dim=1), expected)
    close(found["weight"], grads["weight"])
    close(gradients.batched(task, params, batch, groups)[1]["weight"], grads["weight"])
    values_of = task.evaluate(params, lanes=6)["loss"]
    close(values_of, [task.evaluate({"weight": w})["loss"] for w in params["weight"]])


def test_a_turned_problem_is_the_same_to_gradient_descent():
    turned = {"rotation": "random", "minimiser_basis": "eigenvectors", "noise_basis": "eigenvectors"}
    tasks = [ready(dimension=8, **extra) for extra in ({}, turned)]
    weights = [task.init()["weight"] for task in tasks]
    for step in range(5):
        batches = [task.batch(torch.arange(4 * step, 4 * step + 4)) for task in tasks]
        pairs = zip(tasks, weights, batches, strict=True)
        found = [task.lane_gradient({"weight": w[None]}, batch) for task, w, batch in pairs]
        close(found[0][0], found[1][0])
        weights = [w - 0.3 * grads["weight"][0] for w, (_, grads) in zip(weights, found, strict=True)]
    assert not np.allclose(weights[0], weights[1])
    close(tasks[0].evaluate({"weight": weights[0]})["loss"], tasks[1].evaluate({"weight": weights[1]})["loss"])


def test_a_sparser_minimiser_is_part_of_a_denser_one():
    dense = ready(dimension=50).solution["weight"].numpy()
    assert (dense != 0).all()
    for density, count in ((0.5, 25), (0.1, 5), (0.001, 1)):
        part = ready(dimension=50, minimiser_density=density).solution["weight"].numpy()
        assert (part != 0).sum() == count
        np.testing.assert_array_equal(part[part != 0], dense[part != 0])
    assert not np.array_equal(dense, ready(dimension=50, problem_seed=1).solution["weight"])


def test_float32_is_the_cast_of_float64():
    narrow, wide = (ready(dtype, dimension=8, rotation="random") for dtype in (torch.float32, torch.float64))
    assert narrow.init()["weight"].dtype == narrow.batch(torch.arange(3))["noise"].dtype == torch.float32
    assert torch.equal(narrow.batch(torch.arange(3))["noise"], wide.batch(torch.arange(3))["noise"].float())
    assert torch.equal(narrow.hessian(), wide.hessian())
    params = {"weight": point(8).float()}
    double = {"weight": params["weight"].double()}
    assert narrow.gradient(params)["weight"].dtype == narrow.covariance(params).dtype == torch.float32
    close(
        narrow.lane_gradient({"weight": params["weight"][None]}, narrow.batch(None))[1]["weight"][0],
        wide.gradient(double)["weight"],
        rtol=1e-5,
        atol=1e-6,
    )
    assert narrow.evaluate(params)["loss"] == wide.evaluate(double)["loss"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "task.dimension"),
        ({"eigenvalues": []}, "task.eigenvalues must be a list of at least one"),
        ({"eigenvalues": [1, "a"]}, "task.eigenvalues must be a list"),
        ({"eigenvalues": [1, -2.0]}, "at least 0, not -2"),
        ({"eigenvalues": [0, 0]}, "not all be zero"),
        ({"eigenvalues": [1.0] * 5001}, "at most 5000"),
        ({"eigenvalues": [1, 2], "dimension": 3}, "2 numbers and task.dimension=3"),
        ({"eigenvalues": [1, 2], "decay": 1}, "task.decay"),
        ({"dimension": 0}, "task.dimension must be at least 1"),
        ({"dimension": 5001}, "task.dimension must be at most 5000"),
        ({"dimension": 4, "rotation": "randm"}, "did you mean 'random'"),
        ({"dimension": 4, "rotation": "random", "block_size": 3}, "task.block_size=3 does not divide the dimension 4"),
        ({"dimension": 4, "block_size": 2}, "task.rotation"),
        ({"dimension": 4, "minimiser": [1, 2]}, "each of the 4 dimensions, not 2"),
        ({"dimension": 2, "minimiser": [1, 2], "minimiser_density": 0.5}, "task.minimiser_density"),
        ({"dimension": 4, "minimiser_density": 0}, "task.minimiser_density must be greater than 0"),
        ({"dimension": 4, "minimiser_density": 1.5}, "task.minimiser_density must be at most 1"),
        ({"dimension": 2, "noise": -1}, "task.noise must be at least 0"),
        ({"dimension": 2, "noise_profile": [1]}, "each of the 2 dimensions, not 1"),
        ({"dimension": 2, "noise_profile": [1, -1]}, "task.noise_profile must hold numbers of at least 0"),
        ({"dimension": 2, "noise_profile": [1, 1], "noise_decay": 1}, "either task.noise_profile or task.noise_decay"),
    ],
)
def test_bad_settings_are_one_sentence(values, says):
    with pytest.raises(SettingError) as caught:
        settings.build(Quadratic, values, "task")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["power_law", "rotated", "blocks"])
def test_named_problems(name):
    path = components.CONFIGS / "task" / "quadratic" / f"{name}.yaml"
    task = components.component("task", yaml.safe_load(path.read_text()))
    task.prepare(CPU, torch.float64)
    start = task.init()
    facts = task.describe()
    assert facts["dimension"] == start["weight"].numel()
    close(facts["largest_eigenvalue"], torch.linalg.eigvalsh(task.hessian())[-1])
    w = task.solution["weight"]
    close(task.evaluate(start)["loss"], 0.5 * w @ task.hessian() @ w)
