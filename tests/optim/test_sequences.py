"""Sequences of numbers by step, and the methods that are points of Generic Adam."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import optim
from experiments import components, config
from optim import sequence
from optim.settings import SettingError

SEQUENCES = {
    "constant": ({"at": 0.3}, lambda t: 0.3),
    "power": ({"s": 0.7}, lambda t: 1 / t**0.7),
    "towards_one": ({"r": 0.25, "c": 0.01}, lambda t: 1 - (0.01 + 0.99 * 0.25) / t**0.25),
    "bias_corrected": ({"b": 0.9}, lambda t: 0.9 * (1 - 0.9 ** (t - 1)) / (1 - 0.9**t)),
    "bias_correction": ({"b1": 0.9, "b2": 0.99}, lambda t: math.sqrt(1 - 0.99**t) / (1 - 0.9**t)),
    "geometric": ({"first": 0.9, "ratio": 0.5}, lambda t: 0.9 * 0.5**t),
    "weighted": ({"p": 1.5}, lambda t: sum(i**1.5 for i in range(1, t)) / sum(i**1.5 for i in range(1, t + 1))),
    "listed": ({"numbers": [0.1 * k for k in range(1, 60)]}, lambda t: 0.1 * t),
}
every = pytest.mark.parametrize("name", optim.sequence_names())


@every
def test_a_sequence_equals_its_formula_at_a_step_and_in_an_array(name):
    values, formula = SEQUENCES[name]
    made, steps = sequence(name, **values), np.arange(1, 51)
    expected = np.array([formula(int(t)) for t in steps])
    np.testing.assert_allclose(made.values(steps), expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(made.complements(steps), 1 - expected, rtol=1e-12, atol=1e-15)
    for t in (1, 2, 50):
        assert made.value(t, made.hyper()) == pytest.approx(expected[t - 1], rel=1e-13, abs=1e-15)


@every
def test_lanes_of_a_sequence_are_separate_numbers(name):
    values, _ = SEQUENCES[name]
    made = sequence(name, **values)
    for key, value in made.hyper().items():
        both = torch.tensor([value, value / 2], dtype=torch.float64)
        for part in (made.value, made.complement):
            found = torch.as_tensor(part(7, {**made.hyper(), key: both})).expand(2)
            alone = [float(part(7, {**made.hyper(), key: v})) for v in both.tolist()]
            torch.testing.assert_close(found, torch.tensor(alone, dtype=torch.float64), rtol=1e-14, atol=0)


def test_a_complement_keeps_its_digits_late_in_a_run():
    late = np.array([1e7])
    for made in (sequence("towards_one", r=1.0), sequence("weighted", p=0.0)):
        assert made.complements(late)[0] == pytest.approx(1e-7, rel=1e-12)
        assert abs((1 - made.values(late)[0]) / 1e-7 - 1) > 1e-11  # a difference has lost them


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 3.7, 30.0])
def test_weights_late_in_a_run_need_no_table(p):
    """Against sums with 18 digits, on both sides of where they are expanded; and far beyond what could be added up."""
    made, t = sequence("weighted", p=p), np.array([1, 2, 4095, 4096, 4097, 5000, 20_000])
    i = np.arange(1, 20_001, dtype=np.longdouble)
    shares = np.array([(i[k - 1] ** p / (i[:k] ** p).sum()) for k in t], dtype=float)
    np.testing.assert_allclose(made.complements(t), shares, rtol=2e-13)
    assert made.complements(np.array([1e15]))[0] == pytest.approx((p + 1) / 1e15, rel=1e-12)
    assert made.complement(3000, {}) > 0


def test_an_optimizer_with_sequences_is_saved_and_loaded_by_torch(tmp_path):
    leaf = torch.zeros(2, requires_grad=True)
    optimizer = optim.torch_optimizer("generic_adam")([leaf], theta=sequence("weighted", p=1.0))
    leaf.grad = torch.ones(2)
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    kept = torch.load(tmp_path / "state.pt", weights_only=True)  # noqa: TID251 - what its users do
    other = optim.torch_optimizer("generic_adam")([torch.zeros(2, requires_grad=True)])
    other.load_state_dict(kept)
    assert other.param_groups[0]["theta"] == sequence("weighted", p=1.0)


@pytest.mark.parametrize(
    ("name", "values", "orders"),
    [
        ("power", {"s": 0.3}, (0.3, None)),
        ("towards_one", {"r": 0.75}, (0.0, 0.75)),
        ("constant", {"at": 0.9}, (0.0, 0.0)),
        ("weighted", {"p": 2.0}, (0.0, 1.0)),
        ("bias_corrected", {"b": 0.9}, (0.0, 0.0)),
    ],
)
def test_exponents_are_those_of_the_numbers(name, values, orders):
    made, t = sequence(name, **values), np.array([1e6, 4e6])
    assert made.exponents() == orders
    for order, numbers in zip(orders, (made.values(t), made.complements(t)), strict=True):
        if order is not None:
            assert -math.log(numbers[1] / numbers[0]) / math.log(4) == pytest.approx(order, abs=1e-4)


def test_a_list_ends():
    made = sequence("listed", numbers=[0.1, 0.2])
    with pytest.raises(SettingError, match="the list has 2 numbers, and step 3 needs one too"):
        made.values(np.arange(1, 4))
    with pytest.raises(SettingError, match="numbers is empty"):
        sequence("listed")


# Points of Generic Adam -----------------------------------------------------------------------------------------------


def gradients(steps, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, 4)) * np.array([1e-3, 1.0, 1e2, 5.0])


def second_moments(rule, grads):
    """v_t at every step, (steps, 4)."""
    params = {"w": torch.zeros(4, dtype=torch.float64)}
    state, found = rule.init(params), []
    for t, g in enumerate(grads, start=1):
        _, state = rule.update({"w": torch.tensor(g)}, state, params, step=t)
        found.append(state["w"]["mean_square"].numpy().copy())
    return np.array(found)


@pytest.mark.parametrize("p", [0.0, 0.5, 2.0])
def test_weighted_adagrad(p):
    """v_t is (1/W_t) sum w_i g_i^2, over ten thousand steps."""
    grads = gradients(10_000)
    found = second_moments(optim.rule("generic_adam", theta=sequence("weighted", p=p), v_0=0.0), grads)
    weights = np.arange(1, 10_001, dtype=np.longdouble) ** p
    exact = np.cumsum(weights[:, None] * grads.astype(np.longdouble) ** 2, axis=0) / np.cumsum(weights)[:, None]
    np.testing.assert_allclose(found, exact.astype(float), rtol=1e-12)


def test_the_mean_of_squares_of_adafom():
    grads = gradients(10_000, seed=1)
    rule = optim.rule("generic_adam", theta=sequence("towards_one", r=1.0), v_0=5.0)  # theta_1 = 0 erases v_0
    exact = np.cumsum(grads.astype(np.longdouble) ** 2, axis=0) / np.arange(1, 10_001)[:, None]
    np.testing.assert_allclose(second_moments(rule, grads), exact.astype(float), rtol=1e-12)


@pytest.mark.parametrize("b", [0.9, 0.999])
def test_bias_correction_is_a_schedule(b):
    grads = gradients(10_000, seed=2)
    found = second_moments(optim.rule("generic_adam", theta=sequence("bias_corrected", b=b), v_0=0.0), grads)
    v, powers = np.zeros(4, dtype=np.longdouble), np.longdouble(1)
    exact = []
    for g in grads.astype(np.longdouble):
        v, powers = b * v + (1 - np.longdouble(b)) * g**2, powers * b
        exact.append(v / (1 - powers))
    np.testing.assert_allclose(found, np.array(exact, dtype=float), rtol=1e-12)


def test_geometric_weights_are_the_corrected_decay_and_a_constant_decay_keeps_v_0():
    """w_i = theta^-i gives theta (1 - theta^(t-1)) / (1 - theta^t); a constant one carries v_0 with weight theta^t."""
    grads, theta = gradients(60, seed=3), 0.8
    weights = theta ** -np.arange(1.0, 61.0)
    exact = np.cumsum(weights[:, None] * grads**2, axis=0) / np.cumsum(weights)[:, None]
    found = second_moments(optim.rule("generic_adam", theta=sequence("bias_corrected", b=theta), v_0=0.0), grads)
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    constant = optim.rule("generic_adam", theta=sequence("constant", at=theta), v_0=3.0)
    t = np.arange(1, 61)[:, None]
    np.testing.assert_allclose(second_moments(constant, grads), theta**t * 3.0 + (1 - theta**t) * exact, rtol=1e-12)


OWN_RULES = {
    "generic_adam/adam": ("adam", {"lr": 0.01, "eps": 0.0}),
    "generic_adam/amsgrad_corrected": ("amsgrad", {"lr": 0.01, "eps": 0.0}),
    "generic_adam/rmsprop": ("rmsprop", {"lr": 0.01, "eps": 0.0}),
    "generic_adam/adagrad": ("adagrad", {"lr": 0.01, "eps": 0.0}),
}


def point(words):
    """The rule that these words choose."""
    return config.request(["optimizer=" + words, "optimizer.lr=0.01"]).runs[0].experiment.optimizer


@pytest.mark.parametrize("name", sorted(OWN_RULES))
def test_a_named_point_equals_its_own_rule(name):
    own, values = OWN_RULES[name]
    same_trajectory(point(name), optim.rule(own, **values), steps=10_000)


def test_every_named_point_is_compared_with_something():
    folder = components.CONFIGS / "optimizer" / "generic_adam"
    named = {f"generic_adam/{path.stem}" for path in Path(folder).glob("*.yaml")}
    assert named == OWN_RULES.keys() | {f"generic_adam/{n}" for n in ("uncorrected", "amsgrad", "adafom", "adamnc")}


@pytest.mark.parametrize(
    ("name", "beta", "theta", "largest"),
    [
        ("uncorrected", lambda t: 0.9, lambda t: 0.999, False),
        ("amsgrad", lambda t: 0.9, lambda t: 0.999, True),
        ("adafom", lambda t: 0.9, lambda t: 1 - 1 / t, False),
        ("adamnc", lambda t: 0.9 * 0.999**t, lambda t: 1 - 1 / t, False),
    ],
)
def test_a_named_point_without_a_rule_equals_its_equations(name, beta, theta, largest):
    rule = point(f"generic_adam/{name}")
    grads = gradients(300, seed=4)
    w, m, v, top = np.zeros(4), np.zeros(4), np.full(4, rule.v_0), np.zeros(4)
    params = {"w": torch.zeros(4, dtype=torch.float64)}
    state = rule.init(params)
    for t, g in enumerate(grads, start=1):
        v = theta(t) * v + (1 - theta(t)) * g**2
        m = beta(t) * m + (1 - beta(t)) * g
        top = np.maximum(top, v)
        w = w - 0.01 / math.sqrt(t) * m / np.sqrt(top if largest else v)
        updates, state = rule.update({"w": torch.tensor(g)}, state, params, step=t)
        params = {"w": params["w"] + updates["w"]}
        np.testing.assert_allclose(params["w"].numpy(), w, rtol=1e-11)


def same_trajectory(first, second, steps):
    """The parameters of both after every step, to 1e-12 of the way that each coordinate has gone."""
    params = [{"w": torch.zeros(4, dtype=torch.float64)} for _ in range(2)]
    rules, gone = (first, second), torch.zeros(4, dtype=torch.float64)
    states = [rule.init(p) for rule, p in zip(rules, params, strict=True)]
    for t, g in enumerate(gradients(steps, seed=5), start=1):
        for k, rule in enumerate(rules):
            updates, states[k] = rule.update({"w": torch.tensor(g)}, states[k], params[k], step=t)
            params[k] = {"w": params[k]["w"] + updates["w"]}
        gone += updates["w"].abs()
        assert bool(((params[0]["w"] - params[1]["w"]).abs() <= 1e-12 * gone).all()), t


def test_adam_as_a_point_equals_torch():
    leaf = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    reference = torch.optim.Adam([leaf], lr=0.01, eps=0.0)
    rule, params = point("generic_adam/adam"), {"w": torch.zeros(4, dtype=torch.float64)}
    state = rule.init(params)
    for t, g in enumerate(gradients(1000, seed=6), start=1):
        updates, state = rule.update({"w": torch.tensor(g)}, state, params, step=t)
        params = {"w": params["w"] + updates["w"]}
        leaf.grad = torch.tensor(g)
        reference.step()
        torch.testing.assert_close(params["w"], leaf.detach(), rtol=1e-12, atol=1e-12)


# Bad numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["theta=constant"], "theta.at is not given (the number): give theta.at=..."),
        (["theta=constant", "theta.at=1"], "theta is 1 at step 1, and must be at least 0 and less than 1"),
        (["optimizer.theta.r=0.5"], "theta is a part of its own, so write theta.r=0.5, or choose one: theta=..."),
        (["theta=towards_one", "optimizer.theta.r=0.5"], "theta is a part of its own"),
        (["optimizer.theta=0.5"], "theta is a sequence, not 0.5: choose one, such as theta=constant theta.at=0.9"),
        (["optimizer=rmsprop", "alpha=constant", "alpha.at=0.9"], "the optimizer rmsprop has no alpha"),
        (["theta=constant", "theta.at=-0.1"], "theta is -0.1 at step 1"),
        (["beta=constant", "beta.at=1.5"], "beta is 1.5 at step 1"),
        (["alpha=constant", "alpha.at=-1"], "alpha is -1 at step 1, and must be finite and not negative"),
        (["theta=listed", "theta.numbers=[0.1,0.2,1.0,0.3]"], "theta is 1 at step 3"),
        (["theta=listed", "theta.numbers=[0.1]"], "theta: the list has 1 numbers, and step 4 needs one too"),
        (
            ["batch_size=full", "budget.steps=null", "budget.examples=2276", "theta=listed", "theta.numbers=[0.1,0.2]"],
            "theta: the list has 2 numbers, and step 4 needs one too",
        ),
        (["beta=listed", "beta.numbers=[0.1,0.2,0.3,0.4]", "lanes.beta.numbers=[1]"], "'lanes.beta.numbers'"),
        (["theta=towards_one", "theta.r=2"], "theta.r must be at most 1.0, not 2"),
        (["theta=towards_one", "theta.s=2"], "theta has no setting 's'"),
        (["lanes.theta.r=[]"], "lanes.theta.r must be a list of at least one value"),
        (["lanes.beta.at=[0.5,1.0]"], "beta is 1 at step 1"),
        (["theta=nothing"], "there is no theta 'nothing'"),
        (["optimizer=adam", "theta=constant"], "the optimizer adam has no theta"),
        (["optimizer=torch.optim.Adam", "alpha=power"], "the optimizer Adam has no alpha"),
    ],
)
def test_bad_numbers_are_refused_before_any_work(words, said):
    chosen = [] if any(word.startswith("optimizer=") for word in words) else ["optimizer=generic_adam"]
    with pytest.raises(SettingError) as caught:
        config.request([*chosen, "budget.steps=4", *words])
    assert said in str(caught.value)


@pytest.mark.parametrize("lanes", [None, 2])
def test_a_bad_number_late_in_a_run_is_named_with_its_step(lanes):
    rule = optim.rule("generic_adam", theta=sequence("geometric", first=0.5, ratio=1.0))
    shape = (3,) if lanes is None else (lanes, 3)
    params = {"w": torch.zeros(shape)}
    hyper = {"theta.first": 1.5 if lanes is None else torch.tensor([0.5, 1.5], dtype=torch.float64)}
    state = rule.init(params, hyper, lanes)
    with pytest.raises(SettingError, match=r"theta is 1.5 at step 9"):
        rule.update(params, state, params, hyper, 9, lanes=lanes)


def test_the_settings_of_a_sequence_are_in_the_identity_and_in_the_columns():
    one, other, third = (
        config.request(["optimizer=generic_adam", *words]).runs[0]
        for words in (["theta.r=0.5"], ["theta.r=0.25"], ["theta=weighted"])
    )
    assert one.experiment.key == other.experiment.key
    assert one.experiment.key != third.experiment.key
    assert len({one.id, other.id, third.id}) == 3
    assert one.columns()["theta.r"] == 0.5
    assert third.columns()["theta.p"] == 0.0
    assert third.columns()["theta"] == "Weighted"


def test_a_number_of_the_same_name_is_still_a_setting():
    """RMSProp's alpha is a number and a lane."""
    runs = config.request(["optimizer=rmsprop", "optimizer.alpha=0.5", "lanes.alpha=[0.5,0.9]"]).runs
    assert [run.hyper["alpha"] for run in runs] == [0.5, 0.9]
    assert config.request(["optimizer=rmsprop", "optimizer.alpha=0.5"]).runs[0].hyper["alpha"] == 0.5
