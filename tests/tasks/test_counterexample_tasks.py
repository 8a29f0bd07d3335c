"""The counterexamples as tasks of the runner: slopes, gradients and objective against lists, laws and autograd."""

import numpy as np
import pytest
import torch
from scipy import stats

from experiments import api, components, gradients
from experiments.order import Order
from experiments.tasks.counterexample import Counterexample
from experiments.tasks.finite_sum import FiniteSum
from optim import settings
from optim.settings import SettingError

CPU = torch.device("cpu")
NAMES = ["counterexample/stochastic", "counterexample/cyclic", "counterexample/fast", "counterexample/finite_sum"]
every_task = pytest.mark.parametrize("name", NAMES)


def points(*values):
    return {"x": torch.tensor(values, dtype=torch.float64)[:, None]}


def slopes(task, seeds, count, sampling="replacement", first=0):
    return task.batch(Order(task.size, sampling, seeds, CPU).draws(first, count))["slope"]


def test_the_named_ones_are_those_of_the_page():
    known = {name: api.load_task(name) for name in NAMES}
    large = {"stochastic": (1010, -10, 0.2), "cyclic": (1010, -10, 10 / 101), "fast": (10, -1, 0.1)}
    for name, (high, low, mean) in large.items():
        task = known[f"counterexample/{name}"]
        assert sorted(set(slopes(task, [0], 5000).tolist())) == [low, high]
        assert task.mean_slope == pytest.approx(mean, rel=1e-13)
        assert task.optimum == pytest.approx(-mean, rel=1e-13)
        assert task.batch(None)["slope"].tolist() == [task.mean_slope]
        assert task.size is None
    assert known["counterexample/finite_sum"].batch(None)["slope"].tolist() == [10.0] + [-1.0] * 9
    assert all(task.init()["x"].tolist() == [0.5] for task in known.values())


def test_the_large_slope_has_its_probability_and_no_memory():
    for name, p in (("stochastic", 0.01), ("fast", 0.1)):
        task = api.load_task(f"counterexample/{name}")
        large = (slopes(task, [0, 1, 2, 9], 100_000) > 0).numpy()
        assert stats.binomtest(int(large.sum()), large.size, p).pvalue > 1e-4
        together = (large[:, 1:] & large[:, :-1]).sum() + (large[0] & large[1]).sum()
        assert stats.binomtest(int(together), 4 * (100_000 - 1) + 100_000, p * p).pvalue > 1e-4


def test_the_large_slope_is_the_first_of_every_cycle():
    task = api.load_task("counterexample/cyclic")
    expected = [1010.0 if t % 101 == 1 else -10.0 for t in range(1, 1001)]
    assert slopes(task, [0], 1000).tolist() == expected
    assert slopes(task, [3, 5_000_000_000], 400, first=600).tolist() == [expected[600:]] * 2
    short = settings.build(Counterexample, {"C": 7, "period": 3, "scale": 2}, "task")
    assert slopes(short, [1], 6).tolist() == [14, -2, -2] * 2
    assert short.mean_slope == pytest.approx(10 / 3)


@every_task
def test_slopes_are_functions_of_the_draw_alone(name):
    task = api.load_task(name)
    whole = slopes(task, [4, 2], 300, "reshuffled" if task.size else "replacement")
    parts = [
        slopes(task, [2], n, "reshuffled" if task.size else "replacement", first) for first, n in ((0, 7), (7, 293))
    ]
    assert torch.equal(torch.cat(parts), whole[1])


@every_task
def test_gradients_are_those_of_autograd(name):
    task = api.load_task(name)
    batches = [task.batch(None), task.batch(Order(task.size, "replacement", [1], CPU).draws(0, 11))]
    at = points(-2.5, -2.0, -1.25, -1.0, 0.3, 1.0)
    for batch in batches:
        losses, grads = task.lane_gradient(at, batch)
        for lane, x in enumerate(at["x"]):
            own = task.losses({"x": x}, batch)
            np.testing.assert_allclose(losses[lane], own, rtol=1e-13)
            exact = torch.func.grad(lambda v, batch=batch: task.losses({"x": v}, batch).mean())(x)
            np.testing.assert_allclose(grads["x"][lane], exact, rtol=1e-13, atol=1e-13)


@every_task
def test_groups_of_seeds_have_draws_of_their_own(name):
    task = api.load_task(name)
    batch = task.batch(Order(task.size, "replacement", [1, 2, 3], CPU).draws(0, 5))
    at = points(0.5, -0.5, 0.25, 0.75, -2.0, 1.0)  # two lanes of each seed
    losses, grads = task.lane_gradient(at, batch)
    for lane in range(6):
        own = task.of_seed(batch, lane // 2)
        expected, exact = task.lane_gradient({"x": at["x"][lane : lane + 1]}, own)
        assert torch.equal(losses[lane], expected[0])
        assert torch.equal(grads["x"][lane], exact["x"][0])
    for strategy in ("batched", "sequential"):
        _, others = gradients.STRATEGIES[strategy](task, at, batch, 3)
        np.testing.assert_allclose(others["x"], grads["x"], rtol=1e-13, atol=1e-13)


@every_task
def test_the_objective_is_the_mean_of_the_losses(name):
    task = api.load_task(name)
    at = points(-2.5, -1.0, -0.2, 0.5)
    found = task.evaluate(at, lanes=4)
    assert found["x"].tolist() == [-2.5, -1.0, -0.2, 0.5]
    for lane, x in enumerate(at["x"]):
        one = {"x": x}
        assert float(found["loss"][lane]) == pytest.approx(float(task.losses(one, task.batch(None)).mean()), rel=1e-12)
        assert task.evaluate(one)["loss"].shape == ()
        assert float(task.evaluate(one)["loss"]) == float(found["loss"][lane])


def test_the_finite_sum_is_the_page_s():
    n, task = 6, settings.build(FiniteSum, {"n": 6}, "task")
    task.prepare(CPU, torch.float64)
    for x in (-4.0, -2.0, -1.0001, -1.0, -0.3, 2.0):
        first = n * x if x >= -1 else n / 2 * (x + 2) ** 2 - 3 * n / 2
        other = -x if x >= -1 else -((x + 2) ** 2) / 2 + 3 / 2
        found = task.losses({"x": torch.tensor([x], dtype=torch.float64)}, task.batch(None))
        np.testing.assert_allclose(found, [first] + [other] * (n - 1), rtol=1e-13)
    grid = points(*np.linspace(-5, 3, 801))
    losses = task.evaluate(grid, lanes=801)["loss"]
    assert float(grid["x"][losses.argmin()]) == pytest.approx(-2, abs=1e-12)
    assert task.optimum == pytest.approx(float(losses.min()), rel=1e-12)
    order = Order(n, "reshuffled", [3], CPU)
    for k in range(20):
        assert sorted(task.batch(order.draws(k * n, n))["slope"].tolist()) == [-1.0] * 5 + [6.0]


def test_dtype_follows_the_run():
    for name in NAMES:
        task = api.load_task(name, ["dtype=float32"])
        draws = Order(task.size, "replacement", [0], CPU).draws(0, 3)
        assert task.batch(draws)["slope"].dtype == task.batch(None)["slope"].dtype == torch.float32
        losses, grads = task.lane_gradient(task.init(), task.batch(draws))
        assert losses.dtype == grads["x"].dtype == torch.float32
    assert task.evaluate(task.init())["loss"].dtype == torch.float64


def test_any_optimizer_runs_in_the_box_and_the_gap_is_the_expected_regret(tmp_path):
    words = ["task=counterexample/fast", "wrapper=[box]", "budget.steps=300", "record=every:50", "dtype=float64"]
    for optimizer in ("adam", "amsgrad", "sgd", "lion"):
        api.run([*words, f"optimizer={optimizer}", "lanes.lr=[0.1,0.3]", "lanes.seed=[0,1]", f"store={tmp_path}"])
    table = api.load_runs(tmp_path)
    values = {metric: table[table.metric == metric].value.to_numpy() for metric in ("x", "loss", "gap")}
    assert len(values["x"]) == 4 * 4 * 7
    assert np.abs(values["x"]).max() <= 1
    np.testing.assert_allclose(values["loss"], 0.1 * values["x"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(values["gap"], 0.1 * (values["x"] + 1), rtol=1e-12, atol=1e-15)


def test_settings_that_make_no_counterexample_are_refused():
    for values, match in [
        ({}, r"either task\.delta, for random slopes, or task\.period"),
        ({"delta": 0.1, "period": 7}, r"either task\.delta"),
        ({"C": 3, "delta": 4}, "no counterexample"),
        ({"C": 3, "period": 5}, "no counterexample"),
        ({"delta": 0.0}, "greater than 0"),
        ({"period": 1}, "at least 2"),
    ]:
        with pytest.raises(SettingError, match=match):
            settings.build(Counterexample, values, "task")
    with pytest.raises(SettingError, match="at least 2"):
        settings.build(FiniteSum, {"n": 1}, "task")


def test_every_file_is_listed():
    assert set(NAMES) <= set(components.choices("task"))


@pytest.mark.parametrize("words", [["task.delta=0.1"], ["task.period=7", "task.delta=null"]])
def test_slopes_are_exact_in_float64(words):
    """Whatever the scale: 0.1 is no number of float32."""
    made = api.load_task("counterexample/stochastic", ["task.scale=0.1", "task.C=7.3", *words])
    made.prepare(torch.device("cpu"), torch.float64)
    slopes = made.batch(torch.arange(200))["slope"]
    assert slopes.dtype == torch.float64
    assert set(slopes.tolist()) == {-0.1, 0.1 * 7.3}


@pytest.mark.parametrize("start", ["5", "-1.01"])
def test_a_start_outside_the_domain_is_refused(start):
    with pytest.raises(SettingError, match=r"is outside \[-1, 1\]"):
        api.load_task("counterexample/fast", [f"task.start={start}"])
