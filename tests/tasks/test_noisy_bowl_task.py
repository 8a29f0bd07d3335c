"""The bowl as a task: against autograd, its noise, and the engine's run against the compiled recursion."""

import math

import numpy as np
import pytest
import torch
import yaml

from experiments import api, components, gradients
from experiments.order import Order
from experiments.tasks.noisy_bowl import NoisyBowl
from experiments.theory.noisy_bowl import Lane, follow
from optim import settings
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne
from optim.settings import SettingError

CPU = torch.device("cpu")


def ready(dtype=torch.float64, **values):
    task = settings.build(NoisyBowl, values, "task")
    task.prepare(CPU, dtype)
    return task


def close(actual, expected, rtol=1e-12, atol=1e-14):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def point(width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=width))


def test_everything_known_agrees_with_autograd():
    task = ready(dimension=6, noise=0.7)
    weight, batch = point(6), task.batch(torch.arange(5) + 2**40)

    def objective(w):
        return task.losses({"weight": w}, task.batch(None)).mean()

    exact = torch.func.grad(objective)(weight)
    found = task.evaluate({"weight": weight})
    close(objective(weight), sum(w * w / (1 + w * w) for w in weight.tolist()))
    close(found["loss"], objective(weight))
    close(found["gradient_norm"], exact.norm())
    own = torch.func.jacrev(lambda w: task.losses({"weight": w}, batch))(weight)
    close(own, exact + batch["noise"])
    mean, variance = task.gradient_moments({"weight": weight})
    close(mean["weight"], exact)
    close(variance["weight"], np.full(6, 0.49))
    minimum = {"weight": torch.zeros(6, dtype=torch.float64)}
    assert float(task.evaluate(minimum)["loss"]) == task.optimum == 0.0
    assert float(task.evaluate(minimum)["gradient_norm"]) == 0.0


@pytest.mark.parametrize("groups", [1, 3])
def test_lane_gradients_agree_with_autograd(groups):
    task = ready(dimension=6)
    draws = Order(None, "replacement", [4, 0, 9][:groups], CPU).draws(11, 5)
    batch = task.batch(draws)
    assert batch["noise"].shape == (*draws.shape, 6)
    params = {"weight": torch.stack([point(6, seed) for seed in range(6)])}
    expected, grads = gradients.sequential(task, params, batch, groups)
    losses, found = task.lane_gradient(params, batch)
    assert losses.shape == (6, 5)
    close(losses.mean(dim=1), expected)
    close(found["weight"], grads["weight"])
    each = [task.evaluate({"weight": w}) for w in params["weight"]]
    together = task.evaluate(params, lanes=6)
    for name in ("loss", "gradient_norm"):
        close(together[name], [one[name] for one in each])


def test_the_noise_has_its_moments():
    task = ready(dimension=5, noise=3.0)
    z = task.batch(torch.arange(40_000))["noise"].numpy()
    n = len(z)
    assert np.abs(z.mean(axis=0)).max() < 5 * 3 / math.sqrt(n)
    assert np.abs(z.T @ z / n - 9 * np.eye(5)).max() < 9 * 6 * math.sqrt(2 / n)
    means = z.reshape(-1, 16, 5).mean(axis=1)
    assert abs(means.var() - 9 / 16) < 5 * 9 / 16 * math.sqrt(2 / means.size)
    assert torch.equal(task.batch(torch.arange(40_000))["noise"][7:9], task.batch(torch.tensor([7, 8]))["noise"])
    assert (ready(dimension=5, noise=0.0).batch(torch.arange(3))["noise"] == 0).all()


def test_float32_is_the_cast_of_float64():
    narrow, wide = (ready(dtype, dimension=8) for dtype in (torch.float32, torch.float64))
    assert narrow.init()["weight"].dtype == narrow.batch(torch.arange(3))["noise"].dtype == torch.float32
    assert torch.equal(narrow.batch(torch.arange(3))["noise"], wide.batch(torch.arange(3))["noise"].float())
    assert narrow.lane_gradient({"weight": point(8).float()[None]}, narrow.batch(None))[1]["weight"].dtype == (
        torch.float32
    )


def test_the_named_bowl_is_that_of_the_page():
    task = components.component("task", yaml.safe_load((components.CONFIGS / "task/nonconvex/bowl.yaml").read_text()))
    task.prepare(CPU, torch.float64)
    assert (task.dimension, task.noise, task.start, task.size, task.optimum) == (200, 5.0, 1.0, None, 0.0)
    assert (task.init()["weight"] == 1).all()
    assert task.describe()["gradient_norm_at_start"] == pytest.approx(0.5 * math.sqrt(200), rel=1e-12)
    assert float(task.evaluate(task.init())["gradient_norm"]) == pytest.approx(0.5 * math.sqrt(200), rel=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dimension": 0}, "task.dimension must be at least 1"),
        ({"noise": -1.0}, "task.noise must be at least 0"),
        ({"start": math.inf}, "task.start must be a finite number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(SettingError, match=message):
        ready(**wrong)


@pytest.mark.parametrize(
    ("words", "theta"),
    [
        (["theta=towards_one", "theta.r=1"], TowardsOne(r=1.0)),
        (["theta=constant", "theta.at=0.999"], Constant(at=0.999)),
    ],
)
def test_the_engine_runs_the_recursion(tmp_path, words, theta):
    """Fed the task's own noise, seed by seed, with batches of 4."""
    steps, size, width = 300, 4, 20
    results = api.run(
        [
            "task=nonconvex/bowl",
            f"task.dimension={width}",
            "task.noise=2.0",
            "optimizer=generic_adam",
            "optimizer.lr=0.5",
            "alpha=power",
            "alpha.s=0.5",
            *words,
            f"batch_size.size={size}",
            f"budget.steps={steps}",
            "lanes.seed=[0,3]",
            "record=every:1",
            "dtype=float64",
            f"store={tmp_path}",
        ]
    )
    table = api.load_runs(tmp_path)
    task = ready(dimension=width, noise=2.0)
    lane = Lane(size, steps, 0.5, Power(s=0.5), Constant(at=0.9), theta)
    assert [result.status for result in results] == ["finished"] * 2
    for result, seed in zip(results, (0, 3), strict=True):
        draws = Order(None, "replacement", [seed], CPU).draws(0, steps * size)
        means = task.batch(draws)["noise"].numpy().reshape(steps, size, width).mean(axis=1)
        (path,) = follow([lane], iter([means * math.sqrt(size) / 2.0]), width, 2.0, 1.0, range(1, steps + 1), [])
        own = table[(table.run == result.id) & (table.step > 0)].pivot(index="step", columns="metric", values="value")
        np.testing.assert_allclose(own.gradient_norm, path.norms, rtol=1e-10)
        np.testing.assert_allclose(own.loss, path.losses, rtol=1e-10)
