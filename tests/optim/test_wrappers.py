"""Wrappers against numpy transcriptions of what they do, around rules of several kinds, alone and by lane."""

import dataclasses
import itertools
import math
from typing import ClassVar

import numpy as np
import pytest
import torch

import optim
from optim.rule import Rule
from optim.settings import SettingError, setting
from optim.wrapped import Wrapped

SHAPES = {"matrix": (3, 4), "vector": (5,), "scalar": ()}
RULES = ["sgd", "adagrad", "adam", "adagrad_norm"]
L, STEPS = 3, 30
AROUND = {
    "coupled": [("weight_decay", {"strength": 0.3, "kind": "coupled"})],
    "decoupled": [("weight_decay", {"strength": 0.3, "kind": "decoupled"})],
    "momentum": [("momentum", {"momentum": 0.7, "dampening": 0.4})],
    "of-update": [("momentum", {"momentum": 0.7, "dampening": 0.4, "on": "update"})],
    "clip": [("clip_norm", {"max_norm": 0.8})],
    "box": [("box", {"lower": -0.5, "upper": 0.25})],
    "ball": [("ball", {"radius": 0.9})],
    "clip-momentum": [("clip_norm", {"max_norm": 0.8}), ("momentum", {"momentum": 0.7})],
    "momentum-clip": [("momentum", {"momentum": 0.7}), ("clip_norm", {"max_norm": 0.8})],
    "all": [
        ("weight_decay", {"strength": 0.3}),
        ("momentum", {"momentum": 0.7, "on": "update"}),
        ("clip_norm", {"max_norm": 0.8}),
        ("ball", {"radius": 0.9}),
        ("box", {"lower": -0.3, "upper": 0.25}),
    ],
}
# For every lane setting one value a lane.
LANED = {
    "lr": [0.1, 0.5, 0.02],
    "strength": [0.0, 0.3, 2.0],
    "momentum": [0.0, 0.9, 0.5],
    "dampening": [0.0, 0.3, 1.0],
    "max_norm": [0.1, 1e9, 1.5],
    "lower": [-0.5, -1e9, 0.1],
    "upper": [0.25, -0.1, 1e300],
    "radius": [0.9, 1e-3, 1e9],
}


def tensors(seed, lead=(), dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    return {k: torch.randn((*lead, *s), generator=source, dtype=torch.float64).to(dtype) for k, s in SHAPES.items()}


def wrapped(rule, around, **values):
    return Wrapped(optim.rule(rule, **values), {name: optim.wrapper(name, **given) for name, given in around})


def flat(values):
    return np.concatenate([v.numpy().ravel() for v in values.values()])


def of_rule(name, lr):
    """The rule on one flat vector in numpy, as a function of the gradient: its update."""
    memory = {"v": 0.0, "m": 0.0, "t": 0}

    def update(g):
        memory["t"] += 1
        t = memory["t"]
        if name == "sgd":
            return -lr * g
        if name == "adagrad":
            memory["v"] = memory["v"] + g**2
            return -lr * g / (np.sqrt(memory["v"]) + 1e-10)
        if name == "adagrad_norm":
            memory["v"] += float(g @ g)
            return -lr * g / (math.sqrt(memory["v"]) + 1e-10)
        memory["m"] = 0.9 * memory["m"] + 0.1 * g
        memory["v"] = 0.999 * memory["v"] + 0.001 * g**2
        return -lr * memory["m"] / (1 - 0.9**t) / (np.sqrt(memory["v"] / (1 - 0.999**t)) + 1e-8)

    return update


def transcription(rule, around, w, grads, lr):
    """Points after every step, flat, by the sentences in the docstrings of the wrappers."""
    step, w, points = of_rule(rule, lr), flat(w), []
    velocity = {}

    def accumulate(name, s, x, t):
        velocity[name] = x if t == 1 else s["momentum"] * velocity[name] + (1 - s.get("dampening", 0.0)) * x
        return velocity[name]

    for t, g in enumerate(map(flat, grads), start=1):
        for name, s in around:
            if name == "weight_decay" and s.get("kind") == "coupled":
                g = g + s["strength"] * w
            elif name == "momentum" and s.get("on") != "update":
                g = accumulate(name, s, g, t)
            elif name == "clip_norm":
                g = g * min(1.0, s["max_norm"] / math.sqrt(float(g @ g)))
        u = step(g)
        for name, s in around:
            if name == "weight_decay" and s.get("kind") != "coupled":
                u = u - lr * s["strength"] * w
            elif name == "momentum" and s.get("on") == "update":
                u = accumulate(name, s, u, t)
        w = w + u
        for name, s in around:
            if name == "box":
                w = np.minimum(np.maximum(w, s["lower"]), s["upper"])
            elif name == "ball":
                w = w * min(1.0, s["radius"] / math.sqrt(float(w @ w)))
        points.append(w)
    return points


def trajectory(made, w, grads, hyper=None, lanes=None):
    w, points = dict(w), []
    state = made.init(w, hyper, lanes)
    for t, grad in enumerate(grads, start=1):
        updates, state = made.update(grad, state, w, hyper, t, lanes=lanes)
        w = made.project({k: w[k] + updates[k] for k in w}, hyper, lanes)
        points.append(w)
    return points


every_rule = pytest.mark.parametrize("rule", RULES)
every_way = pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)


@every_rule
@every_way
def test_a_wrapped_rule_equals_its_transcription(rule, around):
    w, grads = tensors(0), [tensors(t) for t in range(1, STEPS + 1)]
    points = trajectory(wrapped(rule, around, lr=0.2), w, grads)
    for point, expected in zip(points, transcription(rule, around, w, grads, 0.2), strict=True):
        np.testing.assert_allclose(flat(point), expected, rtol=1e-12, atol=1e-14)
        assert {k: v.shape for k, v in point.items()} == {k: v.shape for k, v in w.items()}


@every_rule
@every_way
@pytest.mark.parametrize("whole", [False, True], ids=["named", "flat"])
@pytest.mark.parametrize("lanes", [1, L])
def test_every_lane_equals_its_transcription(rule, around, whole, lanes):
    """With hyper-parameters of its own; as named tensors, and as one tensor, as the engine lays a model out."""
    made = wrapped(rule, around)
    w, grads = tensors(0, (lanes,)), [tensors(t, (lanes,)) for t in range(1, 9)]
    values = {k: LANED[k.rpartition(".")[2]][:lanes] for k in made.hyper() if k.rpartition(".")[2] in LANED}
    hyper = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}

    def laid_out(named):
        return {"": torch.cat([v.reshape(lanes, -1) for v in named.values()], dim=1)} if whole else named

    points = trajectory(made, laid_out(w), [laid_out(g) for g in grads], hyper, lanes)
    for lane in range(lanes):
        own = [
            (name, {**given, **{k: v[lane] for k, v in LANED.items() if f"wrapper.{name}.{k}" in hyper}})
            for name, given in around
        ]
        alone = [{k: v[lane] for k, v in g.items()} for g in grads]
        expected = transcription(rule, own, {k: v[lane] for k, v in w.items()}, alone, values["lr"][lane])
        for point, reference in zip(points, expected, strict=True):
            np.testing.assert_allclose(flat({k: v[lane] for k, v in point.items()}), reference, rtol=1e-12, atol=1e-14)


@every_rule
@every_way
@pytest.mark.parametrize("lanes", [None, 1, L])
def test_nothing_is_changed_in_place_and_float32_stays(rule, around, lanes):
    made, lead = wrapped(rule, around), () if lanes is None else (lanes,)
    w, grad = tensors(0, lead, torch.float32), tensors(1, lead, torch.float32)
    state = made.update(grad, made.init(w, lanes=lanes), w, lanes=lanes)[1]
    arguments = [w, grad, *state.values()]
    before = [{k: v.clone() for k, v in some.items()} for some in arguments]
    updates, new = made.update(grad, state, w, {"lr": 0.3}, 2, lanes=lanes)
    after = made.project({k: w[k] + updates[k] for k in w}, lanes=lanes)
    for some in (updates, after, *new.values()):
        assert all(v.dtype == torch.float32 for v in some.values())
    assert {k: v.keys() for k, v in new.items()} == {k: v.keys() for k, v in state.items()}
    for update in updates.values():
        update.add_(1.0)
    for now, then in zip(arguments, before, strict=True):
        assert all(torch.equal(now[k], then[k]) for k in then)


@every_rule
@every_way
def test_the_state_survives_the_names_of_a_checkpoint(rule, around):
    """The engine joins tensor and slot by "/" and splits at the last one."""
    made, lead = wrapped(rule, around), (L,)
    w, grads = tensors(0, lead), [tensors(t, lead) for t in range(1, 5)]
    state = made.update(grads[0], made.init(w, lanes=L), w, step=1, lanes=L)[1]
    kept = {f"{name}/{slot}": t for name, slots in state.items() for slot, t in slots.items()}
    resumed = made.init(w, lanes=L)
    assert sum(len(slots) for slots in resumed.values()) == len(kept)
    for key, value in kept.items():
        name, _, slot = key.rpartition("/")
        assert slot in resumed[name]
        resumed[name][slot] = value
    expected, _ = made.update(grads[1], state, w, step=2, lanes=L)
    updates, _ = made.update(grads[1], resumed, w, step=2, lanes=L)
    assert all(torch.equal(updates[k], expected[k]) for k in expected)


# What is particular to some -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "reference"), [("coupled", torch.optim.Adam), ("decoupled", torch.optim.AdamW)])
def test_weight_decay_equals_torch(kind, reference):
    w, grads = tensors(0), [tensors(t) for t in range(1, STEPS + 1)]
    leaves = {k: v.clone().requires_grad_() for k, v in w.items()}
    optimizer = reference(leaves.values(), lr=0.05, weight_decay=0.4)
    points = trajectory(wrapped("adam", [("weight_decay", {"strength": 0.4, "kind": kind})], lr=0.05), w, grads)
    for grad, point in zip(grads, points, strict=True):
        for k, leaf in leaves.items():
            leaf.grad = grad[k].clone()
        optimizer.step()
        np.testing.assert_allclose(flat(point), flat({k: v.detach() for k, v in leaves.items()}), rtol=1e-12)


def test_momentum_around_sgd_is_the_rule_momentum_to_the_bit():
    w, grads = tensors(0), [tensors(t) for t in range(1, STEPS + 1)]
    made = wrapped("sgd", [("momentum", {"momentum": 0.7, "dampening": 0.4})], lr=0.1)
    rule = optim.rule("momentum", lr=0.1, momentum=0.7, dampening=0.4)
    expected = trajectory(Wrapped(rule, {}), w, grads)
    for point, reference in zip(trajectory(made, w, grads), expected, strict=True):
        assert all(torch.equal(point[k], reference[k]) for k in w)


def test_a_rule_without_wrappers_is_the_rule():
    made = Wrapped(optim.rule("adam", lr=0.2), {})
    w, grad = tensors(0), tensors(1)
    assert made.hyper() == made.rule.hyper()
    assert (made.acts_on, made.projects, made.still_without_gradient) == ("coordinates", False, False)
    updates, state = made.update(grad, made.init(w), w)
    expected, of_rule_alone = made.rule.update(grad, made.rule.init(w), w)
    assert all(torch.equal(updates[k], expected[k]) for k in w)
    assert {k: v.keys() for k, v in state.items()} == {k: v.keys() for k, v in of_rule_alone.items()}


@pytest.mark.parametrize("lanes", [None, 1, L])
def test_a_zero_gradient_stays_zero_and_a_small_one_as_it_is(lanes):
    made, lead = wrapped("sgd", [("clip_norm", {"max_norm": 1e-3})], lr=1.0), () if lanes is None else (lanes,)
    w = {"": torch.ones(*lead, 4)}
    for grad in (torch.zeros(*lead, 4), torch.full((*lead, 4), 1e-5), torch.full((*lead, 4), 1e-30)):
        updates, _ = made.update({"": grad}, made.init(w, lanes=lanes), w, lanes=lanes)
        assert torch.equal(updates[""], -grad)


def test_norms_do_not_overflow_in_float32():
    w, big = {"": torch.zeros(4)}, {"": torch.full((4,), 1e30)}
    clipped = wrapped("sgd", [("clip_norm", {"max_norm": 2.0})], lr=1.0)
    torch.testing.assert_close(clipped.update(big, clipped.init(w), w)[0][""], torch.full((4,), -1.0))
    torch.testing.assert_close(wrapped("sgd", [("ball", {"radius": 2.0})]).project(big)[""], torch.full((4,), 1.0))
    assert torch.equal(wrapped("sgd", [("ball", {})]).project(w)[""], w[""])


@pytest.mark.parametrize("lanes", [None, 1, L])
def test_a_box_is_met_exactly_and_not_a_number_stays(lanes):
    lead = () if lanes is None else (lanes,)
    made = wrapped("sgd", [("box", {"lower": -0.1, "upper": 1e300})])
    point = {"": torch.tensor([-5.0, 5.0, math.nan, -math.inf]).expand(*lead, 4)}
    expected = torch.tensor([-0.1, 5.0, math.nan, -0.1]).expand(*lead, 4)
    torch.testing.assert_close(made.project(point, lanes=lanes)[""], expected, rtol=0, atol=0, equal_nan=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByTensor(Rule):
    """-lr g / |g|, tensor by tensor."""

    acts_on: ClassVar = "tensors"
    lr: float = setting(0.1, doc="", lane=True)

    def update_tensor(self, grad, state, param, c, extra):
        return -c["lr"] * grad / grad.norm(), state


@pytest.mark.parametrize("lanes", [None, 1, L])
def test_around_a_rule_of_tensors(lanes):
    lead = () if lanes is None else (lanes,)
    made = Wrapped(ByTensor(lr=0.5), {"clip_norm": optim.wrapper("clip_norm"), "ball": optim.wrapper("ball")})
    assert made.acts_on == "tensors"
    w, grad = tensors(0, lead), tensors(1, lead)
    points = trajectory(made, w, [grad], lanes=lanes)[0]
    for lane in range(lanes or 1):
        at = ... if lanes is None else lane
        moved = {k: w[k][at] - 0.5 * grad[k][at] / grad[k][at].norm() for k in w}
        expected = flat(moved) * min(1.0, 1.0 / np.linalg.norm(flat(moved)))
        np.testing.assert_allclose(flat({k: v[at] for k, v in points.items()}), expected, rtol=1e-12)


def test_a_wrapped_rule_says_what_its_parts_say():
    made = wrapped("adagrad", [("clip_norm", {})])
    assert (made.acts_on, made.still_without_gradient, made.projects) == ("vector", True, False)
    made = wrapped("adagrad", [("box", {}), ("weight_decay", {"strength": 0.5})], lr=2.0)
    assert (made.acts_on, made.still_without_gradient, made.projects) == ("coordinates", False, True)
    assert made.hyper() == {
        "lr": 2.0, "eps": 1e-10, "lr_decay": 0.0, "initial_accumulator_value": 0.0,
        "wrapper.box.lower": -1.0, "wrapper.box.upper": 1.0, "wrapper.weight_decay.strength": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("clip", {}, "there is no wrapper 'clip': did you mean 'clip_norm'?"),
        ("clip_norm", {"max_norm": 0}, "clip_norm.max_norm must be greater than 0.0, not 0.0"),
        ("ball", {"radius": -1}, "ball.radius must be greater than 0.0, not -1.0"),
        ("box", {"lower": 1, "upper": 1}, "box: lower=1 must be less than upper=1"),
        ("box", {"lower": 2}, "box: lower=2 must be less than upper=1"),
        ("weight_decay", {"kind": "l2"}, "weight_decay.kind=l2 is not one of coupled, decoupled: choose from"),
        ("weight_decay", {"strength": -0.1}, "weight_decay.strength must be at least 0.0, not -0.1"),
        ("momentum", {"momentum": 1.5}, "momentum.momentum must be at most 1.0, not 1.5"),
        ("momentum", {"beta": 0.5}, "momentum has no setting 'beta' (momentum.beta): choose from: dampening, mom"),
    ],
)  # fmt: skip
def test_wrappers_that_cannot_be_made(name, values, message):
    with pytest.raises(SettingError) as refused:
        optim.wrapper(name, **values)
    assert str(refused.value).startswith(message)


def test_a_wrapper_has_a_plain_name():
    for name in ("a.b", "a/b", ""):
        with pytest.raises(SettingError, match="plain word"):
            Wrapped(optim.rule("sgd"), {name: optim.wrapper("box")})


def test_the_order_of_the_list_matters():
    """A projection onto a ball and then a box is not one onto a box and then a ball."""
    point = {"": torch.tensor([3.0, 0.4], dtype=torch.float64)}
    parts = [("ball", {"radius": 1.0}), ("box", {"lower": -0.5, "upper": 0.5})]
    found = [wrapped("sgd", order).project(point)[""].numpy() for order in itertools.permutations(parts)]
    norm = math.hypot(3.0, 0.4)
    np.testing.assert_allclose(found[0], [0.5, 0.4 / norm], rtol=1e-15)
    np.testing.assert_allclose(found[1], [0.5, 0.4], rtol=1e-15)
