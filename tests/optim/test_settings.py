"""Declaring, checking and refusing settings; making rules by name."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

import optim
from optim import settings
from optim.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class Part:
    number: float = setting(1.0, doc="any number")
    closed: float = setting(0.5, minimum=0.0, maximum=1.0, doc="with its ends")
    open: float = setting(0.5, above=0.0, below=1.0, doc="without its ends")
    whole: int = setting(1, minimum=0, doc="a whole number")
    flag: bool = setting(False, doc="true or false")
    text: str = setting("plain", choices=("plain", "range"), doc="one of two")
    maybe: int | None = setting(None, minimum=1, doc="may be missing")
    either: float | str = setting(0.0, minimum=0.0, doc="a number or text")
    table: dict[str, Any] = setting({"a": 1}, doc="a mapping")
    several: list[int] = setting([1], doc="whole numbers")
    anything: Any = field(default=None)
    lane: float = setting(0.1, lane=True, doc="may differ between lanes")


def value_of(name, value):
    return getattr(settings.build(Part, {name: value}, "part"), name)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("number", 2, 2.0),
        ("number", -1e300, -1e300),
        ("closed", 0, 0.0),
        ("closed", 1, 1.0),
        ("open", 1e-300, 1e-300),
        ("open", math.nextafter(1, 0), math.nextafter(1, 0)),
        ("whole", 3.0, 3),
        ("whole", 0, 0),
        ("whole", 2**62 + 1, 2**62 + 1),
        ("flag", True, True),
        ("text", "range", "range"),
        ("maybe", None, None),
        ("maybe", 4.0, 4),
        ("either", 3, 3.0),
        ("either", "auto", "auto"),
        ("table", {}, {}),
        ("several", [], []),
        ("several", (1, 2.0), [1, 2]),
        ("anything", {1, 2}, {1, 2}),
    ],
)
def test_values_that_fit_get_the_type_of_the_field(name, value, expected):
    made = value_of(name, value)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("number", "1.0", "part.number must be a number, not '1.0'"),
        ("number", None, "part.number must be a number, not None"),
        ("number", True, "part.number must be a number, not True"),
        ("number", [1.0], "part.number must be a number, not [1.0]"),
        ("number", math.nan, "part.number must be a finite number, not nan"),
        ("number", math.inf, "part.number must be a finite number, not inf"),
        ("number", -math.inf, "part.number must be a finite number, not -inf"),
        ("closed", -1e-300, "part.closed must be at least 0.0, not -1e-300"),
        ("closed", 1.5, "part.closed must be at most 1.0, not 1.5"),
        ("open", 0, "part.open must be greater than 0.0, not 0.0"),
        ("open", 1.0, "part.open must be less than 1.0, not 1.0"),
        ("whole", 2.5, "part.whole must be a whole number, not 2.5"),
        ("whole", "2", "part.whole must be a whole number, not '2'"),
        ("whole", False, "part.whole must be a whole number, not False"),
        ("whole", math.nan, "part.whole must be a whole number, not nan"),
        ("whole", -1, "part.whole must be at least 0, not -1"),
        ("flag", 1, "part.flag must be true or false, not 1"),
        ("flag", "true", "part.flag must be true or false, not 'true'"),
        ("text", 3, "part.text must be text, not 3"),
        ("text", "rang", "part.text=rang is not one of plain, range: did you mean 'range'?"),
        ("text", "xyz", "part.text=xyz is not one of plain, range: choose from: plain, range"),
        ("maybe", 1.5, "part.maybe must be a whole number, not 1.5"),
        ("maybe", True, "part.maybe must be a whole number, not True"),
        ("maybe", 0, "part.maybe must be at least 1, not 0"),
        ("either", True, "part.either must be a number or text, not True"),
        ("either", -1, "part.either must be at least 0.0, not -1.0"),
        ("either", math.nan, "part.either must be a finite number, not nan"),
        ("table", [1], "part.table must be a mapping, not [1]"),
        ("several", 3, "part.several must be a list, not 3"),
        ("several", "12", "part.several must be a list, not '12'"),
        ("several", [1, 2.5], "part.several[1] must be a whole number, not 2.5"),
        ("several", [math.inf], "part.several[0] must be a whole number, not inf"),
        ("several", [True], "part.several[0] must be a whole number, not True"),
        ("nmber", 1, "part has no setting 'nmber' (part.nmber): did you mean 'number'?"),
        ("zzz", 1, "part has no setting 'zzz' (part.zzz): choose from: " + ", ".join(sorted(settings.names(Part)))),
    ],
)
def test_values_that_do_not_fit_are_refused_in_one_sentence(name, value, message):
    with pytest.raises(SettingError) as refused:
        settings.build(Part, {name: value}, "part")
    assert str(refused.value) == message


@pytest.mark.parametrize("name", ["number", "whole", "maybe", "either"])
@pytest.mark.parametrize("value", [10**400, -(10**400), math.inf], ids=["large", "small", "infinite"])
def test_numbers_beyond_floats_are_refused_in_one_sentence(name, value):
    with pytest.raises(SettingError, match=f"part.{name} must be") as refused:
        settings.build(Part, {name: value}, "part")
    assert len(str(refused.value)) < 200


def test_a_setting_error_is_a_value_error():
    assert issubclass(SettingError, ValueError)


def test_what_is_not_given_keeps_its_default():
    made = settings.build(Part, {"whole": 7}, "part")
    assert made == Part(whole=7)
    assert made.table == {"a": 1}


def test_a_default_mapping_is_not_shared():
    Part().table["b"] = 2
    Part().several.append(2)
    assert Part().table == {"a": 1}
    assert Part().several == [1]


def test_a_complaint_of_the_component_itself_says_where():
    @dataclass
    class Picky:
        low: float = setting(0.0, doc="")
        high: float = setting(1.0, doc="")

        def __post_init__(self):
            if self.low > self.high:
                raise SettingError("low is above high")

    with pytest.raises(SettingError, match=r"^task: low is above high$"):
        settings.build(Picky, {"low": 2}, "task")


def test_names_by_lane():
    assert settings.names(Part, lane=True) == ["lane"]
    assert settings.names(Part) == [
        "number", "closed", "open", "whole", "flag", "text", "maybe", "either", "table", "several", "anything",
        "lane",
    ]  # fmt: skip
    assert set(settings.names(Part, lane=False)) == set(settings.names(Part)) - {"lane"}


def test_nearest():
    assert settings.nearest("adagrd", ["sgd", "adagrad", "adam"]) == "did you mean 'adagrad'?"
    assert settings.nearest("xyz", ["b", "a"]) == "choose from: a, b"
    assert settings.nearest("xyz", []) == "there are none"


# Rules by name --------------------------------------------------------------------------------------------------------


def test_rules_by_name():
    assert {"sgd", "adagrad", "adagrad_norm", "adam"} <= set(optim.names())
    rule = optim.rule("adagrad", eps=1, lr=2)
    assert rule.hyper() == {"lr": 2.0, "eps": 1.0, "lr_decay": 0.0, "initial_accumulator_value": 0.0}
    assert all(type(v) is float for v in rule.hyper().values())
    assert optim.rule("adam", betas=(0.5, 0.25)) == optim.rule("adam", beta1=0.5, beta2=0.25)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("adagrd", {}, "there is no optimizer 'adagrd': did you mean 'adagrad'?"),
        ("adagrad", {"epsilon": 1}, "adagrad has no setting 'epsilon' (adagrad.epsilon): did you mean 'eps'?"),
        (
            "adagrad",
            {"weight_decay": 0.1},
            "adagrad has no setting 'weight_decay' (adagrad.weight_decay): use the wrapper weight_decay",
        ),
        ("adam", {"amsgrad": True}, "adam has no setting 'amsgrad' (adam.amsgrad): use the optimizer amsgrad"),
        (
            "sgd",
            {"momentum": 0.9},
            "sgd has no setting 'momentum' (sgd.momentum): use the wrapper momentum, or the optimizer momentum",
        ),
        ("adagrad", {"lr": -1}, "adagrad.lr must be at least 0.0, not -1.0"),
        ("adagrad", {"lr": True}, "adagrad.lr must be a number, not True"),
        ("adagrad_norm", {"eps": 0}, "adagrad_norm.eps must be greater than 0.0, not 0.0"),
        ("adam", {"beta2": 1}, "adam.beta2 must be less than 1.0, not 1.0"),
        ("adam", {"betas": (0.9, 1.0)}, "adam.beta2 must be less than 1.0, not 1.0"),
        ("sgd", {"lr": math.inf}, "sgd.lr must be a finite number, not inf"),
    ],
)
def test_rules_that_cannot_be_made(name, values, message):
    with pytest.raises(SettingError) as refused:
        optim.rule(name, **values)
    assert str(refused.value) == message


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.99, 0.999), "ab", {0.9, 0.99}], ids=str)
def test_betas_must_be_two_numbers(betas):
    with pytest.raises(SettingError):
        optim.rule("adam", betas=betas)


def test_an_alias_beside_the_setting_it_stands_for_is_refused():
    with pytest.raises(SettingError, match="beta1"):
        optim.rule("adam", betas=(0.5, 0.6), beta1=0.9)


@pytest.mark.parametrize("name", optim.names())
def test_every_rule_has_defaults_and_a_documented_learning_rate(name):
    rule = optim.rule(name)
    assert "lr" in rule.hyper()
    assert all(isinstance(v, float) for v in rule.hyper().values())
    assert optim.torch_optimizer(name).rule_class is type(rule)
