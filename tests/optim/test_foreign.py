"""Classes of torch.optim by their import path: what is allowed, and what is refused and why."""

import sys
import types

import pytest
import torch

from optim import settings
from optim.foreign import TorchOptimizer
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
