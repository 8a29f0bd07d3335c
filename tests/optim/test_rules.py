"""Update rules against torch.optim, against numpy transcriptions of their equations, and lane by lane."""

import copy
import dataclasses
import functools
import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import optim
from optim.rule import Rule
from optim.sequences.towards_one import TowardsOne
from optim.settings import SettingError, setting

STEPS = 50
SHAPES = {"matrix": (3, 4), "vector": (5,), "scalar": (), "thin": (1, 2, 3)}

SETTINGS = [
    ("sgd", {}),
    ("sgd", {"lr": 0.3}),
    ("adagrad", {}),
    ("adagrad", {"lr": 0.3, "lr_decay": 0.07, "initial_accumulator_value": 0.5, "eps": 1e-2}),
    ("adagrad", {"lr": 2.0, "initial_accumulator_value": 3.0, "eps": 0.0}),
    ("adagrad_norm", {}),
    ("adagrad_norm", {"lr": 0.7, "initial_accumulator_value": 0.25, "eps": 0.5}),
    ("adagrad_norm_by_rows", {}),
    ("adagrad_norm_by_rows", {"lr": 0.7, "initial_accumulator_value": 0.25, "eps": 0.5}),
    ("adam", {}),
    ("adam", {"lr": 0.05, "beta1": 0.6, "beta2": 0.95, "eps": 1e-3}),
    ("adam", {"lr": 0.05, "beta1": 0.0, "beta2": 0.0, "eps": 0.1}),
    ("adamw", {}),
    ("adamw", {"lr": 0.05, "beta1": 0.6, "beta2": 0.95, "eps": 1e-3, "weight_decay": 0.3}),
    ("amsgrad", {}),
    ("amsgrad", {"lr": 0.05, "beta1": 0.6, "beta2": 0.5, "eps": 1e-3}),
    ("momentum", {}),
    ("momentum", {"lr": 0.1, "momentum": 0.7, "dampening": 0.4}),
    ("nesterov", {}),
    ("nesterov", {"lr": 0.1, "momentum": 0.7}),
    ("rmsprop", {}),
    ("rmsprop", {"lr": 0.05, "alpha": 0.8, "eps": 1e-3, "momentum": 0.6}),
    ("rmsprop", {"lr": 0.05, "alpha": 0.8, "eps": 1e-3, "momentum": 0.6, "centered": True}),
    ("sign_sgd", {}),
    ("sign_sgd", {"lr": 0.3}),
    ("lion", {}),
    ("lion", {"lr": 0.05, "beta1": 0.6, "beta2": 0.8, "weight_decay": 0.3}),
    ("adopt", {}),
    ("adopt", {"lr": 0.05, "beta1": 0.6, "beta2": 0.8, "eps": 1e-3}),
    ("adopt", {"lr": 0.05, "beta1": 0.6, "beta2": 0.8, "clip": True}),
    ("generic_adam", {}),
    ("generic_adam", {"lr": 0.05, "v_0": 0.3}),
    ("generic_adam", {"lr": 0.05, "v_0": 0.0, "largest": True, "theta": TowardsOne(r=0.25, c=0.4)}),
]
IN_TORCH = {
    "sgd": torch.optim.SGD,
    "momentum": functools.partial(torch.optim.SGD, momentum=0.9),
    "nesterov": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "amsgrad": functools.partial(torch.optim.Adam, amsgrad=True),
    "rmsprop": torch.optim.RMSprop,
}
# Of torch's defaults only the rate of SGD differs from ours.
DEFAULTS_IN_TORCH = {name: {"lr": 0.01} for name in ("sgd", "momentum", "nesterov")}
every_setting = pytest.mark.parametrize(
    ("name", "values"), SETTINGS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(SETTINGS)]
)
setting_in_torch = pytest.mark.parametrize(
    ("name", "values"),
    [s for s in SETTINGS if s[0] in IN_TORCH],
    ids=[f"{n}-{i}" for i, (n, _) in enumerate(SETTINGS) if n in IN_TORCH],
)
every_rule = pytest.mark.parametrize("name", optim.names())


def random_tensors(shapes, seed, dtype=torch.float64, scales=True):
    """Normal numbers; with `scales`, over six orders of magnitude and with some exact zeros."""
    source = torch.Generator().manual_seed(seed)

    def draw(shape):
        value = torch.randn(shape, generator=source, dtype=torch.float64)
        if scales:
            value = value * 10 ** (6 * torch.rand(shape, generator=source, dtype=torch.float64) - 4)
            value = value * (torch.rand(shape, generator=source) > 0.1)
        return value.to(dtype)

    return {name: draw(shape) for name, shape in shapes.items()}


def gradient_sequence(shapes=SHAPES, steps=STEPS, dtype=torch.float64):
    return [random_tensors(shapes, 1000 + t, dtype) for t in range(steps)]


def start(shapes=SHAPES, dtype=torch.float64):
    return random_tensors(shapes, 7, dtype, scales=False)


def close(actual, expected, rtol=1e-12, atol=1e-14):
    assert actual.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(actual[name], torch.as_tensor(expected[name]), rtol=rtol, atol=atol)


def same_bits(actual, expected):
    close(actual, expected, rtol=0, atol=0)


# References -----------------------------------------------------------------------------------------------------------


def torch_keywords(values):
    betas = {"betas": (values["beta1"], values["beta2"])} if "beta1" in values else {}
    return {**{k: v for k, v in values.items() if not k.startswith("beta")}, **betas}


def torch_trajectory(name, values, w, grads):
    """Parameters after every step of the torch class, its default settings being the rule's where `values` has none."""
    leaves = {k: v.clone().requires_grad_() for k, v in w.items()}
    optimizer = IN_TORCH[name](leaves.values(), **{**DEFAULTS_IN_TORCH.get(name, {}), **torch_keywords(values)})
    points = []
    for grad in grads:
        for k, leaf in leaves.items():
            leaf.grad = grad[k].clone()
        optimizer.step()
        points.append({k: leaf.detach().clone() for k, leaf in leaves.items()})
    return points


def equations(name, values, w, grads, lr_of=None):
    """Parameters after every step, by the equations in the docstring of the rule, in numpy.

    `lr_of` overrides the learning rate by tensor.
    """
    adam = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    s = {
        "sgd": {"lr": 0.01},
        "momentum": {"lr": 0.01, "momentum": 0.9, "dampening": 0.0},
        "nesterov": {"lr": 0.01, "momentum": 0.9},
        "adagrad": {"lr": 0.01, "eps": 1e-10, "lr_decay": 0.0, "initial_accumulator_value": 0.0},
        "adagrad_norm": {"lr": 0.01, "eps": 1e-10, "initial_accumulator_value": 0.0},
        "adagrad_norm_by_rows": {"lr": 0.01, "eps": 1e-10, "initial_accumulator_value": 0.0},
        "rmsprop": {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False},
        "adam": adam,
        "adamw": {**adam, "weight_decay": 0.01},
        "amsgrad": adam,
        "sign_sgd": {"lr": 0.001},
        "lion": {"lr": 0.0001, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0},
        "adopt": {"lr": 0.001, "beta1": 0.9, "beta2": 0.9999, "eps": 1e-6, "clip": False},
        "generic_adam": {"lr": 0.001, "v_0": 1e-8, "largest": False, "theta": TowardsOne(r=1.0, c=0.001)},
    }[name] | values
    w = {k: v.numpy().copy() for k, v in w.items()}
    lr = {k: (lr_of or {}).get(k, s["lr"]) for k in w}
    v_0 = s.get("v_0", s.get("initial_accumulator_value", 0.0))
    v = {k: np.full_like(x, v_0) for k, x in w.items()}
    m, b, largest = ({k: np.zeros_like(x) for k, x in w.items()} for _ in range(3))
    norm_v = v_0
    points = []
    for t, tensors in enumerate(grads, start=1):
        g_of = {k: x.numpy() for k, x in tensors.items()}
        norm_v = norm_v + sum(float((x**2).sum()) for x in g_of.values())
        for k, g in g_of.items():
            if name == "sgd":
                step = lr[k] * g
            elif name == "sign_sgd":
                step = lr[k] * np.sign(g)
            elif name == "momentum":
                m[k] = g if t == 1 else s["momentum"] * m[k] + (1 - s["dampening"]) * g
                step = lr[k] * m[k]
            elif name == "nesterov":
                m[k] = s["momentum"] * m[k] + g
                step = lr[k] * (g + s["momentum"] * m[k])
            elif name == "adagrad":
                v[k] = v[k] + g**2
                below = np.sqrt(v[k]) + s["eps"]
                rate = lr[k] / (1 + (t - 1) * s["lr_decay"])
                step = rate * np.divide(g, below, np.zeros_like(below), where=below > 0)
            elif name == "adagrad_norm":
                step = lr[k] * g / (math.sqrt(norm_v) + s["eps"])
            elif name == "adagrad_norm_by_rows":
                rows = [float((row**2).sum()) for row in g] if g.ndim else float(g**2)
                v[k] = v[k] + np.reshape(rows, (-1,) + (1,) * (g.ndim - 1) if g.ndim else ())
                step = lr[k] * g / (np.sqrt(v[k]) + s["eps"])
            elif name == "rmsprop":
                v[k] = s["alpha"] * v[k] + (1 - s["alpha"]) * g**2
                m[k] = s["alpha"] * m[k] + (1 - s["alpha"]) * g
                variance = v[k] - m[k] ** 2 if s["centered"] else v[k]
                b[k] = s["momentum"] * b[k] + g / (np.sqrt(variance) + s["eps"])
                step = lr[k] * b[k]
            elif name == "lion":
                u = np.sign(s["beta1"] * m[k] + (1 - s["beta1"]) * g)
                m[k] = s["beta2"] * m[k] + (1 - s["beta2"]) * g
                step = lr[k] * (u + s["weight_decay"] * w[k])
            elif name == "adopt":
                if t == 1:
                    v[k], step = g**2, 0.0
                else:
                    scaled = g / np.maximum(np.sqrt(v[k]), s["eps"])
                    if s["clip"]:
                        scaled = np.clip(scaled, -((t - 1) ** 0.25), (t - 1) ** 0.25)
                    m[k] = s["beta1"] * m[k] + (1 - s["beta1"]) * scaled
                    v[k] = s["beta2"] * v[k] + (1 - s["beta2"]) * g**2
                    step = lr[k] * m[k]
            elif name == "generic_adam":
                r, c = s["theta"].r, s["theta"].c
                theta = 1 - (c + (1 - c) * r) / t**r
                v[k] = theta * v[k] + (1 - theta) * g**2
                m[k] = 0.9 * m[k] + 0.1 * g
                largest[k] = np.maximum(largest[k], v[k])
                below = np.sqrt(largest[k] if s["largest"] else v[k])
                step = lr[k] / math.sqrt(t) * np.divide(m[k], below, np.zeros_like(below), where=below > 0)
            else:
                m[k] = s["beta1"] * m[k] + (1 - s["beta1"]) * g
                v[k] = s["beta2"] * v[k] + (1 - s["beta2"]) * g**2
                largest[k] = np.maximum(largest[k], v[k])
                m_hat = m[k] / (1 - s["beta1"] ** t)
                v_hat = (largest[k] if name == "amsgrad" else v[k]) / (1 - s["beta2"] ** t)
                step = lr[k] * m_hat / (np.sqrt(v_hat) + s["eps"]) + lr[k] * s.get("weight_decay", 0.0) * w[k]
            w[k] = w[k] - step
        points.append({k: x.copy() for k, x in w.items()})
    return points


# The two ways to run a rule -------------------------------------------------------------------------------------------


def by_rule(rule, w, grads, hyper=None, lanes=None):
    w, points = dict(w), []
    state = rule.init(w, hyper, lanes)
    for t, grad in enumerate(grads, start=1):
        updates, state = rule.update(grad, state, w, hyper, t, lanes=lanes)
        w = {k: w[k] + updates[k] for k in w}
        points.append(w)
    return points


def by_optimizer(optimizer, leaves, grads):
    """`leaves` by name; a gradient of None is none."""
    points = []
    for grad in grads:
        for k, leaf in leaves.items():
            leaf.grad = None if grad[k] is None else grad[k].clone()
        optimizer.step()
        points.append({k: leaf.detach().clone() for k, leaf in leaves.items()})
    return points


def leaves_of(w):
    return {k: v.clone().requires_grad_() for k, v in w.items()}


def compare(points, expected):
    assert len(points) == len(expected)
    for point, reference in zip(points, expected, strict=True):
        close(point, reference)


@setting_in_torch
def test_rule_equals_torch(name, values):
    w, grads = start(), gradient_sequence()
    compare(by_rule(optim.rule(name, **values), w, grads), torch_trajectory(name, values, w, grads))


@every_setting
def test_rule_equals_its_equations(name, values):
    w, grads = start(), gradient_sequence()
    compare(by_rule(optim.rule(name, **values), w, grads), equations(name, values, w, grads))


@every_setting
def test_hyper_replaces_the_settings_of_the_rule(name, values):
    w, grads = start(), gradient_sequence(steps=5)
    static = {k: v for k, v in values.items() if k not in optim.rule(name).hyper()}
    hyper = {k: v for k, v in values.items() if k not in static}
    compare(by_rule(optim.rule(name, **static), w, grads, hyper), equations(name, values, w, grads))


@setting_in_torch
def test_optimizer_equals_torch(name, values):
    w, grads = start(), gradient_sequence()
    leaves = leaves_of(w)
    optimizer = optim.torch_optimizer(name)(leaves.values(), **values)
    assert isinstance(optimizer, torch.optim.Optimizer)
    compare(by_optimizer(optimizer, leaves, grads), torch_trajectory(name, values, w, grads))


@every_setting
def test_optimizer_equals_the_equations(name, values):
    w, grads = start(), gradient_sequence()
    leaves = leaves_of(w)
    compare(
        by_optimizer(optim.torch_optimizer(name)(list(leaves.values()), **values), leaves, grads),
        equations(name, values, w, grads),
    )


def test_optimizer_takes_betas_as_torch_does():
    w, grads = start(), gradient_sequence(steps=10)
    leaves = leaves_of(w)
    optimizer = optim.torch_optimizer("adam")(leaves.values(), lr=0.1, betas=(0.3, 0.7))
    compare(
        by_optimizer(optimizer, leaves, grads),
        torch_trajectory("adam", {"lr": 0.1, "beta1": 0.3, "beta2": 0.7}, w, grads),
    )
    compare(
        by_rule(optim.rule("adam", lr=0.1, betas=[0.3, 0.7]), w, grads),
        torch_trajectory("adam", {"lr": 0.1, "beta1": 0.3, "beta2": 0.7}, w, grads),
    )


# What is particular to the optimizers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(IN_TORCH))
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_weight_decay_and_maximize_equal_torch(name, maximize, weight_decay):
    w, grads = start(), gradient_sequence(steps=20)
    points = []
    for cls in (optim.torch_optimizer(name), IN_TORCH[name]):
        leaves = leaves_of(w)
        optimizer = cls(leaves.values(), lr=0.1, weight_decay=weight_decay, maximize=maximize)
        points.append(by_optimizer(optimizer, leaves, grads))
    compare(*points)


def test_weight_decay_and_maximize_of_adagrad_norm():
    w, grads = start(), gradient_sequence(steps=20)
    leaves = leaves_of(w)
    optimizer = optim.torch_optimizer("adagrad_norm")(leaves.values(), lr=0.5, weight_decay=0.3, maximize=True)
    points = by_optimizer(optimizer, leaves, grads)
    reached, v = {k: x.numpy() for k, x in w.items()}, 0.0
    for grad, point in zip(grads, points, strict=True):
        g = {k: -grad[k].numpy() + 0.3 * x for k, x in reached.items()}
        v += sum(float((x**2).sum()) for x in g.values())
        reached = {k: x - 0.5 * g[k] / (math.sqrt(v) + 1e-10) for k, x in reached.items()}
        close(point, reached)


@pytest.mark.parametrize("name", sorted(IN_TORCH))
def test_groups_equal_torch(name):
    w, grads = start(), gradient_sequence(steps=20)
    of_second = {
        "sgd": {"weight_decay": 0.2},
        "adagrad": {"eps": 0.1, "lr_decay": 0.3, "initial_accumulator_value": 0.0},
        "adam": {"betas": (0.5, 0.8), "eps": 0.1, "maximize": True},
        "adamw": {"betas": (0.5, 0.8), "weight_decay": 0.4},
        "amsgrad": {"betas": (0.5, 0.8), "weight_decay": 0.4},
        "momentum": {"momentum": 0.3, "dampening": 0.5, "weight_decay": 0.2},
        "nesterov": {"momentum": 0.3, "maximize": True},
        "rmsprop": {"alpha": 0.5, "eps": 0.1, "momentum": 0.7, "centered": True, "weight_decay": 0.2},
    }[name]
    points = []
    for cls in (optim.torch_optimizer(name), IN_TORCH[name]):
        leaves = leaves_of(w)
        first, second, *rest = leaves.values()
        optimizer = cls([{"params": [first]}, {"params": [second], "lr": 0.9, **of_second}], lr=0.1)
        optimizer.add_param_group({"params": rest, "lr": 0.02})
        points.append(by_optimizer(optimizer, leaves, grads))
    compare(*points)


def test_adagrad_norm_takes_the_norm_over_all_groups():
    w, grads = start(), gradient_sequence()
    leaves = leaves_of(w)
    groups = [{"params": [leaves["matrix"], leaves["thin"]]}, {"params": [leaves["vector"]], "lr": 0.9}]
    optimizer = optim.torch_optimizer("adagrad_norm")(groups, lr=0.1)
    optimizer.add_param_group({"params": leaves["scalar"], "lr": 0.0})
    lr_of = {"matrix": 0.1, "thin": 0.1, "vector": 0.9, "scalar": 0.0}
    compare(by_optimizer(optimizer, leaves, grads), equations("adagrad_norm", {}, w, grads, lr_of))


def test_adagrad_norm_refuses_groups_that_differ_in_more_than_lr():
    leaves = leaves_of(start())
    first, second, *_ = leaves.values()
    optimizer = optim.torch_optimizer("adagrad_norm")([{"params": [first]}, {"params": [second], "eps": 0.1}])
    with pytest.raises(SettingError, match="differ in lr only"):
        by_optimizer(
            optimizer, {"a": first, "b": second}, [{"a": torch.ones(3, 4).double(), "b": torch.ones(5).double()}]
        )


@every_rule
def test_optimizer_checks_the_settings_of_constructor_and_groups(name):
    cls = optim.torch_optimizer(name)
    one = torch.zeros(2, requires_grad=True)
    with pytest.raises(SettingError, match="at least 0"):
        cls([one], lr=-0.1)
    with pytest.raises(SettingError, match="did you mean 'lr'"):
        cls([one], lrr=0.1)
    with pytest.raises(SettingError, match="at least 0"):
        cls([{"params": [one], "lr": -1.0}])
    optimizer = cls([one])
    with pytest.raises(SettingError, match="at least 0"):
        optimizer.add_param_group({"params": [torch.zeros(2, requires_grad=True)], "lr": -1.0})
    for place in ({}, {"params": [one]}):
        for bad, message in (
            ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
            ({"maximize": 1}, "maximize must be true or false"),
        ):
            with pytest.raises(SettingError, match=message):
                cls([{**place, **bad}]) if place else cls([one], **bad)


@every_rule
def test_closure_is_called_once_with_gradients_and_its_loss_returned(name):
    w = start()
    plain, closed = leaves_of(w), leaves_of(w)
    first = optim.torch_optimizer(name)(plain.values(), lr=0.1)
    second = optim.torch_optimizer(name)(closed.values(), lr=0.1)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        second.zero_grad()
        loss = sum((leaf**4).sum() for leaf in closed.values())
        loss.backward()
        return loss

    for t in range(1, 6):
        first.zero_grad()
        loss = sum((leaf**4).sum() for leaf in plain.values())
        loss.backward()
        assert first.step() is None
        assert second.step(closure) == loss
        assert calls == [True] * t
        same_bits(closed, plain)


@every_rule
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_state_dict_round_trip_in_mid_run_changes_no_bit(name, dtype):
    values = next(v for n, v in SETTINGS if n == name and v)
    w, grads = start(dtype=dtype), gradient_sequence(steps=20, dtype=dtype)
    leaves = leaves_of(w)
    optimizer = optim.torch_optimizer(name)(leaves.values(), **values)
    by_optimizer(optimizer, leaves, grads[:9])
    kept = copy.deepcopy(optimizer.state_dict())
    others = leaves_of({k: v.detach() for k, v in leaves.items()})
    resumed = optim.torch_optimizer(name)(others.values(), lr=123.0)
    resumed.load_state_dict(kept)
    expected = by_optimizer(optimizer, leaves, grads[9:])
    for point, reference in zip(by_optimizer(resumed, others, grads[9:]), expected, strict=True):
        same_bits(point, reference)


def gaps(grads, always=()):
    """The same gradients, each tensor's missing now and then, from the first step on."""
    present = {"matrix": (0, 1, 1), "vector": (1, 1, 0), "scalar": (0, 0, 1), "thin": (1, 0, 0)}
    return [
        {k: g if k in always or present[k][t % 3] else None for k, g in grad.items()} for t, grad in enumerate(grads)
    ]


@pytest.mark.parametrize("name", sorted(IN_TORCH))
def test_parameters_without_gradient_are_skipped_as_in_torch(name):
    w, grads = start(), gaps(gradient_sequence(steps=20))
    points = []
    for cls in (optim.torch_optimizer(name), IN_TORCH[name]):
        leaves = leaves_of(w)
        points.append(by_optimizer(cls(leaves.values(), lr=0.1), leaves, grads))
    compare(*points)


def test_adagrad_norm_counts_a_missing_gradient_as_zero():
    """The accumulator belongs to all parameters: one that has no gradient for a while neither resets nor forgets it."""
    w, grads = start(), gaps(gradient_sequence(steps=20))
    leaves = leaves_of(w)
    optimizer = optim.torch_optimizer("adagrad_norm")(leaves.values(), lr=0.1)
    zeros = [{k: torch.zeros_like(w[k]) if g is None else g for k, g in grad.items()} for grad in grads]
    compare(by_optimizer(optimizer, leaves, grads), equations("adagrad_norm", {"lr": 0.1}, w, zeros))


@every_rule
def test_a_group_that_joins_later_changes_nothing_for_the_others(name):
    """For AdaGrad-Norm it is as if its gradients had been zero until then."""
    w, grads = start(), gradient_sequence(steps=12)
    leaves = leaves_of(w)
    first = {k: leaves[k] for k in ("matrix", "scalar")}
    late = {k: leaves[k] for k in ("vector", "thin")}
    optimizer = optim.torch_optimizer(name)(first.values(), lr=0.1)
    by_optimizer(optimizer, first, grads[:5])
    optimizer.add_param_group({"params": list(late.values()), "lr": 0.3})
    by_optimizer(optimizer, leaves, grads[5:])
    zeros = [
        {k: g if k in first or t >= 5 else torch.zeros_like(g) for k, g in grad.items()} for t, grad in enumerate(grads)
    ]
    expected = equations(name, {"lr": 0.1}, w, zeros, dict.fromkeys(late, 0.3))[-1]
    if name != "adagrad_norm":  # its steps count from when it joined
        alone = equations(name, {"lr": 0.3}, {k: w[k] for k in late}, [{k: g[k] for k in late} for g in grads[5:]])
        expected |= alone[-1]
    close({k: leaf.detach() for k, leaf in leaves.items()}, expected)


@every_rule
def test_a_step_without_any_gradient_does_nothing(name):
    leaves = leaves_of(start())
    optimizer = optim.torch_optimizer(name)(leaves.values(), lr=0.1)
    optimizer.step()
    same_bits({k: v.detach() for k, v in leaves.items()}, start())
    assert not any(optimizer.state.values())


@every_rule
def test_sparse_gradients_are_refused(name):
    leaf = torch.zeros(4, requires_grad=True)
    leaf.grad = torch.ones(4).to_sparse()
    with pytest.raises(RuntimeError, match="dense"):
        optim.torch_optimizer(name)([leaf]).step()


@every_rule
def test_a_learning_rate_scheduler_of_torch_works(name):
    w, grads = start(), gradient_sequence(steps=6)
    leaves = leaves_of(w)
    optimizer = optim.torch_optimizer(name)(leaves.values(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (t + 1))
    points = []
    for grad in grads:
        points += by_optimizer(optimizer, leaves, [grad])
        scheduler.step()
    rule = optim.rule(name)
    reached, state = dict(w), rule.init(w)
    for t, grad in enumerate(grads, start=1):
        updates, state = rule.update(grad, state, reached, {"lr": 0.5 / t}, t)
        reached = {k: v + updates[k] for k, v in reached.items()}
        close(points[t - 1], reached)


# Lanes ----------------------------------------------------------------------------------------------------------------

L = 3
# The number of lanes is also the size of a first axis, of all axes, of the last one, and the number of coordinates.
LANE_SHAPES = {"square": (L, L), "cube": (L, L, L), "last": (2, L), "flat": (L,), "scalar": (), "column": (L, 1)}
ADAM = {"lr": [0.1, 3.0, 0.01], "beta1": [0.0, 0.9, 0.5], "beta2": [0.999, 0.0, 0.6], "eps": [1e-8, 0.1, 1e-3]}
LANE_VALUES = {
    "sgd": {"lr": [0.1, 3.0, 0.0]},
    "adagrad": {
        "lr": [0.1, 3.0, 0.01],
        "eps": [0.0, 1e-10, 0.5],
        "lr_decay": [0.0, 0.3, 2.0],
        "initial_accumulator_value": [0.0, 0.5, 7.0],
    },
    "adagrad_norm": {"lr": [0.1, 3.0, 0.01], "eps": [2.0, 1e-10, 0.5], "initial_accumulator_value": [0.0, 0.5, 7.0]},
    "adagrad_norm_by_rows": {
        "lr": [0.1, 3.0, 0.01],
        "eps": [0.0, 1e-10, 0.5],
        "initial_accumulator_value": [0.0, 0.5, 7.0],
    },
    "adam": ADAM,
    "adamw": {**ADAM, "weight_decay": [0.0, 0.3, 5.0]},
    "amsgrad": ADAM,
    "momentum": {"lr": [0.1, 3.0, 0.01], "momentum": [0.0, 0.9, 0.5], "dampening": [0.0, 0.3, 1.0]},
    "nesterov": {"lr": [0.1, 3.0, 0.01], "momentum": [0.0, 0.9, 0.5]},
    "rmsprop": {
        "lr": [0.1, 3.0, 0.01],
        "alpha": [0.0, 0.99, 0.5],
        "eps": [1e-8, 0.1, 1e-3],
        "momentum": [0.0, 0.9, 0.5],
    },
    "sign_sgd": {"lr": [0.1, 3.0, 0.0]},
    "adopt": ADAM,
    "generic_adam": {
        "lr": [0.1, 3.0, 0.01],
        "v_0": [0.0, 0.5, 7.0],
        "alpha.s": [0.0, 0.5, 1.0],
        "beta.at": [0.0, 0.9, 0.5],
        "theta.r": [0.0, 1.0, 0.3],
        "theta.c": [0.9, 0.1, 0.01],
    },
    "lion": {
        "lr": [0.1, 3.0, 0.01],
        "beta1": [0.0, 0.9, 0.5],
        "beta2": [0.999, 0.0, 0.6],
        "weight_decay": [0.0, 0.3, 5.0],
    },
}
LANED = [(name, (key,)) for name, values in LANE_VALUES.items() for key in values]
LANED += [(name, tuple(values)) for name, values in LANE_VALUES.items() if len(values) > 1]
laned = pytest.mark.parametrize(("name", "keys"), LANED, ids=["-".join((n, *k)) for n, k in LANED])
# float32: a lane and a separate call do the same operations in the same order, but for the reduction of a norm.
precisions = pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [(torch.float64, 1e-12, 1e-14), (torch.float32, 1e-6, 1e-7)], ids=["float64", "float32"]
)


def with_lanes(shapes, lanes):
    return {k: (lanes, *s) for k, s in shapes.items()}


def each_lane(rule, w, grads, hypers):
    """Every lane by itself, stacked: the trajectories of separate calls without lanes."""
    alone = [
        by_rule(rule, {k: v[i] for k, v in w.items()}, [{k: v[i] for k, v in g.items()} for g in grads], hyper)
        for i, hyper in enumerate(hypers)
    ]
    return [{k: torch.stack([point[k] for point in points]) for k in w} for points in zip(*alone, strict=True)]


def lanes_equal_separate_calls(rule, values, shapes, lanes, dtype, rtol, atol):
    w = start(with_lanes(shapes, lanes), dtype)
    grads = gradient_sequence(with_lanes(shapes, lanes), 8, dtype)
    hyper = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
    hypers = [{k: v[i] for k, v in values.items()} for i in range(lanes)]
    together = by_rule(rule, w, grads, hyper, lanes)
    for point, expected in zip(together, each_lane(rule, w, grads, hypers), strict=True):
        for k in expected:
            assert point[k].dtype == dtype
        close(point, expected, rtol, atol)


@laned
@precisions
def test_every_lane_equals_a_separate_call(name, keys, dtype, rtol, atol):
    assert set(LANE_VALUES[name]) == set(optim.rule(name).hyper())
    values = {key: LANE_VALUES[name][key] for key in keys}
    lanes_equal_separate_calls(optim.rule(name), values, LANE_SHAPES, L, dtype, rtol, atol)


@precisions
def test_lanes_of_a_centered_rmsprop(dtype, rtol, atol):
    rule = optim.rule("rmsprop", centered=True)
    lanes_equal_separate_calls(
        rule, LANE_VALUES["rmsprop"] | {"alpha": [0.2, 0.99, 0.5]}, LANE_SHAPES, L, dtype, rtol, atol
    )


@laned
@pytest.mark.parametrize("shape", [(L,), (L, L), (1,), ()], ids=str)
def test_every_lane_equals_a_separate_call_with_one_tensor(name, keys, shape):
    values = {key: LANE_VALUES[name][key] for key in keys}
    lanes_equal_separate_calls(optim.rule(name), values, {"": shape}, L, torch.float64, 1e-12, 1e-14)


@laned
@precisions
def test_a_single_lane_equals_a_call_without_lanes(name, keys, dtype, rtol, atol):
    for i in (0, 2):
        values = {key: LANE_VALUES[name][key][i : i + 1] for key in keys}
        lanes_equal_separate_calls(optim.rule(name), values, LANE_SHAPES, 1, dtype, rtol, atol)


@every_rule
@pytest.mark.parametrize("lanes", [1, 2, L])
def test_lanes_that_share_all_hyper_parameters_need_no_tensors(name, lanes):
    lanes_equal_separate_calls(optim.rule(name, lr=0.2), {}, LANE_SHAPES, lanes, torch.float64, 1e-12, 1e-14)


BY_ROWS = {"square": (L, 1), "cube": (L, 1, 1), "last": (2, 1), "flat": (L,), "scalar": (), "column": (L, 1)}


@every_rule
@pytest.mark.parametrize(("lanes", "own"), [(None, False), (1, False), (1, True), (L, False), (L, True)])
def test_state_has_the_lanes_first(name, lanes, own):
    """Whether or not the lanes have hyper-parameters of their own."""
    rule = optim.rule(name)
    w = start(LANE_SHAPES if lanes is None else with_lanes(LANE_SHAPES, lanes))
    hyper = {k: torch.tensor(v[:lanes], dtype=torch.float64) for k, v in LANE_VALUES[name].items()} if own else None
    state = rule.init(w, hyper, lanes)
    updates, after = rule.update(w, state, w, hyper, lanes=lanes)
    assert {k: u.shape for k, u in updates.items()} == {k: p.shape for k, p in w.items()}
    lead = () if lanes is None else (lanes,)
    for some in (state, after):
        assert some.keys() == ({""} if name == "adagrad_norm" else w.keys())
        for key, slots in some.items():
            for slot in slots.values():
                shapes = BY_ROWS if name == "adagrad_norm_by_rows" else LANE_SHAPES
                assert slot.shape == (lead if name == "adagrad_norm" else (*lead, *shapes[key]))
                assert slot.is_contiguous()


@every_rule
@pytest.mark.parametrize("lanes", [None, 1, L])
def test_nothing_is_changed_in_place(name, lanes):
    rule = optim.rule(name)
    shapes = LANE_SHAPES if lanes is None else with_lanes(LANE_SHAPES, lanes)
    w, (first, grad) = start(shapes), gradient_sequence(shapes, 2)
    values = {k: v[:lanes] for k, v in LANE_VALUES[name].items()} if lanes else {}
    hyper = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()} or None
    _, state = rule.update(first, rule.init(w, hyper, lanes), w, hyper, 1, lanes=lanes)
    before = copy.deepcopy((w, grad, state, hyper))
    updates, _ = rule.update(grad, state, w, hyper, 2, lanes=lanes)
    for key in updates:
        updates[key].add_(1.0)  # nor do the results share memory with the arguments
    for now, then in zip(
        (w, grad, *state.values(), hyper or {}), (*before[:2], *before[2].values(), before[3] or {}), strict=True
    ):
        same_bits(now, then)


@every_rule
@pytest.mark.parametrize("step", [0, -1])
def test_steps_count_from_one(name, step):
    rule, w = optim.rule(name), start()
    with pytest.raises(ValueError, match="counts from 1"):
        rule.update(w, rule.init(w), w, step=step)


@pytest.mark.parametrize("eps", [0.0, [0.0, 1e-8, 0.0]], ids=["number", "lanes"])
def test_adagrad_without_eps_leaves_a_coordinate_without_gradient_alone(eps):
    rule = optim.rule("adagrad", lr=0.5, eps=0.0)
    hyper = {"eps": torch.tensor(eps, dtype=torch.float64)} if isinstance(eps, list) else {"eps": eps}
    grad = torch.tensor([[0.0, 2.0], [0.0, 0.0], [-3.0, 0.0]], dtype=torch.float64)
    w = {"": torch.ones(3, 2, dtype=torch.float64)}
    updates, state = rule.update({"": grad}, rule.init(w, hyper, 3), w, hyper, 1, lanes=3)
    expected = -0.5 * torch.tensor([[0.0, 1.0], [0.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert torch.equal(updates[""], expected)
    updates, _ = rule.update({"": grad.flip(1)}, state, w, hyper, 2, lanes=3)
    assert torch.equal(updates[""], expected.flip(1))


EPS = [n for n in optim.names() if "eps" in optim.rule(n).hyper() and n != "adagrad_norm"]


@pytest.mark.parametrize("eps", [0.0, 1e-300, [0.0, 1e-300]], ids=["zero", "zero in float32", "lanes"])
@pytest.mark.parametrize("name", EPS)
def test_without_eps_a_coordinate_that_never_had_a_gradient_stays(name, eps):
    rule = optim.rule(name, lr=0.5, **({"centered": True} if name == "rmsprop" else {}))
    hyper = {"eps": torch.tensor(eps, dtype=torch.float64) if isinstance(eps, list) else eps}
    w = {"": torch.zeros(2, 3)}  # where decay does nothing
    state = rule.init(w, hyper, 2)
    for step in (1, 2, 3):
        updates, state = rule.update({"": torch.tensor([[0.0, 1.0, 2.0]] * 2)}, state, w, hyper, step, lanes=2)
        assert torch.equal(updates[""][:, 0], torch.zeros(2))
        assert torch.isfinite(updates[""]).all()
        if step > 1 or name != "adopt":  # whose first step only sets the second moment
            assert (updates[""][:, 1:] < 0).all()


@pytest.mark.parametrize("name", ["sign_sgd", "lion"])
def test_the_sign_of_not_a_number_is_not_zero(name):
    rule, w = optim.rule(name), {"": torch.ones(3)}
    grads = {"": torch.tensor([math.nan, 0.0, -2.0])}
    update = rule.update(grads, rule.init(w), w, {"lr": 0.5})[0][""]
    torch.testing.assert_close(update, torch.tensor([math.nan, 0.0, 0.5]), rtol=0, atol=0, equal_nan=True)


def test_a_centered_rmsprop_stays_finite_where_the_variance_rounds_below_zero():
    """A constant gradient: v_t - a_t^2 falls to the size of its rounding, and torch's root becomes not-a-number."""
    rule, w = optim.rule("rmsprop", centered=True, alpha=0.5, lr=1.0), {"": torch.zeros(1000)}
    grads = {"": torch.rand(1000, generator=torch.Generator().manual_seed(0))}
    state = rule.init(w)
    negative = False
    for step in range(1, 60):
        updates, state = rule.update(grads, state, w, step=step)
        negative |= bool((state[""]["mean_square"] < state[""]["mean"] ** 2).any())
        assert torch.isfinite(updates[""]).all()
    assert negative


@every_rule
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e-170, 1e200], ids=str)
def test_odd_gradients_mean_the_same_in_a_lane_as_alone(name, odd):
    """Not a number, or so small or large that its square is 0 or infinite."""
    rule = optim.rule(name)
    w = {"": torch.ones(2, 2, dtype=torch.float64)}
    grads = {"": torch.tensor([[odd, 1.0], [1.0, 1.0]], dtype=torch.float64)}
    values = {k: [1e-3, 2e-3] for k in ("lr", "eps") if k in rule.hyper()}
    hyper = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
    updates, _ = rule.update(grads, rule.init(w, hyper, 2), w, hyper, lanes=2)
    for lane in range(2):
        one, alone = {"": w[""][lane]}, {k: v[lane] for k, v in values.items()}
        expected, _ = rule.update({"": grads[""][lane]}, rule.init(one, alone), one, alone)
        torch.testing.assert_close(updates[""][lane], expected[""], rtol=1e-12, atol=0, equal_nan=True)


@pytest.mark.parametrize("lanes", [None, 1, 2])
def test_coefficients_come_from_float64(lanes):
    """1 - 0.999 in float32 is wrong in the fifth digit; so is 1 - 0.999^t."""
    rule = optim.rule("adam", lr=1.0, beta1=0.999, beta2=0.9999, eps=0.0)
    shape = (4,) if lanes is None else (lanes, 4)
    hyper = (
        None if lanes is None else {k: torch.full((lanes,), v, dtype=torch.float64) for k, v in rule.hyper().items()}
    )
    w, grads = {"": torch.zeros(shape)}, {"": torch.full(shape, 3.0)}
    state = rule.init(w, hyper, lanes)
    for step in (1, 2, 3):
        updates, state = rule.update(grads, state, w, hyper, step, lanes=lanes)
        assert state[""]["mean"].dtype == torch.float32
        share = {"mean": (1 - 0.999**step) * 3.0, "mean_square": (1 - 0.9999**step) * 9.0}
        for slot, expected in share.items():
            torch.testing.assert_close(
                state[""][slot].double(), torch.full(shape, expected).double(), rtol=5e-7, atol=0
            )
        torch.testing.assert_close(updates[""], torch.full(shape, -1.0), rtol=5e-7, atol=0)  # a constant gradient


# How rules are mapped, shown on rules made up for it ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByCoordinate(Rule):
    """-rate (g tanh(w) + s) / sqrt(t), s the sum of past |g| and a start value."""

    rate: float = setting(0.1, doc="", lane=True)
    begin: float = setting(1.0, doc="", lane=True)

    def coefficients(self, hyper, step):
        return {"rate": hyper["rate"] / math.sqrt(step)}

    def init_tensor(self, param, hyper):
        return {"past": torch.zeros_like(param) + hyper["begin"]}

    def update_tensor(self, grad, state, param, c, extra):
        return -c["rate"] * (grad * param.tanh() + state["past"]), {"past": state["past"] + grad.abs()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByTensor(Rule):
    """-rate g |w|_max / (begin + the largest gradient norm so far), tensor by tensor."""

    acts_on: ClassVar = "tensors"
    rate: float = setting(0.1, doc="", lane=True)
    begin: float = setting(1.0, doc="", lane=True)

    def coefficients(self, hyper, step):
        return {"rate": hyper["rate"] / math.sqrt(step)}

    def init_tensor(self, param, hyper):
        return {"peak": param.new_zeros(()) + hyper["begin"], "last": torch.zeros_like(param)}

    def update_tensor(self, grad, state, param, c, extra):
        peak = torch.maximum(state["peak"], grad.norm())
        return -c["rate"] * (grad + state["last"]) * param.abs().max() / peak, {"peak": peak, "last": grad}


class ByVector(ByTensor):
    acts_on: ClassVar = "vector"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatelessTensor(Rule):
    """-rate g / |g|."""

    acts_on: ClassVar = "tensors"
    rate: float = setting(0.1, doc="", lane=True)

    def update_tensor(self, grad, state, param, c, extra):
        return -c["rate"] * grad / grad.norm(), state


class StatelessVector(StatelessTensor):
    acts_on: ClassVar = "vector"


class StatelessCoordinate(StatelessTensor):
    acts_on: ClassVar = "coordinates"

    def update_tensor(self, grad, state, param, c, extra):
        return -c["rate"] * grad.sign(), state


TOYS = [ByCoordinate, ByTensor, ByVector, StatelessCoordinate, StatelessTensor, StatelessVector]
TOY_VALUES = {"rate": [0.1, 2.0, 0.5], "begin": [1.0, 0.1, 30.0]}


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("lanes", [1, L])
@pytest.mark.parametrize("keys", [(), ("rate",), ("begin",), ("rate", "begin")], ids=str)
@precisions
def test_rules_of_every_kind_are_mapped_over_lanes(toy, lanes, keys, dtype, rtol, atol):
    rule = toy()
    values = {k: TOY_VALUES[k][:lanes] for k in keys if k in rule.hyper()}
    shapes = {k: s for k, s in LANE_SHAPES.items() if k != "scalar"}
    lanes_equal_separate_calls(rule, values, shapes, lanes, dtype, 4 * rtol, 4 * atol)


def expected_toy(kind, w, grads, rate, begin):
    """ByTensor or ByVector in numpy."""
    w = {k: v.numpy().copy() for k, v in w.items()}
    if kind is ByVector:
        order = list(w)
        whole = {"": np.concatenate([w[k].ravel() for k in order])}
        flat = [{"": np.concatenate([g[k].numpy().ravel() for k in order])} for g in grads]
    else:
        whole, flat = w, [{k: v.numpy() for k, v in g.items()} for g in grads]
    peak, last = dict.fromkeys(whole, begin), {k: np.zeros_like(v) for k, v in whole.items()}
    for t, g in enumerate(flat, start=1):
        for k in whole:
            peak[k] = max(peak[k], np.linalg.norm(g[k].ravel()))
            whole[k] = whole[k] - rate / math.sqrt(t) * (g[k] + last[k]) * np.abs(whole[k]).max() / peak[k]
            last[k] = g[k]
    if kind is ByVector:
        ends = np.cumsum([v.size for v in w.values()])
        parts = np.split(whole[""], ends[:-1])
        return {k: part.reshape(v.shape) for part, (k, v) in zip(parts, w.items(), strict=True)}
    return whole


@pytest.mark.parametrize("toy", [ByTensor, ByVector])
def test_a_rule_sees_one_tensor_or_all(toy):
    w, grads = start(), gradient_sequence(steps=15)
    close(by_rule(toy(rate=0.3, begin=0.2), w, grads)[-1], expected_toy(toy, w, grads, 0.3, 0.2), rtol=1e-11)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watching(Rule):
    rate: float = setting(0.1, doc="", lane=True)
    begin: float = setting(0.0, doc="", lane=True)

    def update_tensor(self, grad: Tensor, state, param, c, extra):
        extra.append((tuple(grad.shape), {k: v if isinstance(v, float) else tuple(v.shape) for k, v in c.items()}))
        return torch.zeros_like(param), state


def test_a_rule_of_coordinates_is_called_once_for_all_lanes_with_columns():
    w = start(with_lanes(LANE_SHAPES, L))
    seen: list = []
    Watching().update(w, {k: {} for k in w}, w, {"rate": torch.ones(L, dtype=torch.float64)}, 1, seen, lanes=L)
    assert seen == [((L, *shape), {"rate": (L,) + (1,) * len(shape), "begin": 0.0}) for shape in LANE_SHAPES.values()]
