"""Schedules, averages and batch-size rules against their formulas; finding components by the names of their files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from optim import catalogue, settings
from optim.average import Average
from optim.batch_size import BatchSizeRule, Context
from optim.schedule import Progress, Schedule
from optim.settings import SettingError

PACKAGES = {"rules": None, "schedules": Schedule, "averages": Average, "batch_sizes": BatchSizeRule}


def make(package, name, **values):
    return settings.build(catalogue.find(f"optim.{package}", name, package), values, package)


# Schedules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 3, 100, 10**9])
def test_schedules(step):
    progress = Progress(step, 17 * step, 0.5)
    assert make("schedules", "constant").factor(progress) == 1.0
    assert make("schedules", "inverse_sqrt").factor(progress) == pytest.approx(step**-0.5, rel=1e-15, abs=0)


# Averages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (3, 3), (3, 1), ()], ids=str)
def test_the_uniform_average_is_the_mean_of_the_points_where_gradients_were_taken(shape):
    average = make("averages", "uniform")
    points = np.random.default_rng(0).normal(size=(40, *shape)) * 1e3
    state = average.init(torch.tensor(points[0]))
    assert torch.equal(average.output(state, torch.tensor(points[1])), torch.tensor(points[0]))
    for t in range(1, 40):
        state = average.observe(state, torch.tensor(points[t - 1]), t)
        mean = average.output(state, torch.tensor(points[t]))
        np.testing.assert_allclose(mean, points[:t].mean(axis=0), rtol=1e-12, atol=1e-11)


def test_an_average_leaves_its_arguments_as_they_were():
    average = make("averages", "uniform")
    param = torch.ones(3)
    state = average.init(param)
    param.add_(1.0)
    assert torch.equal(state["mean"], torch.ones(3))
    new = average.observe(state, param, 2)
    assert torch.equal(state["mean"], torch.ones(3))
    assert torch.equal(new["mean"], torch.full((3,), 1.5))
    assert torch.equal(param, torch.full((3,), 2.0))


# Batch sizes ----------------------------------------------------------------------------------------------------------


def context(**values):
    return Context(**{
        "step": 1, "examples": 0, "share": 0.0, "size": 0, "learning_rate": (), "loss": None, "data_size": 100,
    } | values)  # fmt: skip


def test_a_constant_batch_size():
    rule = make("batch_sizes", "constant", size=48.0)
    assert rule.init() == {}
    assert rule.needs(1) == ()
    assert rule.next({}, context()) == (48, {}, None)
    assert rule.next({}, context(step=1000, examples=48_000, share=0.99, size=48)) == (48, {}, None)
    assert (rule.shared, rule.whole) == (True, False)


@pytest.mark.parametrize(
    ("size", "data_size", "replacement", "fits"),
    [(100, 100, False, True), (101, 100, False, False), (101, 100, True, True), (101, None, False, True)],
)
def test_a_batch_larger_than_the_data_needs_replacement(size, data_size, replacement, fits):
    rule = make("batch_sizes", "constant", size=size)
    if fits:
        rule.refuse(data_size, replacement)
    else:
        with pytest.raises(SettingError, match=r"batch_size.size=101 is larger than the data set \(100 examples\)"):
            rule.refuse(data_size, replacement)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "all", None])
def test_a_batch_size_is_a_whole_number_above_zero(size):
    with pytest.raises(SettingError, match=r"batch_sizes\.size must be"):
        make("batch_sizes", "constant", size=size)


def test_the_full_batch():
    rule = make("batch_sizes", "full")
    assert (rule.shared, rule.whole) == (True, True)
    assert rule.next({}, context(data_size=569)) == (569, {}, None)
    rule.refuse(569, False)
    with pytest.raises(SettingError, match="finitely many"):
        rule.refuse(None, True)


# The catalogue --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_is_a_component(package):
    folder = Path(catalogue.__file__).parent / package
    names = catalogue.names(f"optim.{package}")
    assert names == sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")
    for name in names:
        cls = catalogue.find(f"optim.{package}", name, package)
        assert cls.__module__ == f"optim.{package}.{name}"
        assert issubclass(cls, PACKAGES[package] or object)
        assert cls.__doc__
        cls()  # has defaults
        assert all(f.metadata.get("doc") for f in dataclasses.fields(cls))


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(SettingError, match=r"^there is no schedule 'inverse_sqr': did you mean 'inverse_sqrt'\?$"):
        catalogue.find("optim.schedules", "inverse_sqr", "schedule")
    with pytest.raises(SettingError, match=r"^there is no average 'xyz': choose from: uniform"):
        catalogue.find("optim.averages", "xyz", "average")


def test_names_import_nothing_and_a_module_must_hold_one_public_dataclass(tmp_path, monkeypatch):
    package = tmp_path / "some_parts"
    package.mkdir()
    head = "from dataclasses import dataclass\nfrom optim.schedules.constant import Constant\n"
    own = "@dataclass\nclass {}:\n    x: int = 1\n"
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(head + own.format("Good") + own.format("_Helper") + "class Plain: pass\n")
    (package / "two.py").write_text(head + own.format("One") + own.format("Two"))
    (package / "none.py").write_text(head)
    (package / "broken.py").write_text("raise RuntimeError")
    (package / "_hidden.py").write_text(head + own.format("Hidden"))
    monkeypatch.syspath_prepend(tmp_path)
    assert catalogue.names("some_parts") == ["broken", "good", "none", "two"]
    assert catalogue.find("some_parts", "good", "part").__name__ == "Good"
    with pytest.raises(SettingError, match=r"some_parts.two must define exactly one public dataclass, not 2"):
        catalogue.find("some_parts", "two", "part")
    with pytest.raises(SettingError, match=r"some_parts.none must define exactly one public dataclass, not 0"):
        catalogue.find("some_parts", "none", "part")
    with pytest.raises(SettingError, match="there is no part '_hidden'"):
        catalogue.find("some_parts", "_hidden", "part")
