"""The compiled recursion against the rules of the runner, its whole runs, and the page's equations in plain Python."""

import math

import numpy as np
import pytest
import torch

from experiments import api
from experiments.order import Order
from experiments.theory.scalar_adam import BENT, Method, Problem, simulate
from optim import rule
from optim.sequence import Sequence
from optim.sequences.bias_corrected import BiasCorrected
from optim.sequences.bias_correction import BiasCorrection
from optim.sequences.constant import Constant
from optim.sequences.geometric import Geometric
from optim.sequences.listed import Listed
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne
from optim.sequences.weighted import Weighted
from optim.settings import SettingError

CPU = torch.device("cpu")
ROOT, NINE = Power(s=0.5), Constant(at=0.9)
METHODS = {
    "r = 0": Method("generic", ROOT, NINE, TowardsOne(r=0.0, c=0.01), lr=0.5),
    "r = 1/4": Method("generic", ROOT, NINE, TowardsOne(r=0.25, c=0.01), lr=0.5),
    "r = 1": Method("generic", ROOT, NINE, TowardsOne(r=1.0, c=0.01), lr=0.5),
    "RMSProp": Method("generic", ROOT, Constant(at=0.0), Weighted(), lr=0.3, v_0=0.25),
    "AdamNC": Method("generic", ROOT, Geometric(first=0.9, ratio=0.999), Weighted(p=1.5), lr=0.5),
    "Adam": Method("generic", BiasCorrection(b1=0.9), NINE, BiasCorrected(b=0.99), lr=0.01, v_0=0.0),
    "AMSGrad": Method("largest", ROOT, NINE, Constant(at=0.99), lr=0.5),
    "ADOPT": Method("adopt", ROOT, NINE, Constant(at=0.95), lr=0.5),
    "ADOPT, clipped": Method("adopt, clipped", ROOT, NINE, Constant(at=0.999), lr=0.5),
}
PROBLEMS = {"box": Problem(), "bent": BENT}
every_method = pytest.mark.parametrize("name", METHODS)
every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def given(table):
    """The slopes of a table (steps, seeds)."""
    return lambda first, count: table[first - 1 : first - 1 + count]


def random_slopes(steps, seeds=5, large=10.0, share=0.2):
    source = np.random.default_rng(4)
    table = np.where(source.random((steps, seeds)) < share, large, -1.0)
    return table * source.uniform(0.5, 1.5, table.shape)


def at_every_step(method, problem, table):
    """After every step, x of every seed, (steps, seeds)."""
    steps = len(table)
    return simulate([method], problem, given(table), steps, range(1, steps + 1)).points[0]


def plain(method, problem, slopes):
    """All of x_1, x_2, ... for the slopes of one seed, in plain Python, by the page's equations."""
    x, m, v, largest = problem.start, 0.0, method.v_0, 0.0
    path = [x]
    for k, slope in enumerate(slopes):
        t = np.array([k + 1.0])
        alpha, beta, theta = (float(s.values(t)[0]) for s in (method.alpha, method.beta, method.theta))
        g = slope if problem.bend == math.inf else slope * (1.0 if x >= 1 - problem.bend else x + problem.bend)
        if method.kind.startswith("adopt"):
            if k == 0:
                v, path = g * g, [x, x]
                continue
            ratio = g / max(math.sqrt(v), method.eps)
            if method.kind == "adopt, clipped":
                ratio = math.copysign(min(abs(ratio), k**0.25), ratio)
            m = beta * m + (1 - beta) * ratio
            v = theta * v + (1 - theta) * g * g
            x -= method.lr * alpha * m
        else:
            v = theta * v + (1 - theta) * g * g
            m = beta * m + (1 - beta) * g
            largest = max(largest, v)
            x -= method.lr * alpha * m / math.sqrt(largest if method.kind == "largest" else v)
        x = min(max(x, problem.lower), problem.upper)
        path.append(x)
    return np.array(path)


# Against the rules ----------------------------------------------------------------------------------------------------


class AsArrays(Sequence):
    """The numbers that a sequence gives for an array of steps, which pow may round otherwise than for one step."""

    def __init__(self, sequence, steps):
        t = np.arange(1, steps + 1)
        object.__setattr__(self, "numbers", (sequence.values(t).tolist(), sequence.complements(t).tolist()))

    def value(self, t, hyper):
        return self.numbers[0][t - 1]

    def complement(self, t, hyper):
        return self.numbers[1][t - 1]


def by_rule(method, problem, table, as_arrays):
    """As `at_every_step`, by the update rule of the runner: seeds are the coordinates."""
    adopt, steps = method.kind.startswith("adopt"), len(table)
    parts = {name: getattr(method, name) for name in ("alpha", "beta", "theta")}
    if as_arrays:
        parts = {name: AsArrays(sequence, steps) for name, sequence in parts.items()}
    if adopt:
        decays = {"beta1": method.beta.at, "beta2": method.theta.at}
        made = rule("adopt", **decays, eps=method.eps, clip=method.kind == "adopt, clipped")
    else:
        made = rule("generic_adam", **parts, lr=method.lr, v_0=method.v_0, largest=method.kind == "largest")
    x = torch.full((table.shape[1],), problem.start, dtype=torch.float64)
    state, path = made.init({"x": x}), []
    for t, slopes in enumerate(torch.from_numpy(table), 1):
        g = slopes * (x + problem.bend).clamp(max=1.0)
        hyper = {"lr": method.lr * parts["alpha"].value(t, method.alpha.hyper())} if adopt else None
        update, state = made.update({"x": g}, state, {"x": x}, hyper, step=t)
        x = (x + update["x"]).clamp(problem.lower, problem.upper)
        path.append(x)
    return torch.stack(path).numpy()


@every_method
def test_every_step_is_the_rule_s(name):
    table = random_slopes(10_000, seeds=3)
    found = at_every_step(METHODS[name], Problem(), table)
    np.testing.assert_allclose(found, by_rule(METHODS[name], Problem(), table, False), rtol=1e-12, atol=1e-12)
    assert len(np.unique(found)) > 1000  # neither stuck nor at a bound all the time


@every_method
@every_problem
def test_from_the_same_numbers_every_step_has_the_rule_s_bits(name, problem, monkeypatch):
    # Where the bent problem oscillates, a last digit grows. A root of torch's, which may be MKL's, is not always the
    # nearest number, nor is the fourth root that clips.
    monkeypatch.setattr(torch.Tensor, "sqrt", lambda tensor: torch.from_numpy(np.sqrt(tensor.numpy())))
    table = random_slopes(3000, seeds=3)
    found, expected = at_every_step(METHODS[name], problem, table), by_rule(METHODS[name], problem, table, True)
    assert np.abs(found - expected).max() <= (1e-13 if METHODS[name].kind == "adopt, clipped" else 0.0)
    assert len(np.unique(found)) > 1000


RUNS = {  # the words of the runner, and the same as methods
    "generic": (
        ["optimizer=generic_adam", "theta=towards_one", "theta.c=0.01", "lanes.theta.r=[0,0.5,1]"],
        [Method("generic", ROOT, NINE, TowardsOne(r=r, c=0.01), lr=0.5) for r in (0.0, 0.5, 1.0)],
    ),
    "AMSGrad": (
        ["optimizer=generic_adam", "theta=constant", "theta.at=0.99", "optimizer.largest=true"],
        [Method("largest", ROOT, NINE, Constant(at=0.99), lr=0.5)],
    ),
    "ADOPT": (
        ["optimizer=adopt", "optimizer.beta2=0.99", "schedule=inverse_sqrt"],
        [Method("adopt", ROOT, NINE, Constant(at=0.99), lr=0.5)],
    ),
    "ADOPT, clipped": (
        ["optimizer=adopt", "optimizer.beta2=0.99", "optimizer.clip=true", "schedule=inverse_sqrt"],
        [Method("adopt, clipped", ROOT, NINE, Constant(at=0.99), lr=0.5)],
    ),
}
TASKS = {
    "counterexample/fast": (1, ["wrapper=[box]"], Problem()),
    "counterexample/stochastic": (3, ["wrapper=[box]"], Problem()),
    "counterexample/cyclic": (1, ["wrapper=[box]"], Problem()),
    "counterexample/finite_sum": (2, ["sampling=reshuffled"], BENT),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("task", TASKS)
def test_a_whole_run_of_the_runner_is_the_same(name, task, tmp_path):
    words, methods = RUNS[name]
    batch, more, problem = TASKS[task]
    steps, every, seeds = 420, 20, [0, 7]
    more = [*more, f"batch_size.size={batch}", f"budget.steps={steps}", f"record=every:{every}", "dtype=float64"]
    given_words = [f"task={task}", *words, *more, "optimizer.lr=0.5", f"lanes.seed={seeds}", f"store={tmp_path}"]
    runs = api.run(given_words)
    table = api.load_runs(tmp_path)
    table = table[(table.metric == "x") & (table.step > 0)]
    loaded = api.load_task(task)
    order = Order(loaded.size, "reshuffled" if loaded.size else "replacement", seeds, CPU)

    def slopes(first, count):
        drawn = loaded.batch(order.draws((first - 1) * batch, count * batch))["slope"]
        return drawn.reshape(len(seeds), count, batch).mean(dim=2).T.numpy()

    at = range(every, steps + 1, every)
    found = simulate(methods, problem, slopes, steps, at)
    assert len(runs) == len(methods) * len(seeds)
    for run in runs:
        values = table[table.run == run.id].sort_values("step").value.to_numpy()
        k = [m.theta.r for m in methods].index(run.config["theta.r"]) if len(methods) > 1 else 0
        expected = found.points[k, :, seeds.index(run.config["seed"])]
        np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-13)


# Against plain Python -------------------------------------------------------------------------------------------------


@every_method
@every_problem
def test_points_are_those_of_the_page_s_equations(name, problem):
    table = random_slopes(400, seeds=2)
    found = at_every_step(METHODS[name], problem, table)
    for seed in range(2):
        expected = plain(METHODS[name], problem, table[:, seed])[1:]
        np.testing.assert_allclose(found[:, seed], expected, rtol=1e-11, atol=1e-12)


@every_problem
def test_averages_and_last_positive_points_are_those_of_the_path(problem):
    methods, table = list(METHODS.values()), random_slopes(5000, seeds=19, share=0.12)
    at = [1, 2, 77, 4096, 4097, 5000]
    found = simulate(methods, problem, given(table), 5000, at)
    for k, method in enumerate(methods):
        path = np.vstack([np.full((1, 19), problem.start), at_every_step(method, problem, table)])
        assert (found.points[k] == path[at]).all()
        means = np.stack([path[:t].mean(axis=0) for t in at])
        np.testing.assert_allclose(found.averages[k], means, rtol=1e-12, atol=1e-13)
        above = [np.flatnonzero(path[1:, s] > 0) for s in range(19)]
        assert found.last_above[k].tolist() == [int(a[-1]) + 1 if len(a) else 0 for a in above]
        mean = np.flatnonzero(path[1:].mean(axis=1) > 0)
        assert found.mean_last_above[k] == (mean[-1] + 1 if len(mean) else 0)
    assert len(set(found.mean_last_above.tolist())) > 2


def test_never_above_zero_is_0():
    method = METHODS["r = 1"]
    found = simulate([method], Problem(start=-0.5), given(np.ones((50, 3))), 50, [50])
    assert found.last_above.tolist() == [[0, 0, 0]]
    assert found.mean_last_above.tolist() == [0]


def test_a_seed_and_a_method_do_not_depend_on_their_company():
    methods, table = list(METHODS.values()), random_slopes(4500, seeds=37)
    at = [10, 4096, 4500]
    whole = simulate(methods, Problem(), given(table), 4500, at)
    for k, method in enumerate(methods):
        for seeds in ([0], [36], [3, 17, 20]):
            alone = simulate([method], Problem(), given(table[:, seeds]), 4500, at)
            assert (alone.points[0] == whole.points[k][:, seeds]).all()
            assert (alone.averages[0] == whole.averages[k][:, seeds]).all()
            assert (alone.last_above[0] == whole.last_above[k][seeds]).all()


def test_no_gradient_and_no_second_moment_is_no_step():
    method = Method("generic", Constant(at=1.0), NINE, Constant(at=0.5), v_0=0.0)
    found = simulate([method], Problem(), given(np.array([[0.0], [0.0], [1.0]])), 3, [2, 3])
    assert found.points[0, 0, 0] == 0.5
    assert found.points[0, 1, 0] == pytest.approx(0.5 - 0.1 / math.sqrt(0.5), rel=1e-14)


def test_progress_is_told_the_steps_done():
    told = []
    simulate([METHODS["r = 1"]], Problem(), given(random_slopes(9000)), 9000, [9000], told.append)
    assert told == sorted(told)
    assert told[-1] == 9000
    assert len(told) > 1


# What is refused ------------------------------------------------------------------------------------------------------


def refused(match, methods=None, steps=10, at=(10,), seeds=2):
    methods = [METHODS["r = 1"]] if methods is None else methods
    with pytest.raises(SettingError, match=match):
        simulate(methods, Problem(), given(random_slopes(max(steps, 1), seeds)), steps, at)


def test_a_bad_request_is_refused():
    refused("no methods", methods=[])
    refused("steps must be at least 1, not 0", steps=0)
    for at in ([], [0, 3], [3, 3], [4, 2], [11]):
        refused("increase within 1 to 10", at=at)
    with pytest.raises(SettingError, match="shape"):
        simulate([METHODS["r = 1"]], Problem(), lambda first, count: np.ones((count + 1, 2)), 10, [10])
    with pytest.raises(SettingError, match="shape"):
        simulate([METHODS["r = 1"]], Problem(), lambda first, count: np.ones(count), 10, [10])


def test_a_list_that_is_too_short_is_found_before_any_work():
    def never(first, count):
        raise AssertionError("slopes were asked for")

    method = Method("generic", Listed(numbers=[0.1] * 5000), NINE, TowardsOne())
    with pytest.raises(SettingError, match="5000 numbers, and step 9000"):
        simulate([method], Problem(), never, 9000, [9000])


@pytest.mark.parametrize(
    ("name", "sequence", "match"),
    [
        ("alpha", Listed(numbers=[1.0] * 6 + [-1.0] * 4), "alpha is -1 at step 7.*Listed"),
        ("alpha", Listed(numbers=[1.0, math.inf] + [1.0] * 8), "alpha is inf at step 2, and must be finite"),
        ("alpha", Listed(numbers=[math.nan] * 10), "alpha is nan at step 1"),
        ("beta", Constant(at=1.0), "beta is 1 at step 1, and must be at least 0 and less than 1: change Constant"),
        ("theta", Constant(at=-0.1), "theta is -0.1 at step 1"),
        ("theta", Listed(numbers=[0.5] * 9 + [1.0]), "theta is 1 at step 10"),
        ("theta", Listed(numbers=[0.5] * 9), "9 numbers, and step 10"),
    ],
)
def test_numbers_out_of_range_are_refused_with_their_sequence_and_step(name, sequence, match):
    parts = {"alpha": ROOT, "beta": NINE, "theta": TowardsOne()} | {name: sequence}
    refused(match, methods=[METHODS["r = 1"], Method("generic", **parts)])


def test_bad_settings_of_a_method_or_problem_are_refused():
    parts = (ROOT, NINE, TowardsOne())
    with pytest.raises(SettingError, match=r"kind='adam' is none of generic, largest, adopt, adopt, clipped"):
        Method("adam", *parts)
    for bad in ({"lr": -1.0}, {"lr": math.inf}, {"v_0": -1e-8}, {"eps": 0.0}):
        with pytest.raises(SettingError, match=next(iter(bad))):
            Method("generic", *parts, **bad)
    for bad in ({"start": 2.0}, {"start": math.nan}, {"lower": 1.0, "upper": -1.0}):
        with pytest.raises(SettingError, match="start"):
            Problem(**bad)
