"""Schedules, averages and batch-size rules against their formulas; finding components by the names of their files."""

import dataclasses
import math
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from optim import catalogue, settings
from optim.average import Average
from optim.batch_size import BatchSizeRule, Context
from optim.rule import Rule
from optim.schedule import Progress, Schedule
from optim.settings import SettingError
from optim.wrapper import Wrapper

PACKAGES = {
    "rules": Rule,
    "wrappers": Wrapper,
    "schedules": Schedule,
    "averages": Average,
    "batch_sizes": BatchSizeRule,
}


def make(package, name, **values):
    return settings.build(catalogue.find(f"optim.{package}", name, package), values, package)


# Schedules ------------------------------------------------------------------------------------------------------------


TOTAL, BATCH = 60, 7  # steps of a run, examples in a batch


def progress(step, axis="steps", total=None, batch=BATCH):
    total = {"steps": TOTAL, "examples": TOTAL * batch, "seconds": 9.5}[axis] if total is None else total
    return Progress(step, batch * (step - 1), (step - 1) / TOTAL, axis, total)


@pytest.mark.parametrize("step", [1, 2, 3, 100, 10**9])
def test_schedules_without_an_end(step):
    at = progress(step)
    assert make("schedules", "constant").factor(at) == 1.0
    assert make("schedules", "inverse_sqrt").factor(at) == 1.0 / math.sqrt(step)


def by_torch(make_scheduler, steps):
    """The learning rate that a scheduler of torch gives to steps 1, 2, ..., for a base rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = make_scheduler(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


torch_schedules = torch.optim.lr_scheduler
IN_TORCH = [
    ("cosine", {}, lambda o: torch_schedules.CosineAnnealingLR(o, TOTAL)),
    ("cosine", {"final": 0.2}, lambda o: torch_schedules.CosineAnnealingLR(o, TOTAL, eta_min=0.2)),
    ("linear", {}, lambda o: torch_schedules.LinearLR(o, 1.0, 0.0, TOTAL)),
    ("linear", {"final": 0.3, "length": 37}, lambda o: torch_schedules.LinearLR(o, 1.0, 0.3, 37)),
    ("stages", {"at": [9, 10, 31]}, lambda o: torch_schedules.MultiStepLR(o, [9, 10, 31])),
    ("stages", {"at": [20], "decay": 3}, lambda o: torch_schedules.MultiStepLR(o, [20], 3.0)),
]


def in_examples(values):
    """The same settings counted in examples."""
    scale = {k: values[k] * BATCH for k in ("length", "warmup") if k in values}
    return {**values, **scale, **({"at": [p * BATCH for p in values["at"]]} if "at" in values else {})}


@pytest.mark.parametrize(("name", "values", "reference"), IN_TORCH, ids=[n for n, *_ in IN_TORCH])
def test_schedules_equal_those_of_torch(name, values, reference):
    """In steps, and in examples; counted as the budget is, or not."""
    expected = by_torch(reference, TOTAL)
    ways = [("steps", values), ("examples", in_examples(values))]
    if "length" in values or name == "stages":
        ways += [("examples", values | {"unit": "steps"}), ("seconds", values | {"unit": "steps"})]
        ways += [("seconds", in_examples(values) | {"unit": "examples"})]
    for axis, given in ways:
        schedule = make("schedules", name, **given)
        schedule.refuse(axis, progress(1, axis).total)
        rates = [schedule.factor(progress(t, axis)) for t in range(1, TOTAL + 1)]
        assert rates == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_a_decay_reaches_its_final_factor_and_stays_there(name):
    schedule = make("schedules", name, final=0.125, length=10, warmup=5)
    factors = [schedule.factor(progress(t)) for t in range(1, 40)]
    assert factors[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rel=1e-15)
    assert all(0.125 < f < 1 for f in factors[6:15])
    assert factors[15:] == [0.125] * 24


WITHOUT = [("constant", {}), ("inverse_sqrt", {}), ("stages", {"at": [9, 31]})]


@pytest.mark.parametrize(("name", "values"), WITHOUT, ids=[n for n, _ in WITHOUT])
def test_a_warmup_is_a_factor(name, values):
    """Positions of stages and the root of t count from the start of the run."""
    plain = make("schedules", name, **values)
    for t in range(1, TOTAL + 1):
        expected = plain.factor(progress(t))
        warm = make("schedules", name, **values, warmup=12).factor(progress(t))
        assert warm == pytest.approx(min(1, t / 12) * expected, rel=1e-15)
        if name != "stages":
            seen = BATCH * (t - 1)
            warm = make("schedules", name, **values, warmup=100, unit="examples").factor(progress(t))
            assert warm == pytest.approx(min(1, (seen + 1) / 100) * expected, rel=1e-15)


@pytest.mark.parametrize(
    ("name", "final", "curve"),
    [
        ("cosine", 0.1, lambda x: 0.1 + 0.9 * (1 + math.cos(math.pi * x)) / 2),
        ("linear", 0.1, lambda x: 1 - 0.9 * x),
    ],
)
def test_a_decay_lasts_for_the_rest_of_the_budget_after_the_warmup(name, final, curve):
    """Warm-up to 1 over the first W, then the curve over the other T - W: of steps, or of examples."""
    for t in range(1, TOTAL + 1):
        warm = make("schedules", name, final=final, warmup=15).factor(progress(t))
        assert warm == pytest.approx(t / 15 if t < 15 else curve(max(0, t - 16) / (TOTAL - 15)), rel=1e-13)
        seen, all_examples = BATCH * (t - 1), BATCH * TOTAL
        warm = make("schedules", name, final=final, warmup=100).factor(progress(t, "examples"))
        rise, rest = min(1, (seen + 1) / 100), max(0, seen - 100) / (all_examples - 100)
        assert warm == pytest.approx(rise * curve(rest), rel=1e-13)


def test_a_warmup_may_take_the_whole_budget():
    schedule = make("schedules", "cosine", warmup=TOTAL)
    schedule.refuse("steps", TOTAL)
    factors = [schedule.factor(progress(t)) for t in range(1, TOTAL + 1)]
    assert factors == pytest.approx([t / TOTAL for t in range(1, TOTAL + 1)], rel=1e-15)


@pytest.mark.parametrize(
    ("name", "values", "axis", "message"),
    [
        (
            "constant",
            {"warmup": 61},
            "steps",
            "schedule.warmup=61 is longer than the budget of 60 steps: shorten it, or",
        ),
        ("cosine", {"warmup": 421, "unit": "examples"}, "examples", "longer than the budget of 420 examples"),
        ("constant", {"warmup": 1}, "seconds", "schedule.unit is not given and the budget is in seconds: say what"),
        ("linear", {"length": 3}, "seconds", "schedule.unit is not given and the budget is in seconds: say what"),
        ("stages", {"at": [3]}, "seconds", "schedule.unit is not given and the budget is in seconds: say what"),
        ("cosine", {"unit": "steps"}, "examples", "schedule.length is not given, and the rest of a budget in examples"),
        ("linear", {"unit": "examples", "warmup": 5}, "seconds", "cannot be counted in examples: set schedule.length"),
        ("linear", {"unit": "examples"}, "steps", "the rest of a budget in steps cannot be counted in examples"),
        ("stages", {}, "steps", "schedule.at is empty: give the positions of the stages"),
    ],
)
def test_schedules_that_make_no_sense_in_a_budget(name, values, axis, message):
    with pytest.raises(SettingError) as refused:
        make("schedules", name, **values).refuse(axis, progress(1, axis).total)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "values", "axis"),
    [
        ("constant", {"warmup": 60}, "steps"),
        ("constant", {"warmup": 420, "unit": "steps"}, "examples"),
        ("constant", {}, "seconds"),
        ("inverse_sqrt", {"warmup": 5, "unit": "steps"}, "seconds"),
        ("cosine", {"length": 1000}, "steps"),
        ("linear", {"unit": "examples"}, "examples"),
        ("stages", {"at": [10**6]}, "examples"),
    ],
)
def test_schedules_that_make_sense(name, values, axis):
    make("schedules", name, **values).refuse(axis, progress(1, axis).total)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("stages", {"at": [5, 5]}, "schedules: at=[5, 5] must be positions above 0 that increase"),
        ("stages", {"at": [0, 5]}, "schedules: at=[0, 5] must be positions above 0 that increase"),
        ("stages", {"at": [9, 5]}, "schedules: at=[9, 5] must be positions above 0 that increase"),
        ("stages", {"at": [-1]}, "schedules: at=[-1] must be positions above 0 that increase"),
        ("stages", {"at": [1.5]}, "schedules.at[0] must be a whole number, not 1.5"),
        ("stages", {"at": 5}, "schedules.at must be a list, not 5"),
        ("stages", {"decay": 0}, "schedules.decay must be greater than 0.0, not 0.0"),
        ("constant", {"warmup": -1}, "schedules.warmup must be at least 0, not -1"),
        ("constant", {"unit": "epochs"}, "schedules.unit=epochs is not one of steps, examples: did you mean 'steps'?"),
        ("cosine", {"length": 0}, "schedules.length must be at least 1, not 0"),
        ("linear", {"final": -0.1}, "schedules.final must be at least 0.0, not -0.1"),
    ],
)
def test_schedules_that_cannot_be_made(name, values, message):
    with pytest.raises(SettingError) as refused:
        make("schedules", name, **values)
    assert str(refused.value).startswith(message)


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


def sizes_of(rule, steps, axis="steps", budget=1000, data_size=10**6):
    """The sizes of a run, the position and the share kept as the engine keeps them."""
    found, seen = [], 0
    for step in range(1, steps + 1):
        share = (step - 1 if axis == "steps" else seen) / budget
        size, state, note = rule.next(rule.init(), context(step=step, examples=seen, share=share, data_size=data_size))
        assert (state, note, type(size)) == ({}, None, int)
        found.append(size)
        seen += size
    return found


def test_batch_sizes_by_stages():
    sizes = [4, 10, 6]
    by_steps = make("batch_sizes", "stages", sizes=sizes, at=[3, 5], unit="steps")
    assert sizes_of(by_steps, 7) == [4, 4, 4, 10, 10, 6, 6]
    by_examples = make("batch_sizes", "stages", sizes=sizes, at=[9, 32])
    assert sizes_of(by_examples, 7) == [4, 4, 4, 10, 10, 6, 6]  # seen before: 0 4 8 12 22 32 38
    by_share = make("batch_sizes", "stages", sizes=sizes, at=[0.3, 0.5], unit="share")
    assert sizes_of(by_share, 7, budget=10) == [4, 4, 4, 10, 10, 6, 6]
    assert sizes_of(by_share, 7, "examples", budget=40) == [4, 4, 4, 10, 6, 6, 6]  # shares: 0 .1 .2 .3 .55 .7 .85
    assert sizes_of(make("batch_sizes", "stages", sizes=[8]), 3) == [8, 8, 8]
    assert (by_steps.shared, by_steps.whole) == (True, False)


@pytest.mark.parametrize("growth", [1.15, 1.5, 2, 1.001])
@pytest.mark.parametrize(("unit", "every"), [("steps", 1), ("steps", 3), ("examples", 250)])
def test_geometric_batch_sizes(growth, unit, every):
    """In exact fractions: 100 times 1.15 is 115, where floats give a little less."""
    rule = make("batch_sizes", "geometric", size=100, growth=growth, every=every, unit=unit, largest=5000)
    expected, seen = [], 0
    for step in range(1, 61):
        k = (step - 1 if unit == "steps" else seen) // every
        expected.append(min(5000, math.floor(100 * Fraction(str(growth)) ** k)))
        seen += expected[-1]
    assert sizes_of(rule, 60) == expected
    assert (rule.shared, rule.whole) == (True, False)


def test_geometric_batch_sizes_are_bounded_by_the_data_and_never_beyond_numbers():
    rule = make("batch_sizes", "geometric", size=10, growth=1e300, every=1)
    assert sizes_of(rule, 4, data_size=33) == [10, 33, 33, 33]
    assert sizes_of(rule, 4, data_size=7) == [10, 10, 10, 10]  # with replacement the first batch may be larger
    assert rule.next({}, context(step=10**9, data_size=None))[0] == sys.maxsize


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("stages", {"sizes": [4, 8]}, "at must have one position less than there are sizes: 2 sizes need 1, not 0"),
        ("stages", {"at": [3]}, "at must have one position less than there are sizes: 0 sizes need 0, not 1"),
        ("stages", {"sizes": [4, 0], "at": [3]}, "sizes=[4, 0] must be whole numbers of at least 1"),
        ("stages", {"sizes": [4, 2.5], "at": [3]}, "sizes[1] must be a whole number, not 2.5"),
        ("stages", {"sizes": [1, 2, 3], "at": [3, 3]}, "at=[3.0, 3.0] must be positions above 0 that increase"),
        ("stages", {"sizes": [1, 2, 3], "at": [5, 3]}, "at=[5.0, 3.0] must be positions above 0 that increase"),
        ("stages", {"sizes": [1, 2], "at": [1], "unit": "share"}, "at=[1.0] must be shares of the budget, below 1"),
        ("stages", {"unit": "epochs"}, "unit=epochs is not one of steps, examples, share"),
        ("geometric", {"growth": 1}, "growth must be greater than 1.0, not 1.0"),
        ("geometric", {"every": 0}, "every must be at least 1, not 0"),
        ("geometric", {"size": 64, "largest": 63}, "largest=63 must be at least size=64"),
        ("geometric", {"unit": "share"}, "unit=share is not one of steps, examples"),
    ],
)
def test_batch_sizes_that_cannot_be_made(name, values, message):
    with pytest.raises(SettingError) as refused:
        make("batch_sizes", name, **values)
    assert re.sub(r"^batch_sizes(: |\.)", "", str(refused.value)).startswith(message)


@pytest.mark.parametrize(
    ("name", "values", "named"),
    [
        ("stages", {"sizes": [4, 101, 8], "at": [1, 2]}, "batch_size.sizes=101"),
        ("geometric", {"size": 101}, "batch_size.size=101"),
        ("geometric", {"size": 4, "largest": 101}, "batch_size.largest=101"),
    ],
)
def test_growing_batches_that_become_larger_than_the_data_need_replacement(name, values, named):
    rule = make("batch_sizes", name, **values)
    for data_size, replacement in ((100, True), (101, False), (None, False)):
        rule.refuse(data_size, replacement)
    with pytest.raises(SettingError) as refused:
        rule.refuse(100, False)
    assert str(refused.value).startswith(f"{named} is larger than the data set (100 examples)")


def test_growing_batches_with_defaults():
    make("batch_sizes", "geometric").refuse(32, False)
    with pytest.raises(SettingError, match=r"batch_size.sizes is empty: give the sizes and where they begin"):
        make("batch_sizes", "stages").refuse(None, True)


# The catalogue --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_is_a_component(package):
    folder = Path(catalogue.__file__).parent / package
    names = catalogue.names(f"optim.{package}")
    assert names == sorted(p.stem for p in folder.glob("*.py") if p.stem[0] != "_")
    for name in names:
        cls = catalogue.find(f"optim.{package}", name, package)
        assert cls.__module__ == f"optim.{package}.{name}"
        assert issubclass(cls, PACKAGES[package])
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
