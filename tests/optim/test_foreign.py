"""Classes of torch.optim by their import path: what is allowed, and what is refused and why."""

import collections
import json
import sys
import types

import pytest
import torch

import optim
from optim import settings
from optim.foreign import TorchOptimizer, keep, restore
from optim.settings import SettingError

CLASSES = sorted(
    k for k, c in vars(torch.optim).items() if isinstance(c, type) and issubclass(c, torch.optim.Optimizer)
)
REFUSED = {"LBFGS": "closure", "SparseAdam": "sparse", "Muon": "two-dimensional", "Optimizer": "abstract"}


def build(path, **arguments):
    return settings.build(TorchOptimizer, {"path": path, "arguments": arguments}, "optimizer")


@pytest.mark.parametrize("name", [c for c in CLASSES if c not in REFUSED])
def test_every_other_class_of_torch_is_made_with_its_arguments(name):
    built = build(f"torch.optim.{name}", lr=0.25)
    leaf = torch.ones(3, requires_grad=True)
    made = built.make([leaf])
    assert type(made) is getattr(torch.optim, name) is built.load()
    assert made.defaults["lr"] == 0.25
    assert made.param_groups[0]["params"] == [leaf]


@pytest.mark.parametrize("name", [c for c in CLASSES if c in REFUSED])
def test_classes_that_need_other_things_are_refused_by_name(name):
    with pytest.raises(SettingError, match=f"torch.optim.{name} cannot be used here: .*{REFUSED[name]}"):
        build(f"torch.optim.{name}")


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "torch.nn.Linear",
        "torch.optim.lr_scheduler.StepLR",
        "torch.optim.adam.Adam",
        "torch.optimx.Adam",
        "pytorch_optimizer.optimizer.Lion",
        "Adam",
        "",
        "torch.optim.",
        ".Adam",
    ],
)
def test_only_the_allowed_modules_are_looked_into(path):
    with pytest.raises(SettingError, match=r"not allowed|no optimizer"):
        build(path)


def test_a_module_outside_the_list_is_not_even_imported(monkeypatch, tmp_path):
    (tmp_path / "harmful_module.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match=r"'harmful_module.Adam' is not allowed: name a class of torch.optim or"):
        build("harmful_module.Adam")


@pytest.mark.parametrize("name", ["Adagard", "adam", "lr_scheduler", "swa_utils", "__name__"])
def test_what_is_no_optimizer_is_refused_with_the_nearest_name(name):
    with pytest.raises(SettingError, match=f"torch.optim has no optimizer '{name}'") as refused:
        build(f"torch.optim.{name}")
    if name in ("Adagard", "adam"):
        assert "did you mean 'Ada" in str(refused.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(SettingError, match="needs the package pytorch_optimizer, which is not installed"):
        build("pytorch_optimizer.Lion")


def test_a_class_of_the_other_package_is_found(monkeypatch):
    package = types.ModuleType("pytorch_optimizer")

    class Lion(torch.optim.SGD):
        pass

    package.Lion = Lion
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", package)
    assert build("pytorch_optimizer.Lion", lr=0.5).load() is Lion


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("torch.optim.Adagrad", {"learning_rate": 1}, "torch.optim.Adagrad has no argument 'learning_rate'"),
        ("torch.optim.Adagrad", {"lr_deca": 1}, "did you mean 'lr_decay'"),
        ("torch.optim.Adagrad", {"params": []}, "torch.optim.Adagrad has no argument 'params'"),
        ("torch.optim.Adagrad", {"self": 1}, "has no argument 'self'"),
        ("torch.optim.Adagrad", {"lr": -1.0}, "refuses its arguments .*-1.0"),
        ("torch.optim.Adagrad", {"lr": "high"}, "refuses its arguments"),
        ("torch.optim.Adam", {"betas": 0.9}, "refuses its arguments"),
        ("torch.optim.Adam", {"betas": [0.9, 1.5]}, "refuses its arguments"),
        ("torch.optim.Adam", {"betas": [0.9]}, "refuses its arguments"),
        ("torch.optim.Adam", {"fused": True, "foreach": True}, "refuses its arguments"),
        ("torch.optim.Adam", {"fused": True, "differentiable": True}, "refuses its arguments"),
        ("torch.optim.SGD", {"nesterov": True}, "refuses its arguments"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(path, arguments, message):
    with pytest.raises(SettingError, match=message) as refused:
        build(path, **arguments)
    assert str(refused.value).startswith("optimizer: torch.optim.")


def test_arguments_must_be_a_mapping_and_the_path_text():
    with pytest.raises(SettingError, match=r"optimizer.arguments must be a mapping"):
        settings.build(TorchOptimizer, {"path": "torch.optim.Adam", "arguments": [1]}, "optimizer")
    with pytest.raises(SettingError, match=r"optimizer.path must be text"):
        settings.build(TorchOptimizer, {"path": 3}, "optimizer")


# Checkpoints ----------------------------------------------------------------------------------------------------------


def stepped(optimizer, leaves, steps):
    for t in steps:
        source = torch.Generator().manual_seed(t)
        for leaf in leaves:
            leaf.grad = torch.randn(leaf.shape, generator=source, dtype=leaf.dtype)
        optimizer.step()


def resumes_to_the_bit(built, dtype):
    leaves = [torch.linspace(-1, 1, 12, dtype=dtype).reshape(3, 4), torch.ones(5, dtype=dtype)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    optimizer = built.make(leaves)
    stepped(optimizer, leaves, range(5))
    tensors, numbers = keep(optimizer)
    tensors, numbers = {k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(numbers))
    others = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    resumed = built.make(others)
    restore(resumed, tensors, numbers)
    assert keep(resumed)[1] == numbers
    stepped(optimizer, leaves, range(5, 9))
    stepped(resumed, others, range(5, 9))
    assert all(torch.equal(a, b) for a, b in zip(leaves, others, strict=True))


WITH = {
    "SGD": [{"momentum": 0.9, "nesterov": True}],
    "Adam": [{"amsgrad": True, "betas": [0.5, 0.6]}, {"fused": True}, {"foreach": True}],
    "RMSprop": [{"centered": True, "momentum": 0.5}],
    "Adagrad": [{"lr_decay": 0.1}],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", [c for c in CLASSES if c not in REFUSED])
def test_every_class_of_torch_goes_on_from_a_checkpoint(name, dtype):
    for arguments in ({}, *WITH.get(name, [])):
        resumes_to_the_bit(build(f"torch.optim.{name}", **arguments), dtype)


class Counting(torch.optim.SGD):
    """With a state of every kind that can be kept."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["seen"] = group.get("seen", torch.zeros((), dtype=torch.int64)) + 1
            for p in group["params"]:
                slots = self.state[p]
                slots["past"] = [p.grad.clone(), *slots.get("past", [])][:2]
                slots["pair"] = (slots.get("pair", (0, None))[0] + 1, {"name": "x", "none": None})
                p.data.sub_(sum(slots["past"]) * group["lr"] / group["seen"] / slots["pair"][0])


class Hiding(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        for p in self.param_groups[0]["params"]:
            p.data.sub_(p.grad / self.steps)


class Random(torch.optim.SGD):
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.data.sub_(p.grad * torch.rand(()))


class Orphan(torch.optim.SGD):
    def step(self, closure=None):
        self.state["k"]["steps"] = 1
        super().step()


class Queue(torch.optim.SGD):
    def step(self, closure=None):
        self.state[self.param_groups[0]["params"][0]]["queue"] = collections.deque([1.0])
        super().step()


class Closed(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("a closure is needed\nand more")


@pytest.fixture
def package(monkeypatch):
    module = types.ModuleType("pytorch_optimizer")
    for cls in (Counting, Hiding, Random, Orphan, Queue, Closed):
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", module)


@pytest.mark.usefixtures("package")
def test_a_state_of_lists_numbers_and_group_tensors_is_kept():
    resumes_to_the_bit(build("pytorch_optimizer.Counting", lr=0.1), torch.float64)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Hiding", "after a checkpoint it goes on differently"),
        ("Random", "after a checkpoint it goes on differently"),
        ("Orphan", "it keeps a state that belongs to no parameter"),
        ("Queue", r"its state holds a deque \(state/0/queue\), which a checkpoint cannot"),
        ("Closed", "a closure is needed$"),
    ],
)
def test_a_class_that_could_not_be_resumed_is_refused_before_any_work(name, why):
    state = torch.get_rng_state()
    with pytest.raises(SettingError, match=f"^optimizer: pytorch_optimizer.{name} cannot be used here .*: {why}"):
        build(f"pytorch_optimizer.{name}")
    assert torch.equal(torch.get_rng_state(), state)


OTHERS = ["Lion", "AdamP", "AdaBelief", "Prodigy", "SOAP", "Shampoo", "ScheduleFreeSGD", "DAdaptAdaGrad", "Ranger"]


@pytest.mark.parametrize("name", OTHERS)
def test_classes_of_pytorch_optimizer(name):
    pytest.importorskip("pytorch_optimizer")
    resumes_to_the_bit(build(f"pytorch_optimizer.{name}"), torch.float64)


@pytest.mark.parametrize("name", ["AliG", "AdaHessian", "MADGRAD", "SAM"])
def test_classes_of_pytorch_optimizer_that_cannot_run_here(name):
    pytest.importorskip("pytorch_optimizer")
    with pytest.raises(SettingError, match=f"pytorch_optimizer.{name} (cannot be used here|refuses its arguments)"):
        build(f"pytorch_optimizer.{name}")


def test_lion_and_sign_sgd_are_those_of_pytorch_optimizer():
    package = pytest.importorskip("pytorch_optimizer")
    ways = [
        ("lion", {"lr": 0.01, "betas": (0.7, 0.9), "weight_decay": 0.3}, package.Lion, {}),
        ("sign_sgd", {"lr": 0.01}, package.SignSGD, {"momentum": 0.0}),
    ]
    for name, values, theirs, more in ways:
        points = []
        for cls, given in ((optim.torch_optimizer(name), values), (theirs, values | more)):
            leaf = torch.linspace(-1, 1, 12, dtype=torch.float64).requires_grad_()
            stepped(cls([leaf], **given), [leaf], range(30))
            points.append(leaf.detach())
        torch.testing.assert_close(*points, rtol=1e-12, atol=1e-14)
