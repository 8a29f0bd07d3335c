"""Which rules leave a coordinate without a gradient alone, by brute force: sparse batches rely on it."""

import pytest
import torch

import optim
from optim.wrapped import Wrapped

L, D = 3, 8
IDLE = torch.tensor([0, 3, 4, 7])  # columns whose gradient is zero in the last step; column 7 never had one
BUSY = torch.tensor([1, 2, 5, 6])
HARD = [
    ("adagrad", {"eps": 0.0}),
    ("adagrad", {"eps": 0.0, "lr_decay": 0.3}),
    ("adagrad", {"initial_accumulator_value": 0.7, "lr_decay": 0.3}),
    ("adagrad_norm", {"initial_accumulator_value": 0.7}),
    ("rmsprop", {"eps": 0.0, "centered": True}),
    ("adam", {"eps": 0.0}),
]
RULES = [(name, {}) for name in optim.names()] + HARD
AROUND = {name: {} for name in optim.wrapper_names()} | {
    "momentum": {"on": "update"},
    "weight_decay": {"strength": 0.1},
    "ball": {"radius": 0.1},
    "box": {"lower": -0.1, "upper": 0.1},
}


def numbers(seed, dtype=torch.float64):
    return torch.randn(L, D, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def stepped(rule, flat, grad, state, hyper, step):
    updates, state = rule.update({"": grad}, state, {"": flat}, hyper, step, lanes=L)
    flat = flat + updates[""]
    if isinstance(rule, Wrapped):
        flat = rule.project({"": flat}, hyper, L)[""]
    return flat, state


def check(rule, dtype, laned):
    """The last step of a run leaves the idle columns to the bit, iff the rule says so."""
    hyper = {"lr": torch.tensor([0.1, 0.7, 2.0], dtype=torch.float64)} if laned else None
    flat = numbers(0, dtype)
    state = rule.init({"": flat}, hyper, L)
    for t in range(1, 6):
        grad = numbers(t, dtype)
        grad[:, 7] = 0
        flat, state = stepped(rule, flat, grad, state, hyper, t)
    flat = numbers(7, dtype)  # anywhere, and so outside a box or a ball
    grad = numbers(6, dtype)
    grad[:, IDLE] = 0
    after, new = stepped(rule, flat, grad, state, hyper, 6)
    by_column = {k: v for k, v in state[""].items() if v.shape == (L, D)}
    same = torch.equal(after[:, IDLE], flat[:, IDLE])
    same &= all(torch.equal(new[""][k][:, IDLE], v[:, IDLE]) for k, v in by_column.items())
    assert same == rule.still_without_gradient
    if same:  # and then the rule need not even see them
        narrow = {k: v[:, BUSY] if k in by_column else v for k, v in state[""].items()}
        alone, of_alone = stepped(rule, flat[:, BUSY], grad[:, BUSY], {"": narrow}, hyper, 6)
        torch.testing.assert_close(alone, after[:, BUSY], rtol=1e-15 if dtype == torch.float64 else 1e-6, atol=0)
        assert of_alone[""].keys() == new[""].keys()
        for k, v in of_alone[""].items():
            expected = new[""][k][:, BUSY] if k in by_column else new[""][k]
            torch.testing.assert_close(v, expected, rtol=1e-15 if dtype == torch.float64 else 1e-6, atol=0)


every_way = [
    pytest.mark.parametrize("laned", [False, True], ids=["one-rate", "rates"]),
    pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str),
]


@pytest.mark.parametrize(("name", "values"), RULES, ids=str)
@every_way[0]
@every_way[1]
def test_every_rule(name, values, dtype, laned):
    check(optim.rule(name, **values), dtype, laned)


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("inner", ["sgd", "adagrad", "adagrad_norm", "adam"])
@every_way[0]
@every_way[1]
def test_every_wrapper(name, inner, dtype, laned):
    check(Wrapped(optim.rule(inner), {name: optim.wrapper(name, **AROUND[name])}), dtype, laned)


def test_what_is_claimed():
    """The flags themselves, so that a rule that could be sparse does not silently become dense."""
    still = {name for name in optim.names() if optim.rule(name).still_without_gradient}
    assert still == {"sgd", "adagrad", "adagrad_norm", "adagrad_norm_by_rows", "sign_sgd"}
    assert {name for name in AROUND if optim.wrapper(name).still_without_gradient} == {"clip_norm"}
