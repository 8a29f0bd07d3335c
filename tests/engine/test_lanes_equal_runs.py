"""Lanes against separate runs, runs against loops written out in numpy and torch, and when a run is recorded."""

import dataclasses
import json
import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.datasets import load_breast_cancer

from experiments import api, config, files, recording, runner
from experiments.gradients import STRATEGIES
from experiments.job import Job
from experiments.loop import Loop
from experiments.order import Order
from experiments.seeds import generator
from experiments.spec import Budget, Experiment, with_lanes
from experiments.store import Store
from experiments.tasks.logistic import LogisticRegression
from experiments.tasks.task import Task
from optim import rule
from optim.batch_sizes.constant import Constant as ConstantBatch
from optim.rule import Rule
from optim.schedules.inverse_sqrt import InverseSqrt
from optim.settings import SettingError, setting

CPU = torch.device("cpu")
OWN = ["sgd", "adagrad", "adagrad_norm", "adam"]
every_rule = pytest.mark.parametrize("optimizer", OWN)
BASE = ["task=logistic/breast_cancer", "dtype=float64", "batch_size.size=32", "budget.steps=40", "record=every:8"]
RATES = {
    "sgd": [0.03, 0.7, 5.0],
    "adagrad": [0.01, 0.3, 1.0],
    "adagrad_norm": [0.1, 1.0, 9.0],
    "adam": [1e-3, 0.03, 0.2],
}


def run(store, *words):
    return api.run([*BASE, *words, f"store={store}"])


def recorded(store):
    """{(run, step, examples, metric): value}. A run has the same name in any store, alone or as a lane."""
    table = api.load_runs(store)
    keys = zip(table["run"], table["step"], table["examples"], table["metric"], strict=True)
    return dict(zip(keys, table["value"], strict=True))


def same_records(store, other, rtol=1e-12):
    actual, expected = recorded(store), recorded(other)
    assert actual.keys() == expected.keys()
    assert len(expected) > 0
    for key, value in expected.items():
        # A gap is a difference of losses; what is exact of it is the absolute error.
        atol = rtol if key[-1].endswith("gap") else 0.0
        assert actual[key] == pytest.approx(value, rel=rtol, abs=atol), key


def separately(store, *words):
    """Every run of these lanes as a job of its own."""
    for each in config.request(list(words)).runs:
        runner.complete([each], Store(store), quiet=True)
    assert all(len(folder.describe()["runs"]) == 1 for folder in Store(store).folders())


def one_job(results):
    return len({result.folder for result in results}) == 1


# Lanes against separate runs ------------------------------------------------------------------------------------------

VARIANTS = {
    "plain": [],
    "full": ["batch_size=full"],
    "examples": ["budget.steps=null", "budget.examples=1000", "record=every:200", "sampling=reshuffled"],
    "all": ["schedule=inverse_sqrt", "average=uniform", "sampling=reshuffled", "probe=[gradient_norm]", "task.l2=1e-2"],
}


@every_rule
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_lane_equals_its_run_alone(tmp_path, optimizer, variant):
    base = [w for w in BASE if variant != "full" or "size" not in w]
    rates, seeds = RATES[optimizer], [0, 3]
    words = [*base, f"optimizer={optimizer}", *VARIANTS[variant], f"lanes.lr={rates}", f"lanes.seed={seeds}"]
    together = api.run([*words, f"store={tmp_path / 'lanes'}"])
    assert one_job(together)
    expected = [(seed, rate) for seed in seeds for rate in rates]
    assert [(r.config["seed"], r.config["optimizer.lr"]) for r in together] == expected
    separately(tmp_path / "alone", *words)
    same_records(tmp_path / "lanes", tmp_path / "alone")
    metrics = {key[-1] for key in recorded(tmp_path / "alone")}
    expected = {"loss", "accuracy", "gap", "batch_loss", "batch_size", "learning_rate"}
    expected |= {"average/loss", "average/accuracy", "average/gap"} if variant == "all" else set()
    norms = {"gradient_norm", "gradient_norm_l1", "gradient_norm_max"}
    assert metrics == expected | (norms if variant == "all" else set())


class Rows:
    """A sink that keeps the rows."""

    def __init__(self):
        self.rows = []

    def append(self, row):
        self.rows.append(row)

    def save(self, tensors, numbers):
        pass

    def load(self):
        return None


def metrics_of(runs):
    """Rows of a job that is kept in memory: step, metric, value by lane."""
    sink = Rows()
    Loop(Job(tuple(runs)), sink).run()
    return [(row["step"], metric, values) for row in sink.rows for metric, values in row["metrics"].items()]


@every_rule
def test_as_many_lanes_as_coordinates(optimizer):
    """30 features, 30 lanes and batches of 30: where a wrong broadcast would go unnoticed."""
    rates = [round(float(r), 6) for r in np.geomspace(RATES[optimizer][0], RATES[optimizer][1], 30)]
    words = [*BASE, f"optimizer={optimizer}", "batch_size.size=30", "budget.steps=15", "record=every:5"]
    runs = config.request([*words, f"lanes.lr={rates}"]).runs
    together, alone = metrics_of(runs), [metrics_of([each]) for each in runs]
    assert [step for step, metric, _ in together if metric == "loss"] == [0, 5, 10, 15]
    for number, (step, metric, values) in enumerate(together):
        assert len(values) == 30
        for lane, value in enumerate(values):
            other_step, other_metric, (expected,) = alone[lane][number]
            assert (step, metric) == (other_step, other_metric)
            assert value == pytest.approx(expected, rel=1e-12, abs=1e-12 if metric == "gap" else 0.0)


@pytest.mark.parametrize(
    ("optimizer", "lanes"),
    [
        ("adagrad", {"eps": [0.0, 1e-10, 0.5]}),
        ("adagrad", {"lr_decay": [0.0, 0.3]}),
        ("adagrad", {"initial_accumulator_value": [0.0, 0.1, 2.0], "lr": [0.1, 0.3]}),
        ("adagrad_norm", {"initial_accumulator_value": [0.0, 0.1], "eps": [1e-8, 0.3]}),
        ("adam", {"beta1": [0.0, 0.5, 0.9]}),
        ("adam", {"beta2": [0.9, 0.999], "eps": [1e-8, 0.1], "lr": [0.01, 0.1]}),
    ],
    ids=str,
)
def test_lanes_of_other_hyper_parameters(tmp_path, optimizer, lanes):
    words = [f"optimizer={optimizer}", "optimizer.lr=0.05", "budget.steps=20"]
    together = run(tmp_path / "lanes", *words, *(f"lanes.{k}={v}" for k, v in lanes.items()), "lanes.seed=[1,2]")
    assert one_job(together)
    assert len(together) == 2 * math.prod(map(len, lanes.values()))
    for result in together:
        own = [f"optimizer.{k}={result.config['optimizer.' + k]}" for k in lanes]
        (alone,) = run(tmp_path / "alone", *words, *own, f"seed={result.config['seed']}")
        assert alone.id == result.id
    same_records(tmp_path / "lanes", tmp_path / "alone")


def test_more_seeds_than_a_group_holds(tmp_path):
    words = ["optimizer=adagrad", "budget.steps=10"]
    seeds = [9, 1, 5, 0, 2, 7, 3]
    together = run(tmp_path / "lanes", *words, f"lanes.seed={seeds}", "lanes.lr=[0.3,0.1]")
    assert [(r.config["seed"], r.config["optimizer.lr"]) for r in together] == [
        (s, r) for s in seeds for r in (0.3, 0.1)
    ]
    assert len({r.folder for r in together}) == 2
    separately(tmp_path / "alone", *BASE, *words, f"lanes.seed={seeds}", "lanes.lr=[0.3,0.1]")
    same_records(tmp_path / "lanes", tmp_path / "alone")


# Runs against a loop in numpy -----------------------------------------------------------------------------------------


def signed_rows():
    rows, labels = load_breast_cancer(return_X_y=True)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return (2 * (rows - low) / (high - low) - 1) * np.where(labels == 1, 1.0, -1.0)[:, None]


@dataclasses.dataclass
class Trajectory:
    points: list  # w_0, ..., w_T
    batch_losses: list  # of steps 1, ..., T
    sizes: list

    @property
    def examples(self):
        return [0, *np.cumsum(self.sizes).tolist()]


def loss(signed, w, l2=0.0):
    return float(np.logaddexp(0, -(signed @ w)).mean() + l2 / 2 * (w @ w))


def in_numpy(optimizer, lr, seed, size, *, steps=None, examples=None, sampling="replacement", decay=False, l2=0.0):
    """The whole run, with nothing from the repository but the order of the data."""
    signed, order = signed_rows(), Order(569, sampling, [seed], CPU)
    w, v, m, taken = np.zeros(30), np.zeros(30), np.zeros(30), 0
    path = Trajectory([w], [], [])
    for t in range(1, 10**9):
        if t - 1 == steps or taken == examples:
            return path
        count = size if examples is None else min(size, examples - taken)
        batch = signed[order.draws(taken, count).numpy()]
        taken += count
        path.batch_losses.append(loss(batch, w, l2))
        path.sizes.append(count)
        g = -(batch.T @ expit(-(batch @ w))) / count + l2 * w
        rate = lr / math.sqrt(t) if decay else lr
        if optimizer == "sgd":
            w = w - rate * g
        elif optimizer == "adagrad":
            v = v + g * g
            w = w - rate * g / (np.sqrt(v) + 1e-10)
        elif optimizer == "adagrad_norm":
            v = v + g @ g
            w = w - rate * g / (np.sqrt(v) + 1e-10)
        else:
            m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g * g
            w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        path.points.append(w)
    raise AssertionError


def by_step(store, run_id):
    rows = {}
    for (run_of, step, examples, metric), value in recorded(store).items():
        if run_of == run_id:
            rows.setdefault(step, {"examples": examples})[metric] = value
    return rows


@every_rule
@pytest.mark.parametrize("sampling", ["replacement", "reshuffled"])
def test_a_run_equals_the_loop_in_numpy(tmp_path, optimizer, sampling):
    signed = signed_rows()
    words = [
        f"optimizer={optimizer}",
        f"sampling={sampling}",
        "schedule=inverse_sqrt",
        "average=uniform",
        "task.l2=1e-3",
    ]
    words += ["budget.steps=null", "budget.examples=1500", "record=every:64"]
    rate = RATES[optimizer][1]
    (result,) = run(tmp_path, *words, f"optimizer.lr={rate}", "seed=4")
    path = in_numpy(optimizer, rate, 4, 32, examples=1500, sampling=sampling, decay=True, l2=1e-3)
    steps = len(path.sizes)
    assert (steps, path.sizes[-1]) == (47, 1500 - 46 * 32)
    optimum = api.load_task("logistic/breast_cancer", ["task.l2=1e-3"]).optimum
    rows = by_step(tmp_path, result.id)
    assert list(rows) == [*range(0, 47, 2), 47]
    for t, row in rows.items():
        w = path.points[t]
        average = np.mean(path.points[:t], axis=0) if t else w
        expected = {"examples": path.examples[t]}
        for prefix, point in (("", w), ("average/", average)):
            expected[f"{prefix}loss"] = loss(signed, point, 1e-3)
            expected[f"{prefix}accuracy"] = (signed @ point > 0).mean()
            expected[f"{prefix}gap"] = expected[f"{prefix}loss"] - optimum
        if t:
            expected["batch_loss"] = path.batch_losses[t - 1]
            expected["batch_size"] = path.sizes[t - 1]
            expected["learning_rate"] = rate / math.sqrt(t)
        assert row == pytest.approx(expected, rel=1e-10, abs=1e-12)
    tensors, numbers = files.read_checkpoint(result.folder / "checkpoint.safetensors")
    np.testing.assert_allclose(tensors["parameters"][0], path.points[-1], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(tensors["average/mean"][0], np.mean(path.points[:-1], axis=0), rtol=1e-10, atol=1e-12)
    assert (numbers["loop"]["step"], numbers["loop"]["examples"]) == (47, 1500)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_full_batches_equal_gradient_descent_in_numpy(tmp_path, optimizer):
    rate, signed = RATES[optimizer][1], signed_rows()
    words = [f"optimizer={optimizer}", f"optimizer.lr={rate}", "batch_size=full", "record=every:1", "dtype=float64"]
    (result,) = api.run([*words, "budget.examples=4552", f"store={tmp_path}"])
    rows = by_step(tmp_path, result.id)
    w, v = np.zeros(30), np.zeros(30)
    assert list(rows) == list(range(9))
    for t in range(9):
        assert rows[t]["examples"] == 569 * t
        assert rows[t]["loss"] == pytest.approx(loss(signed, w), rel=1e-12)
        g = -(signed.T @ expit(-(signed @ w))) / 569
        v = v + g * g
        w = w - rate * (g if optimizer == "sgd" else g / (np.sqrt(v) + 1e-10))


# torch.optim by import path -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "path", "values"),
    [
        ("sgd", "torch.optim.SGD", {"lr": 0.7}),
        ("adagrad", "torch.optim.Adagrad", {"lr": 0.1}),
        ("adagrad", "torch.optim.Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 0.1}),
        ("adam", "torch.optim.Adam", {"lr": 0.03}),
        ("adam", "torch.optim.Adam", {"lr": 0.03, "eps": 0.1, "betas": "[0.5,0.8]"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("schedule", ["constant", "inverse_sqrt"])
def test_a_class_of_torch_equals_the_own_rule(tmp_path, optimizer, path, values, schedule):
    words = [f"schedule={schedule}", "average=uniform", "seed=2"]
    (own,) = run(tmp_path, *words, f"optimizer={optimizer}", *(f"optimizer.{k}={v}" for k, v in values.items()))
    given = [f"optimizer.arguments.{k}={v}" for k, v in values.items()]
    (foreign,) = run(tmp_path, *words, f"optimizer={path}", *given)
    assert own.id != foreign.id
    rows, others = by_step(tmp_path, own.id), by_step(tmp_path, foreign.id)
    assert list(rows) == list(others) == [0, 8, 16, 24, 32, 40]
    for t in rows:
        assert others[t] == pytest.approx(rows[t], rel=1e-12, abs=1e-13)


def test_rates_of_a_class_of_torch_run_one_after_another(tmp_path):
    # A whole number written for lr must not make the lanes' rates whole.
    words = ["optimizer=torch.optim.Adagrad", "optimizer.arguments.lr=5", "budget.steps=10"]
    together = run(tmp_path / "lanes", *words, "lanes.lr=[0.1,0.3]", "lanes.seed=[0,1]")
    assert len({r.folder for r in together}) == 4
    own = run(tmp_path / "own", "optimizer=adagrad", "budget.steps=10", "lanes.lr=[0.1,0.3]", "lanes.seed=[0,1]")
    assert one_job(own)
    for one, other in zip(together, own, strict=True):
        assert one.config["optimizer.arguments.lr"] == other.config["optimizer.lr"]
        assert one.metrics == pytest.approx(other.metrics, rel=1e-12, abs=1e-13)


CLASSES = [
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("AdamW", {"amsgrad": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adadelta", {"rho": 0.8}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("ASGD", {"t0": 5}),
    ("Rprop", {"etas": [0.4, 1.3]}),
    ("Adafactor", {}),
]


@pytest.mark.parametrize(("name", "values"), CLASSES, ids=[n for n, _ in CLASSES])
def test_any_class_of_torch_equals_a_plain_loop(tmp_path, name, values):
    given = [f"optimizer.arguments.{k}={str(v).lower()}" for k, v in {"lr": 0.05, **values}.items()]
    (result,) = run(tmp_path, f"optimizer=torch.optim.{name}", *given, "record=every:1", "budget.steps=15")
    assert result.status == "finished"
    signed, order = torch.tensor(signed_rows()), Order(569, "replacement", [0], CPU)
    w = torch.zeros(30, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, name)([w], lr=0.05, **values)
    rows = by_step(tmp_path, result.id)
    for t in range(16):
        assert rows[t]["loss"] == pytest.approx(loss(signed.numpy(), w.detach().numpy()), rel=1e-11)
        optimizer.zero_grad()
        torch.nn.functional.softplus(-(signed[order.draws(32 * t, 32)] @ w), threshold=40.0).mean().backward()
        optimizer.step()


# Strategies -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(kw_only=True)
class Network(Task):
    """tanh network with parameters of several shapes, one of them a scalar, started from the seed."""

    strategies: ClassVar = {"cpu": "batched"}

    def load(self, device, dtype):
        source = torch.Generator().manual_seed(11)
        self.inputs = torch.randn(40, 3, generator=source, dtype=torch.float64).to(dtype)
        self.targets = torch.randn(40, generator=source, dtype=torch.float64).to(dtype)

    @property
    def size(self):
        return 40

    def init(self, generator=None):
        shapes = {"first": (4, 3), "shift": (), "second": (4,)}
        return {k: torch.randn(s, generator=generator, dtype=torch.float64) for k, s in shapes.items()}

    def batch(self, draws):
        draws = torch.arange(40) if draws is None else draws
        return {"inputs": self.inputs[draws], "targets": self.targets[draws]}

    def losses(self, params, batch):
        hidden = torch.tanh(batch["inputs"] @ params["first"].T + params["shift"])
        return (hidden @ params["second"] - batch["targets"]) ** 2

    def evaluate(self, params, lanes=None):
        over = self.losses if lanes is None else torch.vmap(self.losses, in_dims=(0, None))
        return {"loss": over(params, self.batch(None)).mean(dim=-1).double()}


def network_in_numpy(p, inputs, targets):
    """Mean squared error and its gradients."""
    hidden = np.tanh(inputs @ p["first"].T + p["shift"])
    error = hidden @ p["second"] - targets
    back = 2 * error[:, None] * p["second"] * (1 - hidden**2) / len(error)
    return (error**2).mean(), {
        "first": back.T @ inputs,
        "shift": back.sum(),
        "second": 2 * hidden.T @ error / len(error),
    }


def groups_and_lanes(function):
    pairs = [(1, 1), (1, 4), (1, 3), (2, 4), (3, 3), (3, 6), (4, 4)]
    return pytest.mark.parametrize(("groups", "lanes"), pairs, ids=str)(function)


@groups_and_lanes
@pytest.mark.parametrize("size", [1, 4, 9])
def test_strategies_of_a_network_equal_numpy(groups, lanes, size):
    task = Network()
    task.prepare(CPU, torch.float64)
    source = torch.Generator().manual_seed(2)
    each = [task.init(source) for _ in range(lanes)]
    params = {k: torch.stack([p[k] for p in each]) for k in each[0]}
    draws = torch.randint(40, (groups, size), generator=source)
    batch = task.batch(draws[0] if groups == 1 else draws)
    for name in ("batched", "vmapped", "sequential"):
        with torch.no_grad():  # as in the loop
            means, grads = STRATEGIES[name](task, params, batch, groups)
        assert means.shape == (lanes,)
        assert not means.requires_grad
        for lane in range(lanes):
            own = draws[lane * groups // lanes].numpy()
            point = {k: v[lane].numpy() for k, v in params.items()}
            mean, slopes = network_in_numpy(point, task.inputs.numpy()[own], task.targets.numpy()[own])
            assert float(means[lane]) == pytest.approx(mean, rel=1e-12)
            for k in params:
                assert grads[k].shape == params[k].shape
                np.testing.assert_allclose(grads[k][lane], slopes[k], rtol=1e-11, atol=1e-13)


@groups_and_lanes
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_strategies_of_logistic_regression_are_equal(groups, lanes, l2):
    task = LogisticRegression(data="sklearn/breast_cancer", scale="range", l2=l2)
    task.prepare(CPU, torch.float64)
    source = torch.Generator().manual_seed(2)
    params = {"weight": torch.randn(lanes, 30, generator=source, dtype=torch.float64)}
    draws = torch.randint(569, (groups, 30), generator=source)
    batch = task.batch(draws[0] if groups == 1 else draws)
    with torch.no_grad():
        results = {name: function(task, params, batch, groups) for name, function in STRATEGIES.items()}
    assert results.keys() == {"analytic", "batched", "vmapped", "sequential"}
    for means, grads in results.values():
        torch.testing.assert_close(means, results["analytic"][0], rtol=1e-12, atol=0)
        torch.testing.assert_close(grads["weight"], results["analytic"][1]["weight"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("strategy", ["batched", "vmapped", "sequential"])
@pytest.mark.parametrize("variant", ["plain", "full"])
def test_jobs_are_equal_under_every_strategy(tmp_path, monkeypatch, strategy, variant):
    words = ["optimizer=adagrad", "lanes.lr=[0.1,0.5]", "lanes.seed=[0,1]", "task.l2=1e-3", "dtype=float64"]
    words += ["budget.steps=15", "record=every:5", *VARIANTS[variant]]
    api.run([*words, f"store={tmp_path / 'analytic'}"])
    monkeypatch.setattr(LogisticRegression, "strategies", {"cpu": strategy})
    monkeypatch.setattr(LogisticRegression, "lane_gradient", None)
    api.run([*words, f"store={tmp_path / strategy}"])
    same_records(tmp_path / strategy, tmp_path / "analytic")


# A model of several tensors, without the command line -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normalised(Rule):
    """-lr g / |g|, tensor by tensor."""

    acts_on: ClassVar = "tensors"
    lr: float = setting(0.1, doc="", lane=True)

    def update_tensor(self, grad, state, param, c, extra):
        return -c["lr"] * grad / grad.norm(), state


@pytest.mark.parametrize("optimizer", [*OWN, "normalised"])
@pytest.mark.parametrize("strategy", ["batched", "vmapped", "sequential"])
@pytest.mark.parametrize(
    ("seeds", "rates"), [([0], [0.1]), ([5], [0.01, 0.1, 0.03, 0.02]), ([5, 0], [0.01, 0.1])], ids=str
)
def test_models_of_several_tensors_equal_a_loop_in_numpy(monkeypatch, optimizer, strategy, seeds, rates):
    monkeypatch.setattr(Network, "strategies", {"cpu": strategy})
    experiment = Experiment(
        task=Network(),
        optimizer=Normalised() if optimizer == "normalised" else rule(optimizer),
        batch_size=ConstantBatch(size=6),
        schedule=InverseSqrt(),
        budget=Budget("steps", 12.0),
        record="every:1",
        dtype="float64",
    )
    sink = Rows()
    loop = Loop(Job(tuple(with_lanes(experiment, seeds, [{"lr": r} for r in rates]))), sink)
    loop.run()
    task = experiment.task
    for lane, (seed, rate) in enumerate((s, r) for s in seeds for r in rates):
        p = {k: v.numpy().copy() for k, v in task.init(generator(seed, "initialisation")).items()}
        v, m, norm = dict.fromkeys(p, 0.0), dict.fromkeys(p, 0.0), 0.0
        for t, row in enumerate(sink.rows):
            value, _ = network_in_numpy(p, task.inputs.numpy(), task.targets.numpy())
            assert row["metrics"]["loss"][lane] == pytest.approx(value, rel=1e-11)
            if t == 12:
                break
            own = Order(40, "replacement", [seed], CPU).draws(6 * t, 6).numpy()
            value, g = network_in_numpy(p, task.inputs.numpy()[own], task.targets.numpy()[own])
            assert sink.rows[t + 1]["metrics"]["batch_loss"][lane] == pytest.approx(value, rel=1e-11)
            lr = rate / math.sqrt(t + 1)
            norm += sum((x**2).sum() for x in g.values())
            for k in p:
                v[k] = v[k] + g[k] ** 2 if optimizer == "adagrad" else 0.999 * v[k] + 0.001 * g[k] ** 2
                m[k] = 0.9 * m[k] + 0.1 * g[k]
                direction = {
                    "sgd": g[k],
                    "adagrad": g[k] / (np.sqrt(v[k]) + 1e-10),
                    "adagrad_norm": g[k] / (math.sqrt(norm) + 1e-10),
                    "adam": m[k] / (1 - 0.9 ** (t + 1)) / (np.sqrt(v[k] / (1 - 0.999 ** (t + 1))) + 1e-8),
                    "normalised": g[k] / np.sqrt((g[k] ** 2).sum()),
                }[optimizer]
                p[k] = p[k] - lr * direction
        assert len(sink.rows) == 13
        for k in p:
            np.testing.assert_allclose(loop.lanes.params[k][lane], p[k], rtol=1e-10, atol=1e-12)


# When a run is recorded -----------------------------------------------------------------------------------------------


def log_points(amount):
    return sorted(set(np.rint(np.geomspace(1, amount, 64)).tolist()))


@pytest.mark.parametrize("axis", ["steps", "examples"])
@pytest.mark.parametrize("amount", [1.0, 2.0, 63.0, 1000.0, 123_457.0])
def test_recording_points(axis, amount):
    budget = Budget(axis, amount)
    assert recording.points("ends", budget) == [amount]
    assert recording.points("log", budget) == log_points(amount)
    for every in (1, 2, 7, 63, 1000, 200_000):
        expected = [float(k) for k in range(1, int(amount) + 1) if k % every == 0 or k == amount]
        assert recording.points(f"every:{every}", budget) == expected


def test_recording_points_of_seconds():
    budget = Budget("seconds", 2.5)
    assert recording.points("ends", budget) == [2.5]
    assert recording.points("every:1", budget) == [1.0, 2.0, 2.5]
    assert recording.points("log", budget) == pytest.approx(np.geomspace(1, 2.5, 64).tolist())


@pytest.mark.parametrize(
    "record", ["", "end", "Log", "every", "every:", "every:0", "every:-1", "every:1.5", "every:x", "log:2"]
)
def test_other_words_are_refused(record):
    with pytest.raises(SettingError, match="none of: ends, log, every:K"):
        recording.check(record)


@pytest.mark.parametrize("record", ["ends", "log", "every:1", "every:7"])
def test_rows_stand_at_the_recording_points_of_steps(tmp_path, record):
    (result,) = run(tmp_path, "budget.steps=50", f"record={record}")
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    points = {"ends": [50], "log": log_points(50), "every:1": range(1, 51), "every:7": [7, 14, 21, 28, 35, 42, 49, 50]}
    assert [row["step"] for row in lines] == [0, *points[record]]
    assert [row["examples"] for row in lines] == [32 * row["step"] for row in lines]


@pytest.mark.parametrize("record", ["ends", "log", "every:1", "every:32", "every:50", "every:1000"])
def test_rows_stand_at_the_first_step_that_reaches_a_point_in_examples(tmp_path, record):
    (result,) = run(tmp_path, "budget.steps=null", "budget.examples=500", f"record={record}")
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    points = {"ends": [500], "log": log_points(500), "every:1": range(1, 501), "every:1000": [500]}
    points |= {f"every:{k}": [*range(k, 500, k), 500] for k in (32, 50)}
    reached = [*range(0, 500, 32), 500]
    expected = sorted({0} | {next(x for x in reached if x >= p) for p in points[record]})
    assert [row["examples"] for row in lines] == expected
    assert [row["step"] for row in lines] == [math.ceil(x / 32) for x in expected]
    sizes = [row["metrics"]["batch_size"][0] for row in lines[1:]]
    assert sizes == [32 if x % 32 == 0 else 500 % 32 for x in expected[1:]]


def test_a_budget_below_one_batch(tmp_path):
    (result,) = run(tmp_path, "optimizer=sgd", "optimizer.lr=0.7", "budget.steps=null", "budget.examples=5")
    path = in_numpy("sgd", 0.7, 0, 32, examples=5)
    assert path.sizes == [5]
    assert result.metrics["batch_size"] == 5
    assert result.metrics["loss"] == pytest.approx(loss(signed_rows(), path.points[1]), rel=1e-12)


def test_one_lane_has_seconds_and_several_have_none(tmp_path):
    run(tmp_path / "one", "budget.steps=5")
    run(tmp_path / "two", "budget.steps=5", "lanes.seed=[0,1]")
    seconds = api.load_runs(tmp_path / "one")["seconds"]
    assert (seconds >= 0).all()
    assert seconds.is_monotonic_increasing
    assert api.load_runs(tmp_path / "two")["seconds"].isna().all()
