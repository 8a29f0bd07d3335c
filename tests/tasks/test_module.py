"""Any module as a task: against the module itself, under every strategy, through the store, and what is refused."""

import copy

import pytest
import torch
from torch import nn

from experiments import api
from experiments.gradients import STRATEGIES, choose
from experiments.order import Order
from optim.settings import SettingError

CPU = torch.device("cpu")
EACH = nn.CrossEntropyLoss(reduction="none")


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 4)).double()


def images(n=23):
    source = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 8, 8, generator=source).double(), torch.randint(4, (n,), generator=source)


def the_task(model=None, **values):
    return api.task_from_module(model or network(), EACH, *images(), **values)


def test_losses_and_names_are_those_of_the_module():
    model, (inputs, targets) = network(), images()
    task = the_task(model)
    assert task.init().keys() == dict(model.named_parameters()).keys()
    own = torch.tensor([4, 0, 4, 22])
    torch.testing.assert_close(task.losses(task.init(), task.batch(own)), EACH(model(inputs[own]), targets[own]))
    expected = EACH(model(inputs), targets).mean().detach()
    torch.testing.assert_close(task.evaluate(task.init())["loss"], expected)
    assert task.size == 23
    assert task.describe() == {"examples": 23, "dimension": sum(p.numel() for p in model.parameters())}


@pytest.mark.parametrize(("groups", "lanes"), [(1, 1), (1, 3), (2, 4)])
def test_every_strategy_gives_the_gradient_of_backward(groups, lanes):
    task, model, (inputs, targets) = the_task(), network(), images()
    source = torch.Generator().manual_seed(2)
    params = {
        k: torch.randn(lanes, *v.shape, generator=source).to(v.dtype) for k, v in task.init().items()
    }  # fmt: skip
    draws = torch.randint(23, (groups, 6), generator=source)
    batch = task.batch(draws[0] if groups == 1 else draws)
    for name in ("batched", "vmapped", "sequential"):
        with torch.no_grad():
            means, grads = STRATEGIES[name](task, params, batch, groups)
        for lane in range(lanes):
            model.load_state_dict({k: v[lane] for k, v in params.items()})
            own = draws[lane * groups // lanes]
            model.zero_grad()
            mean = EACH(model(inputs[own]), targets[own]).mean()
            mean.backward()
            torch.testing.assert_close(means[lane], mean.detach(), rtol=1e-12, atol=0)
            for k, p in model.named_parameters():
                torch.testing.assert_close(grads[k][lane], p.grad, rtol=1e-10, atol=1e-13)
    with torch.no_grad():
        evaluated = task.evaluate(params, lanes=lanes)["loss"]
    model.load_state_dict({k: v[0] for k, v in params.items()})
    torch.testing.assert_close(evaluated[0], EACH(model(inputs), targets).mean().detach(), rtol=1e-12, atol=0)


def test_runs_equal_a_loop_of_torch(tmp_path):
    task, model, (inputs, targets) = the_task(), network(), images()
    words = ["optimizer=adam", "optimizer.lr=0.01", "lanes.seed=[3,4]", "batch_size.size=5", "budget.steps=12"]
    words += ["record=every:3", "dtype=float64", f"store={tmp_path}"]
    results = api.run(words, task=task)
    assert [r.config["task"] for r in results] == ["module", "module"]
    for result in results:
        seed = result.config["seed"]
        model.load_state_dict(network().state_dict())
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        order = Order(23, "replacement", [seed], CPU)
        for step in range(12):
            own = order.draws(5 * step, 5)
            optimizer.zero_grad()
            EACH(model(inputs[own]), targets[own]).mean().backward()
            optimizer.step()
        loss = EACH(model(inputs), targets).mean().item()
        assert result.metrics["loss"] == pytest.approx(loss, rel=1e-12)
    assert api.run(words, task=the_task())[0].folder == results[0].folder  # the same task: nothing is run again
    assert api.run(words, task=the_task(network(1)))[0].id != results[0].id
    renamed = api.run(words, task=the_task(name="mine"))[0]
    assert (renamed.id, renamed.config["task"]) == (results[0].id, "mine")


def test_the_module_is_left_alone(tmp_path):
    model = network()
    before = copy.deepcopy(model.state_dict())
    task = the_task(model)
    api.run(["optimizer=sgd", "budget.steps=3", f"store={tmp_path}"], task=task)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        model[0].weight.zero_()
    assert not torch.equal(task.init()["0.weight"], model[0].weight)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Embedding(5, 3)
        self.frozen.weight.requires_grad_(False)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(3, 1)

    def forward(self, tokens, weight):
        return self.head((self.frozen(tokens) * weight[..., None]).sum(dim=1))[:, 0]


def test_inputs_by_keyword_frozen_and_unused_parameters(tmp_path):
    torch.manual_seed(0)
    model = TwoInputs()
    inputs = {"tokens": torch.randint(5, (11, 4)), "weight": torch.rand(11, 4)}
    targets = torch.rand(11)
    task = api.task_from_module(model, lambda out, y: (out - y) ** 2, inputs, targets)
    assert set(task.init()) == {"unused.weight", "unused.bias", "head.weight", "head.bias"}
    batch = task.batch(torch.arange(4))
    params = {k: torch.stack([v, v + 1]) for k, v in task.init().items()}
    for name in ("batched", "vmapped", "sequential"):
        _, grads = STRATEGIES[name](task, params, batch, 1)
        assert (grads["unused.weight"] == 0).all()
        assert (grads["head.weight"] != 0).any()
    assert api.run(["optimizer=adam", "budget.steps=5", f"store={tmp_path}"], task=task)[0].status == "finished"


class Branching(nn.Module):
    """Cannot be mapped: what it does depends on a value."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x[:, 0] * (self.scale if self.scale.item() > 0 else 2 * self.scale)


def test_the_engine_takes_what_the_module_allows():
    mapped, batch = the_task(), the_task().batch(torch.arange(2))
    assert choose(mapped, "cuda", 4, batch) == "batched"
    assert choose(mapped, "cpu", 4, batch) == choose(mapped, "cuda", 1, batch) == "sequential"
    branching = api.task_from_module(Branching(), lambda out, y: (out - y) ** 2, torch.rand(5, 1), torch.rand(5))
    assert choose(branching, "cuda", 4, branching.batch(torch.arange(2))) == "sequential"


@pytest.mark.parametrize(
    ("model", "loss", "told"),
    [
        (nn.Linear(3, 4), nn.CrossEntropyLoss(), r'reduction="none"'),
        (nn.Linear(3, 4), lambda out, y: out, r"shape \(2,\)"),
        (nn.Linear(3, 4), lambda out, y: 1.0, "float"),
        (nn.Linear(5, 4), EACH, "do not take these inputs"),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), EACH, r"model\.eval\(\)"),
        (nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)), EACH, "p=0"),
        (nn.Linear(3, 4).requires_grad_(False), EACH, "no parameter"),
        (nn.Linear(3, 4), lambda out, y: EACH(out - out.mean(dim=0), y), "others in its batch"),
        (nn.Linear(3, 4), lambda out, y: EACH(out + torch.randn_like(out), y), "chance"),
    ],
)
def test_what_gives_no_loss_per_example_is_refused(model, loss, told):
    with pytest.raises(SettingError, match=told):
        api.task_from_module(model, loss, torch.rand(7, 3), torch.randint(4, (7,)))


def test_rows_must_match():
    with pytest.raises(SettingError, match="as many rows"):
        api.task_from_module(nn.Linear(3, 4), EACH, torch.rand(7, 3), torch.randint(4, (6,)))
    frozen = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout()).eval()
    assert api.task_from_module(frozen, EACH, torch.rand(7, 3), torch.randint(4, (7,))).size == 7


def test_a_task_is_given_once(tmp_path):
    with pytest.raises(SettingError, match="given twice"):
        api.run(["task=logistic/breast_cancer", f"store={tmp_path}"], task=the_task())


class Shared(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = self.first
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        return self.last(self.second(torch.tanh(self.first(x))))


def test_a_layer_with_two_names_is_trained_in_every_type(tmp_path):
    torch.manual_seed(0)
    model, inputs, targets = Shared(), torch.randn(20, 3), torch.randint(2, (20,))
    task = api.task_from_module(model, EACH, inputs, targets)
    for dtype in (torch.float64, torch.float32, torch.float64):
        task.prepare(CPU, dtype)
        assert set(task.init()) == {"first.weight", "first.bias", "last.weight", "last.bias"}
    words = ["optimizer=sgd", "optimizer.lr=0.5", "batch_size=full", "budget.steps=9", "dtype=float64"]
    (run,) = api.run([*words, f"store={tmp_path}"], task=task)
    model, inputs = model.double(), inputs.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(9):
        optimizer.zero_grad()
        EACH(model(inputs), targets).mean().backward()
        optimizer.step()
    assert run.metrics["loss"] == pytest.approx(EACH(model(inputs), targets).mean().item(), rel=1e-12)


def test_the_tensors_of_a_loss_follow_the_run(tmp_path):
    weighted = nn.CrossEntropyLoss(reduction="none", weight=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    task = api.task_from_module(nn.Linear(3, 4), weighted, torch.rand(7, 3), torch.randint(4, (7,)))
    (run,) = api.run(["optimizer=sgd", "budget.steps=2", "dtype=float64", f"store={tmp_path}"], task=task)
    assert run.status == "finished"
    assert weighted.weight.dtype == torch.float32


def scaled(factor):
    return lambda out, y: factor * EACH(out, y)


class Scaled(nn.Linear):
    def __init__(self, factor):
        super().__init__(3, 4)
        self.factor = factor

    def forward(self, x):
        return self.factor * super().forward(x)


def test_what_computes_something_else_has_another_identity():
    inputs, targets = torch.rand(7, 3), torch.randint(4, (7,))
    torch.manual_seed(0)
    model = nn.Linear(3, 4)
    losses = [
        EACH,
        nn.CrossEntropyLoss(reduction="none", label_smoothing=0.5),
        nn.CrossEntropyLoss(reduction="none", weight=torch.tensor([1.0, 2.0, 1.0, 1.0])),
        nn.CrossEntropyLoss(reduction="none", weight=torch.tensor([1.0, 3.0, 1.0, 1.0])),
        lambda out, y: EACH(out, y),
        lambda out, y: EACH(2 * out, y),
        scaled(1.0),
        scaled(2.0),
    ]
    found = [api.task_from_module(model, loss, inputs, targets).content()["module"] for loss in losses]
    again = [
        api.task_from_module(copy.deepcopy(model), loss, inputs.clone(), targets).content()["module"] for loss in losses
    ]
    assert len(set(found)) == len(losses)
    assert again == found
    torch.manual_seed(0)
    one = api.task_from_module(Scaled(1.0), EACH, inputs, targets).content()
    torch.manual_seed(0)
    other = api.task_from_module(Scaled(2.0), EACH, inputs, targets).content()
    torch.manual_seed(0)
    assert one == api.task_from_module(Scaled(1.0), EACH, inputs, targets).content()
    assert one != other


@pytest.mark.parametrize(
    ("model", "inputs", "targets"),
    [
        (lambda x: x, torch.rand(7, 3), torch.zeros(7)),
        (nn.Linear(3, 4), torch.rand(7, 3).numpy(), torch.zeros(7)),
        (nn.Linear(3, 4), [torch.rand(7, 3)], torch.zeros(7)),
        (nn.Linear(3, 4), torch.rand(7, 3), [0] * 7),
    ],
    ids=["function", "numpy", "list", "targets"],
)
def test_arguments_of_other_kinds_are_refused(model, inputs, targets):
    with pytest.raises(SettingError, match=r"must be a tensor|is made from"):
        api.task_from_module(model, EACH, inputs, targets)
