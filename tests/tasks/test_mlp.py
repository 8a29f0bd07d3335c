"""The MLP against the same network in torch.nn, under every strategy, and what it starts from."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from experiments import api
from experiments.gradients import STRATEGIES
from optim.settings import SettingError

HIDDEN = [5, 3]


@pytest.fixture(scope="module")
def task():
    return api.load_task("mlp/digits", [f"task.hidden={HIDDEN}"])


def network(params):
    """torch.nn's network with these parameters."""
    widths = [64, *HIDDEN, 10]
    layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())][:-1]
    made = nn.Sequential(*layers).double()
    names = {
        f"{2 * k}.{part}": params[f"{k + 1}.{part}"] for k in range(len(HIDDEN) + 1) for part in ("weight", "bias")
    }
    made.load_state_dict(names)
    return made


def points(task, lanes, seed=3):
    source = torch.Generator().manual_seed(seed)
    return {k: torch.randn(lanes, *v.shape, generator=source, dtype=torch.float64) / 3 for k, v in task.init().items()}


def test_losses_and_metrics_are_those_of_the_module(task):
    params = points(task, 2)
    found = task.evaluate(params, lanes=2)
    inputs, targets = task.tensors["rows"], task.tensors["targets"]
    assert (inputs.shape, targets.unique().tolist()) == ((1797, 64), list(range(10)))
    assert (float(inputs.min()), float(inputs.max())) == (-1.0, 1.0)
    for lane in range(2):
        one = {k: v[lane] for k, v in params.items()}
        outputs = network(one)(inputs)
        losses = nn.CrossEntropyLoss(reduction="none")(outputs, targets)
        torch.testing.assert_close(task.losses(one, task.batch(None)), losses, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found["loss"][lane], losses.mean().detach(), rtol=1e-12, atol=0)
        assert found["accuracy"][lane] == (outputs.argmax(dim=1) == targets).double().mean()
        torch.testing.assert_close(task.evaluate(one)["loss"], found["loss"][lane], rtol=1e-14, atol=0)


@pytest.mark.parametrize(("groups", "lanes"), [(1, 1), (1, 3), (2, 4)])
@pytest.mark.parametrize("strategy", ["analytic", "batched", "sequential"])
def test_every_strategy_gives_the_gradient_of_backward(task, strategy, groups, lanes):
    params = points(task, lanes)
    draws = torch.randint(1797, (groups, 6), generator=torch.Generator().manual_seed(2))
    batch = task.batch(draws[0] if groups == 1 else draws)
    with torch.no_grad():
        means, grads = STRATEGIES[strategy](task, params, batch, groups)
    assert list(grads) == list(params)
    for lane in range(lanes):
        own = draws[lane * groups // lanes]
        model = network({k: v[lane] for k, v in params.items()})
        loss = nn.functional.cross_entropy(model(task.tensors["rows"][own]), task.tensors["targets"][own])
        loss.backward()
        torch.testing.assert_close(means[lane], loss.detach(), rtol=1e-12, atol=0)
        for k, parameter in enumerate(model.parameters()):
            torch.testing.assert_close(list(grads.values())[k][lane], parameter.grad, rtol=1e-10, atol=1e-14)


def test_the_start_follows_from_the_seed_and_has_glorots_scale(task):
    one, same, other = (task.init(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["1.weight"], other["1.weight"])
    for k, (inputs, outputs) in enumerate(pairwise([64, *HIDDEN, 10]), start=1):
        weight, bound = one[f"{k}.weight"], (6 / (inputs + outputs)) ** 0.5
        assert weight.shape == (outputs, inputs)
        assert float(weight.abs().max()) <= bound
        assert abs(float(weight.mean())) < 4 * bound / (3 * weight.numel()) ** 0.5
        assert not one[f"{k}.bias"].any()
    assert task.describe() == {"examples": 1797, "dimension": 64 * 5 + 5 + 5 * 3 + 3 + 3 * 10 + 10, "classes": 10}


def test_seeds_start_from_different_points_and_lanes_equal_runs(tmp_path):
    words = ["task=mlp/breast_cancer", "optimizer=adagrad", "batch_size.size=5", "budget.steps=4", "dtype=float64"]
    together = api.run([*words, "lanes.seed=[0,1]", "lanes.lr=[0.1,0.3]", f"store={tmp_path}/a"])
    alone = [
        api.run([*words, f"seed={r.config['seed']}", f"optimizer.lr={r.config['optimizer.lr']}", f"store={tmp_path}/b"])
        for r in together
    ]
    rows = api.load_runs(f"{tmp_path}/a")
    starts = rows[(rows.metric == "loss") & (rows.step == 0)].groupby("seed").value.unique()
    assert starts.map(len).tolist() == [1, 1]
    assert starts[0] != starts[1]
    for a, (b,) in zip(together, alone, strict=True):
        assert a.metrics["loss"] == pytest.approx(b.metrics["loss"], rel=1e-12)


def test_bad_settings():
    for hidden in ("[0]", "[3,2.5]"):
        with pytest.raises(SettingError, match="hidden"):
            api.load_task("mlp/digits", [f"task.hidden={hidden}"])
