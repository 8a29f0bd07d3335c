"""Batch-size rules that look at gradients, against plain transcriptions of their equations and by brute force."""

import itertools
import json
import math

import numpy as np
import pytest

from experiments import config
from optim import catalogue, settings
from optim.batch_size import Context
from optim.settings import SettingError

N = 5000
PARAMETERS = {
    "norm_test": {"eta": 0.3},
    "inner_product": {"theta": 0.4},
    "orthogonality": {"nu": 0.7},
    "augmented_inner_product": {"theta": 0.4, "nu": 0.7},
    "coordinate_norm_test": {"eta": 0.6},
    "cabs": {},
    "big_batch": {"increment": 0.3},
    "noise_scale": {"multiple": 1.7},
}
ADAPTIVE = sorted(PARAMETERS)
every_rule = pytest.mark.parametrize("name", ADAPTIVE)


def make(name, **values):
    return settings.build(catalogue.find("optim.batch_sizes", name, "batch_size"), values, "batch_size")


def context(**values):
    return Context(**{
        "step": 1, "examples": 0, "share": 0.0, "size": 0, "learning_rate": (0.1,), "loss": None, "data_size": N,
    } | values)  # fmt: skip


def run(rule, batches, data_size=N, visit=lambda state: state):
    """The sizes and notes of a run, as the engine keeps them.

    batches: what is true of the batch of each step, or a function of its size. visit: sees the state between steps.
    """
    state, size, seen, found, loss, sizes, notes = rule.init(), 0, 0, {}, None, [], []
    for step, batch in enumerate(batches, start=1):
        rate = (batch(size or 1) if callable(batch) else batch).get("lr", 0.1)
        at = context(
            step=step, examples=seen, size=size, statistics=found, loss=loss, learning_rate=(rate,), data_size=data_size
        )
        size, state, note = rule.next(state, at)
        assert type(size) is int
        state = visit(state)
        true = batch(size) if callable(batch) else batch
        found = {name: true[name] for name in rule.needs(step, state)}
        loss = (true.get("loss", 1.0),)
        seen += size
        sizes.append(size)
        notes.append(note)
    return sizes, notes


def random_batches(seed, steps=60):
    """Statistics over orders of magnitude; the signal falls along the run, so that batches grow for long."""
    source = np.random.default_rng(seed)
    batches = []
    for t in range(steps):
        norm = 10 ** (source.uniform(-1, 0.5) - 2.5 * t / steps)
        trace = 10 ** source.uniform(-0.3, 0.7)
        share = source.uniform(0, 1)
        batches.append({
            "gradient_norm_squared": norm,
            "variance_trace": trace,
            "inner_product_variance": share * trace * norm,
            "orthogonal_variance": (1 - share) * trace,
            "largest_coordinate_ratio": trace / norm * source.uniform(1, 3),
            "median_coordinate_ratio": 0.5,
            "coordinate_ratio_90": 0.9,
            "coordinate_ratio_99": 0.99,
            "loss": source.uniform(0.001, 0.1),
            "lr": source.uniform(0.01, 0.5),
        })  # fmt: skip
    return batches


# The equations, written down once more --------------------------------------------------------------------------------


def averaged(values, beta):
    """The exponential average with bias correction, as the weighted sum that it is."""
    weights = [beta ** (len(values) - 1 - k) for k in range(len(values))]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def transcribed(name, batches, size=4, cap=None, interval=1, finite=False, unbiased=False, betas=(0.0, 0.0), limit=None,
                decrease=False, **own):  # fmt: skip
    """Sizes by the table of section 1 of arXiv 2402.11215's page, with its options, by the history of all tests."""
    own = PARAMETERS[name] | own
    sizes, history = [size], []
    cap = N if cap is None else cap
    for t, true in enumerate(batches[:-1], start=1):
        b = sizes[-1]
        if t % interval or (b >= cap and not decrease):
            sizes.append(b)
            continue
        shrink = 1 / b - 1 / N if finite else 1 / b
        norm = true["gradient_norm_squared"]
        if unbiased or name == "noise_scale":
            norm -= max(0.0, shrink) * true["variance_trace"]
        history.append((norm, true))

        def top(key, history=history):
            return averaged([x[key] for _, x in history], betas[0])

        n = averaged([x for x, _ in history], betas[1])
        ratio = true["largest_coordinate_ratio"]
        silent = (unbiased and (1 - ratio * max(0.0, shrink) if name == "coordinate_norm_test" else n) <= 0) or (
            name == "noise_scale" and n <= 0
        )
        if silent:
            sizes.append(b)
            continue
        if name in ("norm_test", "big_batch"):
            q = top("variance_trace") / (own.get("eta", 1.0) ** 2 * n)
        elif name == "inner_product":
            q = top("inner_product_variance") / (own["theta"] ** 2 * n**2)
        elif name == "orthogonality":
            q = top("orthogonal_variance") / (own["nu"] ** 2 * n)
        elif name == "augmented_inner_product":
            q = top("inner_product_variance") / (own["theta"] ** 2 * n**2)
            q = max(q, top("orthogonal_variance") / (own["nu"] ** 2 * n))
        elif name == "coordinate_norm_test":
            q = ratio / own["eta"] ** 2 / (1 - ratio * max(0.0, shrink) if unbiased else 1)
        elif name == "cabs":
            q = batches[t]["lr"] * top("variance_trace") / averaged([x["loss"] for _, x in history], betas[1])
        else:
            q = own["multiple"] * top("variance_trace") / n
        q = q / (1 + q / N) if finite else q
        if name == "big_batch":
            q = b + math.ceil(own["increment"] * b) if b <= q else b
        new = math.ceil(q)
        new = max(new, size) if decrease else max(new, b)
        if limit is not None:
            new = min(new, max(b + 1, math.floor(limit * b)))
        sizes.append(min(new, cap))
    return sizes


OPTIONS = [
    {},
    {"cap": 300},
    {"test_interval": 4},
    {"finite_population": True},
    {"unbiased": True},
    {"unbiased": True, "finite_population": True},
    {"smooth_numerator": 0.9},
    {"smooth_denominator": 0.7},
    {"unbiased": True, "smooth_numerator": 0.9, "smooth_denominator": 0.95},
    {"growth_limit": 1.2},
    {"allow_decrease": True},
    {"allow_decrease": True, "cap": 150, "growth_limit": 2.5, "test_interval": 3, "smooth_denominator": 0.5},
]
CALLED = {"test_interval": "interval", "finite_population": "finite", "growth_limit": "limit"}


def offered(name, option):
    """Whether a rule has the option."""
    fine = "unbiased" not in option or name not in ("cabs", "noise_scale")
    fine &= not any(key.startswith("smooth") for key in option) or name != "coordinate_norm_test"
    return fine and ("allow_decrease" not in option or name != "big_batch")


CASES = [(name, option) for name in ADAPTIVE for option in OPTIONS if offered(name, option)]


@pytest.mark.parametrize(("name", "option"), CASES, ids=str)
def test_every_rule_equals_its_equations(name, option):
    distinct = set()
    for seed in range(12):
        batches = random_batches(seed)
        decrease = {"decrease": option.get("allow_decrease", name == "cabs")}
        betas = {"betas": (option.get("smooth_numerator", 0.0), option.get("smooth_denominator", 0.0))}
        rest = {CALLED.get(k, k): v for k, v in option.items() if "smooth" not in k and k != "allow_decrease"}
        expected = transcribed(name, batches, **rest, **decrease, **betas)
        rule = make(name, size=4, **PARAMETERS[name], **option)
        sizes, notes = run(rule, batches)
        assert sizes == expected
        moved = [k for k in range(1, len(sizes)) if sizes[k] != sizes[k - 1]]
        assert all(notes[k].startswith(f"batch size {sizes[k - 1]} to {sizes[k]}") for k in moved)
        assert notes[0] == "batch size 4 at first"
        distinct |= set(sizes)
    assert len(distinct) > 3  # the sequences do move


@pytest.mark.parametrize(("name", "option"), CASES, ids=str)
def test_a_state_kept_as_json_changes_nothing(name, option):
    rule, batches = make(name, size=4, **PARAMETERS[name], **option), random_batches(77)
    assert run(rule, batches, visit=lambda s: json.loads(json.dumps(s, allow_nan=False))) == run(rule, batches)


@every_rule
def test_a_rule_leaves_the_state_it_is_given(name):
    def frozen(state, seen=[]):  # noqa: B006 (kept between calls)
        assert all(json.dumps(old) == text for old, text in seen)
        seen.append((state, json.dumps(state)))
        return state

    smooth = {} if name == "coordinate_norm_test" else {"smooth_numerator": 0.5, "smooth_denominator": 0.5}
    run(make(name, size=4, **PARAMETERS[name], **smooth), random_batches(3), visit=frozen)


# What is measured, and when -------------------------------------------------------------------------------------------


NEEDED = {
    "norm_test": {"variance_trace", "gradient_norm_squared"},
    "inner_product": {"inner_product_variance", "gradient_norm_squared"},
    "orthogonality": {"orthogonal_variance", "gradient_norm_squared"},
    "augmented_inner_product": {"inner_product_variance", "orthogonal_variance", "gradient_norm_squared"},
    "coordinate_norm_test": {
        "largest_coordinate_ratio", "median_coordinate_ratio", "coordinate_ratio_90", "coordinate_ratio_99",
        "variance_trace", "gradient_norm_squared",
    },
    "cabs": {"variance_trace"},
    "big_batch": {"variance_trace", "gradient_norm_squared"},
    "noise_scale": {"variance_trace", "gradient_norm_squared"},
}  # fmt: skip


@every_rule
def test_nothing_is_measured_but_what_a_test_needs(name):
    rule = make(name, size=4, test_interval=3)
    assert (rule.shared, rule.whole, rule.constant(N)) == (False, False, None)
    assert set(rule.statistics()) == NEEDED[name]
    for step in range(1, 13):
        assert set(rule.needs(step)) == (NEEDED[name] if step in (3, 6, 9, 12) else set())
    if offered(name, {"unbiased": True}) and name != "coordinate_norm_test":
        assert set(make(name, unbiased=True).statistics()) == NEEDED[name] | {"variance_trace"}


@every_rule
def test_testing_stops_at_the_cap(name):
    """Unless the size may fall again."""
    for decrease in (False, True):
        if decrease and name == "big_batch":
            continue
        rule = make(name, size=4, cap=9, allow_decrease=decrease)
        growing = {"gradient_norm_squared": 100.0, "variance_trace": 380.0, "loss": 1e-3, "lr": 1.0} | {
            "inner_product_variance": 1e9, "orthogonal_variance": 1e9, "largest_coordinate_ratio": 1e9,
        }  # fmt: skip
        growing |= dict.fromkeys(("median_coordinate_ratio", "coordinate_ratio_90", "coordinate_ratio_99"), 1.0)
        if name == "big_batch":
            growing["gradient_norm_squared"] = 1.0
        states = []
        sizes, notes = run(rule, [growing] * 10, visit=lambda s, kept=states: kept.append(s) or s)
        assert max(sizes) == sizes[-1] == 9
        at_cap = sizes.index(9)
        assert notes[at_cap].startswith(f"batch size {sizes[at_cap - 1]} to 9 (the cap): asked for ")
        for t, state in enumerate(states, start=1):
            assert set(rule.needs(t, state)) == (NEEDED[name] if decrease or t <= at_cap else set())
    started_there = make("norm_test", size=9, cap=9)
    assert started_there.needs(1, started_there.next(started_there.init(), context())[1]) == ()


# Exact relations (section 1 of the page) ------------------------------------------------------------------------------


def statistics_of(gradients):
    """Of per-example gradients (b, d), by their definitions."""
    mean, b = gradients.mean(axis=0), len(gradients)
    s = gradients @ mean
    squared = mean @ mean
    orthogonal = gradients - np.outer(s / squared, mean)
    by_coordinate = gradients.var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(by_coordinate == 0, 0.0, by_coordinate / mean**2)
        median, *upper = np.quantile(ratios, [0.5, 0.9, 0.99])
    found = {
        "gradient_norm_squared": squared,
        "variance_trace": ((gradients - mean) ** 2).sum() / (b - 1),
        "inner_product_variance": ((s - squared) ** 2).sum() / (b - 1),
        "orthogonal_variance": (orthogonal**2).sum() / (b - 1),
        "largest_coordinate_ratio": ratios.max(),
        "median_coordinate_ratio": median,
        "coordinate_ratio_90": upper[0],
        "coordinate_ratio_99": upper[1],
    }
    return {name: float(value) for name, value in found.items()}


def asked(rule, gradients, data_size=10**12):
    """The next size of a rule that may shrink to 2, after a batch with these gradients."""
    state = rule.next(rule.init(), context(data_size=data_size))[1]
    found = statistics_of(gradients)
    at = context(step=2, size=len(gradients), statistics=found, loss=(1.0,), data_size=data_size)
    return rule.next(state, at)[0]


@pytest.mark.parametrize("seed", range(40))
def test_exact_relations_between_the_tests(seed):
    source = np.random.default_rng(seed)
    b, d = int(source.integers(2, 40)), int(source.integers(1, 9))
    scales = 10 ** source.uniform(-1, 1, d)
    gradients = source.normal(size=(b, d)) * scales + source.normal(size=d) * 10 ** source.uniform(-1, 1)
    found, mean = statistics_of(gradients), gradients.mean(axis=0)
    squared, covariance = mean @ mean, np.atleast_2d(np.cov(gradients.T))
    rest = found["variance_trace"] - found["inner_product_variance"] / squared
    assert found["orthogonal_variance"] == pytest.approx(rest, rel=1e-9, abs=1e-9 * found["variance_trace"])
    for tolerance in (0.1, 0.37, 1.0):
        rules = {"norm_test": {"eta": tolerance}, "coordinate_norm_test": {"eta": tolerance}}
        rules |= {"inner_product": {"theta": tolerance}, "orthogonality": {"nu": tolerance}}
        rules |= {"augmented_inner_product": {"theta": tolerance, "nu": tolerance}}
        size = {name: asked(make(name, size=2, **own), gradients) for name, own in rules.items()}
        assert size["inner_product"] <= size["norm_test"] <= size["coordinate_norm_test"]
        assert size["augmented_inner_product"] == max(size["inner_product"], size["orthogonality"])
        along = mean @ covariance @ mean / (tolerance**2 * squared**2)
        assert size["inner_product"] == max(2, math.ceil(along))
        assert size["norm_test"] == max(2, math.ceil(np.trace(covariance) / (tolerance**2 * squared)))
        worst = max(math.ceil(v / (tolerance**2 * m**2)) for v, m in zip(np.diag(covariance), mean, strict=True))
        assert size["coordinate_norm_test"] == max(2, worst)
        # the population's inequality is enforced at the size that is asked for, and not at one less
        if size["norm_test"] > 2:
            enough = [np.trace(covariance) / n <= tolerance**2 * squared for n in np.array([-1, 0]) + size["norm_test"]]
            assert enough == [False, True]


@pytest.mark.parametrize("eta", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("b", [2, 8, 32])
def test_far_below_the_noise_scale_a_test_multiplies_the_batch_by_the_inverse_square_of_eta(eta, b):
    """Whatever the signal is: gradients of pure noise and of a little signal, 20,000 coordinates."""
    source = np.random.default_rng(b)
    for signal in (0.0, 0.01):
        gradients = source.normal(size=(b, 20_000)) + signal
        size = asked(make("norm_test", size=b, eta=eta), gradients)
        assert 0.95 * b / eta**2 < size < 1.05 * b / eta**2 + 1  # rounded up


@pytest.mark.parametrize("eta", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("scale", [3.0, 40.0, 1234.5])
def test_fixed_points_with_average_statistics(eta, scale):
    """With E ||ghat||^2 = ||g||^2 + tr V / b and ||g||^2 = 1: B (1 - eta^2) / eta^2; without bias B / eta^2."""

    def average(b):
        return {"gradient_norm_squared": 1 + scale / b, "variance_trace": scale, "orthogonal_variance": scale * 0.99}

    found = run(make("norm_test", size=2, eta=eta), [average] * 400, data_size=10**9)[0]
    assert found[-1] == max(2, math.ceil(scale * (1 - eta**2) / eta**2 - 1e-9))
    if scale / eta**2 > 4:  # else the first test is content
        unbiased = run(make("norm_test", size=2, eta=eta, unbiased=True), [average] * 3, data_size=10**9)[0]
        assert unbiased[1:] == pytest.approx([scale / eta**2] * 2, abs=1.01)
    aimed = run(make("noise_scale", size=2, multiple=3.0), [average] * 3, data_size=10**9)[0]
    assert aimed[1:] == pytest.approx([3 * scale] * 2, abs=1.01)
    assert run(make("orthogonality", size=2, nu=1.0), [average] * 50, data_size=10**9)[0] == [2] * 50


# Finite populations and estimates without bias, by brute force over all batches ---------------------------------------


def population(seed, count=7, d=3):
    source = np.random.default_rng(seed)
    return source.normal(size=(count, d)) + source.normal(size=d)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("eta", [0.2, 0.5, 1.0])
def test_the_demand_of_a_finite_population_is_exact(seed, eta):
    """The smallest b of which the mean over all batches without replacement is within eta ||g||."""
    gradients = population(seed)
    mean, count = gradients.mean(axis=0), len(gradients)

    def noise(b):
        every = itertools.combinations(range(count), b)
        return np.mean([((gradients[list(some)].mean(axis=0) - mean) ** 2).sum() for some in every])

    needed = next(b for b in range(1, count + 1) if noise(b) <= eta**2 * mean @ mean)
    rule = make("norm_test", size=2, eta=eta, finite_population=True)
    assert asked(rule, gradients, data_size=count) == max(2, needed)
    assert asked(make("norm_test", size=2, eta=1e-9, finite_population=True), gradients, data_size=count) == count


@pytest.mark.parametrize("b", [2, 3, 6])
@pytest.mark.parametrize("name", ["norm_test", "noise_scale"])
def test_the_unbiased_norm_has_no_bias(name, b):
    """On average over all batches, with replacement and without."""
    gradients = population(5, count=6)
    mean = gradients.mean(axis=0)
    for finite, choose in ((False, itertools.product), (True, itertools.combinations)):
        every = choose(range(6), repeat=b) if not finite else choose(range(6), b)
        values = []
        rule = make(name, finite_population=finite, **({"unbiased": True} if name == "norm_test" else {}))
        for some in every:
            part = gradients[list(some)]
            found = {"gradient_norm_squared": (m := part.mean(axis=0)) @ m, "variance_trace": part.var(0, ddof=1).sum()}
            values.append(rule.measured(context(size=b, statistics=found, data_size=6))["gradient_norm_squared"])
        assert np.mean(values) == pytest.approx(mean @ mean, rel=1e-12)
        if b == 6:
            return  # 46,656 batches with replacement are enough


@pytest.mark.parametrize("seed", range(8))
def test_the_noise_scale_is_that_of_two_batch_sizes(seed):
    """McCandlish et al. 2018, appendix A.1, equations (A.2) and (A.3), with B_small = 1 and B_big = b."""
    b = 3 + seed
    gradients = np.random.default_rng(seed).normal(size=(b, 4)) + 2
    small, big = (gradients**2).sum(axis=1).mean(), (gradients.mean(axis=0) ** 2).sum()
    norm = (b * big - 1 * small) / (b - 1)
    trace = (small - big) / (1 / 1 - 1 / b)
    assert asked(make("noise_scale", size=2, multiple=500.0), gradients) == math.ceil(500 * trace / norm)


# What says nothing, and what is not finite ----------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_statistic_that_is_not_finite_never_becomes_a_batch_size(name, bad):
    """The size stays, the note says why once, and the run goes on as if the test had not been taken."""
    smooth = {} if name == "coordinate_norm_test" else {"smooth_numerator": 0.6, "smooth_denominator": 0.6}
    rule = make(name, size=4, **PARAMETERS[name], **smooth)
    good = random_batches(21, steps=20)
    used = [*rule.statistics(), *(["loss"] if name == "cabs" else [])]
    used = [key for key in used if not key.startswith(("coordinate_ratio", "median"))]
    for key in used:
        if key == "largest_coordinate_ratio" and bad == math.inf:
            continue  # a value that it can have
        sizes, notes = run(rule, [*good[:10], *[{**good[9], key: bad}] * 3, *good[10:]])
        assert sizes[10:14] == [sizes[10]] * 4
        assert notes[11:14] == [f"batch size stays {sizes[10]}: {key} is not finite (step 11)", None, None]
        assert sizes[:11] + sizes[14:] == run(rule, good)[0]
        again = run(rule, [*good[:10], {**good[9], key: bad}, good[10], {**good[9], key: bad}, good[11]])[1]
        assert [note is not None and "not finite" in note for note in again[11:]] == [True, False, True]


def test_an_unbiased_norm_that_is_not_positive_says_nothing():
    batch = {"gradient_norm_squared": 1.0, "variance_trace": 8.0, "inner_product_variance": 8.0}
    batch |= {"orthogonal_variance": 7.0}
    for name in ("norm_test", "inner_product", "orthogonality", "augmented_inner_product", "big_batch", "noise_scale"):
        rule = make(name, size=4, **({} if name == "noise_scale" else {"unbiased": True}))
        sizes, notes = run(rule, [batch] * 6)
        assert sizes == [4] * 6
        reason = "batch size stays 4: the unbiased estimate of ||g||^2 is not positive (step 1)"
        assert notes == ["batch size 4 at first", reason, None, None, None, None]
    # the plug-in norm asks for b / eta^2 there, and the notes tell both
    sizes, notes = run(make("norm_test", size=4, eta=0.5), [batch] * 2)
    assert sizes == [4, 32]
    assert notes[1] == "batch size 4 to 32: asked for 32 by step 1; ||ghat||^2 = 1, unbiased -1"


@pytest.mark.parametrize("name", ["norm_test", "inner_product", "orthogonality", "augmented_inner_product"])
def test_a_gradient_of_zero_asks_for_the_cap_and_one_without_noise_for_nothing(name):
    variances = ("variance_trace", "inner_product_variance", "orthogonal_variance")
    noisy = {"gradient_norm_squared": 0.0} | dict.fromkeys(variances, 1.0)
    assert run(make(name, size=4, cap=77), [noisy] * 3)[0] == [4, 77, 77]
    assert run(make(name, size=4, cap=77, growth_limit=3.0), [noisy] * 5)[0] == [4, 12, 36, 77, 77]
    assert run(make(name, size=4, cap=77, growth_limit=1.1), [noisy] * 4)[0] == [4, 5, 6, 7]
    assert run(make(name, size=4, finite_population=True), [noisy] * 3, data_size=60)[0] == [4, 60, 60]
    still = {"gradient_norm_squared": 0.0} | dict.fromkeys(variances, 0.0)
    assert run(make(name, size=4), [still] * 3)[0] == [4, 4, 4]
    tiny = {"gradient_norm_squared": 1e-250} | dict.fromkeys(variances, 1e-300)  # its square is beyond floats
    assert run(make(name, size=4, cap=99), [tiny] * 2)[0] == [4, 99 if "inner" in name else 4]


def test_the_coordinate_wise_test_of_single_coordinates():
    rule = make("coordinate_norm_test", size=2, eta=0.1, cap=1000)
    source = np.random.default_rng(0)
    gradients = source.normal(size=(6, 5)) + 3
    gradients[:, 1] = 0  # 0/0: content
    gradients[:, 2] = 4  # no noise
    worst = max(gradients[:, j].var(ddof=1) / gradients[:, j].mean() ** 2 for j in (0, 3, 4))
    assert asked(rule, gradients) == math.ceil(worst / 0.01)
    gradients[:, 1] = [1, -1, 1, -1, 1, -1]  # c/0: the cap
    assert asked(rule, gradients) == 1000
    found = {**statistics_of(gradients), "variance_trace": math.inf}
    state = rule.next(rule.init(), context())[1]
    size, _, note = rule.next(state, context(step=2, size=6, statistics=found))
    assert (size, note) == (2, "batch size stays 2: variance_trace is not finite (step 1)")
    _, _, note = rule.next(state, context(step=2, size=6, statistics=statistics_of(gradients)))
    assert note.startswith("batch size 2 to 1000 (the cap): asked for inf by step 1; median_coordinate_ratio ")
    assert "; coordinate_ratio_90 " in note
    assert "; coordinate_ratio_99 " in note


def test_the_unbiased_coordinate_wise_test_is_that_of_every_coordinate():
    source = np.random.default_rng(1)
    for _ in range(20):
        gradients = source.normal(size=(30, 4)) + 1
        v, m = gradients.var(axis=0, ddof=1), gradients.mean(axis=0)
        true = m**2 - v / 30
        rule = make("coordinate_norm_test", size=30, eta=0.1, unbiased=True)
        assert (true > 0).all()
        assert asked(rule, gradients) == max(math.ceil(x) for x in v / (0.01 * true))
    gradients[:, 0] -= gradients[:, 0].mean() - 1e-3
    assert asked(rule, gradients) == 30
    whole = make("coordinate_norm_test", size=5, eta=0.1, unbiased=True, finite_population=True, allow_decrease=True)
    found = {**statistics_of(gradients), "largest_coordinate_ratio": math.inf}
    state = {**whole.init(), "size": 30}
    size, _, note = whole.next(state, context(step=2, size=30, data_size=30, statistics=found))
    assert (size, note) == (30, None)  # there is nothing to correct, and the cap is what is asked for
    found["largest_coordinate_ratio"] = 0.01
    assert whole.next(state, context(step=2, size=30, data_size=30, statistics=found))[0] == 5


def test_cabs_follows_the_learning_rate_and_the_loss_both_ways():
    batches = [{"variance_trace": 100.0, "loss": f, "lr": lr} for f, lr in ((1, 0.5), (0.5, 0.5), (10, 0.3), (1, 0.1))]
    assert run(make("cabs", size=3), [*batches, batches[-1]])[0] == [3, 50, 60, 3, 10]  # of the rate to come
    assert run(make("cabs", size=3, allow_decrease=False), [*batches, batches[-1]])[0] == [3, 50, 60, 60, 60]
    bad = [{"variance_trace": 1.0, "loss": 1.0, "lr": math.nan}] * 2
    assert run(make("cabs", size=3), bad)[1][1] == "batch size stays 3: what is asked for is not a number (step 1)"
    below = [{"variance_trace": 1.0, "loss": -1.0}] * 2
    told = "batch size stays 3: the loss is negative, and CABS is for losses of at least 0 (step 1)"
    assert run(make("cabs", size=3), below)[1][1] == told


def test_big_batches_grow_by_a_share_while_noise_outweighs_the_gradient():
    loud, quiet = (
        {"variance_trace": 1e6, "gradient_norm_squared": 1.0},
        {"variance_trace": 1.0} | {"gradient_norm_squared": 1.0},
    )
    batches = [loud, loud, quiet, loud, loud]
    assert run(make("big_batch", size=10, increment=0.1), batches)[0] == [10, 11, 13, 13, 15]
    assert run(make("big_batch", size=100, increment=0.07), [loud] * 2)[0] == [100, 107]
    assert run(make("big_batch", size=10, increment=1e300, cap=50), [loud] * 2)[0] == [10, 50]
    exactly = {"variance_trace": 10.0, "gradient_norm_squared": 1.0}
    assert run(make("big_batch", size=10), [exactly] * 2)[0] == [10, 11]  # "at most" grows
    assert run(make("big_batch", size=11), [exactly] * 2)[0] == [11, 11]


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("norm_test", {"eta": 0}, "batch_size.eta must be greater than 0.0, not 0.0"),
        ("norm_test", {"eta": -0.1}, "batch_size.eta must be greater than 0.0, not -0.1"),
        ("inner_product", {"theta": 0}, "batch_size.theta must be greater than 0.0, not 0.0"),
        ("orthogonality", {"nu": 0}, "batch_size.nu must be greater than 0.0, not 0.0"),
        ("coordinate_norm_test", {"eta": 0}, "batch_size.eta must be greater than 0.0, not 0.0"),
        ("noise_scale", {"multiple": 0}, "batch_size.multiple must be greater than 0.0, not 0.0"),
        ("big_batch", {"increment": 0}, "batch_size.increment must be greater than 0.0, not 0.0"),
        ("norm_test", {"test_interval": 0}, "batch_size.test_interval must be at least 1, not 0"),
        ("norm_test", {"growth_limit": 1}, "batch_size.growth_limit must be greater than 1.0, not 1.0"),
        ("norm_test", {"smooth_numerator": 1}, "batch_size.smooth_numerator must be less than 1.0, not 1.0"),
        ("cabs", {"unbiased": True}, "batch_size has no setting 'unbiased'"),
        ("coordinate_norm_test", {"smooth_numerator": 0.5}, "batch_size: smooth_numerator and smooth_denominator are"),
        ("big_batch", {"allow_decrease": True}, "batch_size: allow_decrease=true is not for big_batch"),
        ("linear", {"size": 8, "largest": 7}, "batch_size: largest=7 must be at least size=8"),
        ("linear", {"increment": 0}, "batch_size.increment must be at least 1, not 0"),
    ],
)
def test_rules_that_cannot_be_made(name, values, message):
    with pytest.raises(SettingError) as refused:
        make(name, **values)
    assert str(refused.value).startswith(message)


@every_rule
@pytest.mark.parametrize(
    ("values", "data_size", "replacement", "message"),
    [
        ({"size": 1}, 100, True, "batch_size.size=1 is too small: the variance of gradients needs at least 2 examples"),
        ({"size": 8, "cap": 7}, 100, True, "batch_size.cap=7 is below the first batch: use at least batch_size.size=8"),
        ({"size": 8}, None, True, "batch_size.cap is not given and the task is a stream"),
        ({"size": 101}, 100, False, "batch_size.size=101 is larger than the data set (100 examples)"),
        ({"size": 8, "cap": 101}, 100, False, "batch_size.cap=101 is larger than the data set (100 examples)"),
        ({"finite_population": True}, 100, True, "batch_size.finite_population=true is for finitely many examples"),
        ({"finite_population": True, "cap": 64}, None, False, "batch_size.finite_population=true is for finitely many"),
    ],
)  # fmt: skip
def test_what_a_data_set_is_too_small_for(name, values, data_size, replacement, message):
    with pytest.raises(SettingError) as refused:
        make(name, **values).refuse(data_size, replacement)
    assert str(refused.value).startswith(message)


@every_rule
def test_caps_that_fit(name):
    for values, data_size, replacement in (
        ({"size": 8, "cap": 100}, 100, False),
        ({"size": 8, "cap": 101}, 100, True),
        ({"size": 8, "cap": 101, "lower_cap": True}, 100, False),
        ({"size": 8, "cap": 8}, None, True),
        ({"size": 100}, 100, False),
        ({"size": 101}, 100, True),
        ({"size": 8, "finite_population": True}, 100, False),
    ):
        rule = make(name, **values)
        rule.refuse(data_size, replacement)
        cap = min(values.get("cap") or data_size, data_size if values.get("lower_cap") else math.inf)
        assert rule.bound(data_size) == max(values.get("size", 32), cap)


# Ramps and replays ----------------------------------------------------------------------------------------------------


def test_a_linear_ramp():
    rule = make("linear", size=16, increment=5, largest=32)
    assert [rule.next({}, context(step=t)) for t in range(1, 6)] == [(s, {}, None) for s in (16, 21, 26, 31, 32)]
    unbounded = make("linear", size=16, increment=5)
    assert unbounded.next({}, context(step=1000, data_size=200)) == (200, {}, None)
    assert unbounded.next({}, context(step=1000, data_size=None)) == (16 + 999 * 5, {}, None)
    assert (rule.shared, rule.whole, rule.needs(1), rule.statistics()) == (True, False, (), ())
    rule.refuse(32, False)
    with pytest.raises(SettingError, match=r"^batch_size.largest=32 is larger than the data set \(31 examples\)"):
        rule.refuse(31, False)
    with pytest.raises(SettingError, match=r"^batch_size.size=256 is larger than the data set \(31 examples\)"):
        make("linear").refuse(31, False)


def job(folder, rule, batches):
    """A job folder with the rows that the engine writes when the size changes. Returns it and the sizes."""
    sizes, notes = run(rule, batches)
    folder.mkdir()
    rows = [{"step": 0, "examples": 0, "metrics": {"loss": [1.0]}}]
    for t, (size, note) in enumerate(zip(sizes, notes, strict=True), start=1):
        rows += [{"step": t, "note": note, "batch_size": size}] if note else []
        rows += [{"step": t, "examples": 1, "metrics": {"batch_size": [size]}}] if t % 7 == 0 else []
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text("{}")
    return folder, sizes


@pytest.mark.parametrize("name", ["norm_test", "cabs"])
def test_a_replay_has_the_sizes_of_the_run(tmp_path, name):
    spoilt = [{**b, "variance_trace": math.nan} if t in (20, 31) else b for t, b in enumerate(random_batches(9))]
    folder, sizes = job(tmp_path / "job", make(name, size=4, **PARAMETERS[name]), spoilt)
    assert len(set(sizes)) > 3
    rule = make("replay", path=str(folder))
    assert [rule.next({}, context(step=t)) for t in range(1, 61)] == [(size, {}, None) for size in sizes]
    assert rule.next({}, context(step=10**6))[0] == sizes[-1]
    assert (rule.shared, rule.needs(1), rule.statistics()) == (True, (), ())
    rule.refuse(max(sizes), False)
    rule.refuse(max(sizes) - 1, True)
    with pytest.raises(SettingError, match=f"has a batch of {max(sizes)}, larger than the data set"):
        rule.refuse(max(sizes) - 1, False)
    # a list of the same sizes is the same replay, and another one is another
    listed, other = tmp_path / "sizes.json", tmp_path / "other.json"
    listed.write_text(json.dumps([[t, size] for t, size in enumerate(sizes, start=1)]))
    other.write_text(json.dumps([[1, sizes[0]], [2, sizes[1] + 1]]))
    content = [make("replay", path=str(path)).content() for path in (folder, listed, other)]
    assert content[0] == content[1] != content[2]
    assert set(content[0]) == {"path"}


def test_the_identity_of_a_replay_is_its_sizes(tmp_path):
    """Not its path; and that of other rules is what it was."""
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text("[[1, 8], [3, 16]]")
    second.write_text("[[1, 8], [2, 8], [3, 16]]")
    words = ["task=logistic/breast_cancer", "batch_size=replay"]

    def identity(path):
        return config.request([*words, f"batch_size.path={path}"]).runs[0].id

    assert identity(first) == identity(second)
    kept = identity(first)
    first.write_text("[[1, 8], [3, 17]]")
    assert identity(first) != kept
    assert make("constant").content() == {}


def test_paths_of_replays_are_counted_from_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr("optim.batch_sizes.replay.RESULTS", tmp_path)
    (tmp_path / "ramp.json").write_text("[[1, 8], [3, 16]]")
    rule = make("replay", path="ramp.json")
    assert [rule.next({}, context(step=t))[0] for t in (1, 2, 3, 4)] == [8, 8, 16, 16]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("[[1, 8", "is not JSON: give a list of [step, size]"),
        ("{}", "tells no batch sizes: give a list of [step, size]"),
        ("[]", "tells no batch sizes"),
        ("[[1, 8], 3]", "has 3 where [step, size] should be"),
        ("[[1, 8], [2, 0]]", "has [2, 0] where [step, size] should be"),
        ("[[1, 8], [2, 8.5]]", "has [2, 8.5] where [step, size] should be"),
        ("[[1, true]]", "has [1, True] where [step, size] should be"),
        ("[[2, 8]]", "has step 2 after 0: steps begin at 1 and increase"),
        ("[[1, 8], [5, 9], [5, 10]]", "has step 5 after 5: steps begin at 1 and increase"),
    ],
)
def test_replays_that_cannot_be_read(tmp_path, text, message):
    path = tmp_path / "sizes.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingError) as refused:
        make("replay", path=str(path)).refuse(100, True)
    assert str(refused.value).startswith(f"batch_size.path={path} {message}")


def test_replays_of_folders_that_are_no_finished_jobs(tmp_path):
    with pytest.raises(SettingError, match=r"^batch_size.path is empty: give the folder of a finished job"):
        make("replay").refuse(100, True)
    with pytest.raises(SettingError, match="is not the folder of a finished job"):
        make("replay", path=str(tmp_path)).refuse(100, True)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(SettingError, match="cannot be read"):
        make("replay", path=str(tmp_path)).refuse(100, True)
    (tmp_path / "metrics.jsonl").write_text('{"step":1,"metrics":{"batch_size":[8]}}\n')
    with pytest.raises(SettingError, match="tells no batch sizes"):
        make("replay", path=str(tmp_path)).refuse(100, True)
