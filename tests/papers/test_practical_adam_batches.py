"""P5 and P8: the studies against plain loops and fits, their settings, and verdicts on made-up measurements."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments import api, curves
from experiments.claims import judge
from experiments.components import CONFIGS
from experiments.papers.practical_adam import plateau_runs, speed_up_bowl, speed_up_figures, speed_up_networks
from experiments.papers.practical_adam.claims import p5, p8
from experiments.papers.practical_adam.plateau_runs import DECAYING, FIXED, RATIO
from experiments.papers.practical_adam.speed_up_bowl import CONSTANT, CORRECTED, HORIZON, MEAN
from experiments.papers.practical_adam.speed_up_lines import lines
from experiments.papers.practical_adam.studies import plateau, speed_up
from experiments.seeds import derive
from experiments.session import Session
from experiments.study import Found
from experiments.theory import critical_batch
from experiments.theory.noisy_bowl import Lane, follow, normals
from optim import settings
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne
from optim.settings import SettingError

FOLDER = CONFIGS / "paper" / "practical-adam"
SCALES = ("smoke", "laptop", "workstation", "paper")
STUDIES = {"speed_up": speed_up, "plateau": plateau}
DIGITS = "LeNet on digits"


def chosen(name, scale="smoke", **others):
    content = yaml.safe_load((FOLDER / f"{scale}.yaml").read_text())[name]
    return settings.build(STUDIES[name].Settings, content | others, name)


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_setting_has_its_mark(name, scale):
    text = (FOLDER / f"{scale}.yaml").read_text()
    section = re.search(rf"^{name}:.*?\n((?:  .*\n)+)", text, re.MULTILINE).group(1).splitlines()
    valued = [line for line in section if not line.rstrip().endswith(":")]
    assert len(valued) >= 13
    assert all(re.search(r"# \[[SRDO]\]", line) for line in valued)


@pytest.mark.parametrize("scale", SCALES[1:])
def test_the_bowl_is_that_of_the_page(scale):
    given = chosen("speed_up", scale)
    assert given.bowl == chosen("plateau", scale).bowl == {"dimension": 200, "noise": 5.0, "start": 1.0}
    assert (given.lr, given.beta, given.theta, given.target, given.constant_target) == (1.0, 0.9, 0.999, 3.0, 2.0)
    assert {1, 4, 16, 64, 256} <= set(given.batch_sizes)
    assert given.steps >= 20_000
    assert len(given.seeds) >= 8
    assert len(given.network_seeds) >= 5
    assert len(chosen("plateau", scale).seeds) >= 5


NETWORK = {"words": ["task=images/digits_lenet"], "batch_sizes": [4], "constant_batch_sizes": []}
NETWORK |= {"noise_batch_size": 4}


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("speed_up", {"batch_sizes": [4, 1]}, "batch_sizes must hold whole numbers from 1 that increase"),
        ("speed_up", {"batch_sizes": [0, 1]}, "batch_sizes must hold whole numbers from 1 that increase"),
        ("speed_up", {"horizons": [1, 8]}, "horizons must hold whole numbers from 2 that increase"),
        ("speed_up", {"seeds": [1, 1]}, "seeds must name at least one thing, and none twice"),
        ("speed_up", {"target": 2.3}, "target=2.3 must be below the gradient norm at the start, 2.24"),
        ("speed_up", {"constant_target": 9.0}, "constant_target=9 must be below the gradient norm at the start"),
        ("speed_up", {"networks": {"a": 3}}, "networks: 'a' must hold settings"),
        ("speed_up", {"networks": {"a": NETWORK | {"words": ["seed=1"]}}}, "begins with task="),
        ("speed_up", {"networks": {"a": NETWORK | {"batch_sizes": [0]}}}, "batch_sizes must hold whole numbers from 1"),
        ("speed_up", {"networks": {"a": NETWORK | {"constant_batch_sizes": [8, 8]}}}, "constant_batch_sizes must hold"),
        ("speed_up", {"networks": {"a": NETWORK | {"lr": 0.0}}}, "networks.a.lr must be greater than 0"),
        ("speed_up", {"networks": {"a": NETWORK | {"noise_every": 9999}}}, "noise_every=9999 is more than the"),
        ("speed_up", {"networks": {"a": NETWORK | {"noise_batch_size": 5}}}, "noise_batch_size=5 is above all"),
        ("speed_up", {"networks": {"bowl": NETWORK}}, "'bowl' is the name of the bowl"),
        ("speed_up", {"horizons": [16]}, "horizons must hold two or more in their last decade"),
        ("speed_up", {"horizons": [16, 64, 1000]}, "horizons must hold two or more in their last decade"),
        ("plateau", {"thetas": [0.9, 0.995]}, "thetas: with 0.995 v_t is a mean over 200 steps, and it must be full"),
        ("plateau", {"theta": 0.9999}, "theta: with 0.9999 v_t is a mean over 10,000 steps, and it must be full"),
        ("plateau", {"thetas": [0.9, 1.0]}, "thetas must hold numbers between 0 and 1, not 1.0"),
        ("plateau", {"thetas": []}, "thetas must name at least one"),
        ("plateau", {"horizons": [100]}, "horizons must be two or more whole numbers from 10 that increase"),
        ("plateau", {"horizons": [100, 50]}, "horizons must be two or more whole numbers from 10 that increase"),
        ("plateau", {"alpha": 0.0}, "alpha must be greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, wrong, message):
    with pytest.raises(SettingError, match=re.escape(message)):
        chosen(name, **wrong)


# The studies ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sped(tmp_path_factory):
    given, store = chosen("speed_up"), tmp_path_factory.mktemp("store")
    return given, speed_up.measure(given, Session(store)), store


@pytest.fixture(scope="module")
def flattened(tmp_path_factory):
    given = chosen("plateau")
    return given, plateau.measure(given, Session(tmp_path_factory.mktemp("store")))


def blocks(seed, width):
    return normals(np.random.default_rng(derive(seed, "bowl")), width)


def test_steps_on_the_bowl_are_those_after_which_the_norm_stays_below(sped):
    given, found, _ = sped
    table = found.tables["steps"]
    own = table[(table.problem == "bowl") & (table.theta == MEAN) & (table.batch_size == 16) & (table.seed == 1)]
    lane = Lane(16, given.steps, given.lr, Power(s=0.5), Constant(at=given.beta), TowardsOne(r=1.0))
    at = range(1, given.steps + 1)
    (path,) = follow([lane], blocks(1, given.dimension), given.dimension, given.noise, given.start, at, [])
    assert own.steps.tolist() == [np.flatnonzero(path.norms >= given.target)[-1] + 2]
    assert own.target.tolist() == [given.target]
    constant = table[(table.problem == "bowl") & table.theta.isin([CONSTANT, CORRECTED])]
    assert set(constant.target) == {given.constant_target}
    first = constant[constant.theta == CORRECTED].set_index(["batch_size", "seed"]).steps
    assert (first != constant[constant.theta == CONSTANT].set_index(["batch_size", "seed"]).steps).any()


def test_known_horizons_are_runs_of_their_own(sped):
    given, found, _ = sped
    table = found.tables["horizons"]
    (row,) = table[(table.batch_size == 4) & (table.seed == 0) & (table.horizon == 64)].to_dict(orient="records")
    lane = Lane(4, 64, given.lr, Constant(at=1 / 8), Constant(at=given.beta), Constant(at=1 - 1 / 64))
    norm = speed_up_bowl.norm_at_start(given.bowl)
    (path,) = follow([lane], blocks(0, given.dimension), given.dimension, given.noise, given.start, range(1, 65), [])
    every = np.concatenate([[norm], path.norms[:-1]])
    assert row["norm"] == pytest.approx((every ** (4 / 3)).mean() ** 0.75, rel=1e-10)
    steps = found.tables["steps"]
    needed = steps[(steps.theta == HORIZON)].set_index(["batch_size", "seed"]).steps
    for key, part in table.groupby(["batch_size", "seed"]):
        below = part[part.norm <= given.target].horizon
        assert needed[key] <= below.min() if len(below) else math.isinf(needed[key])
        above = part[(part.norm > given.target)].horizon
        assert needed[key] >= above.max() if len(above) else needed[key] == part.horizon.min()


def test_noise_scales(sped):
    given, found, store = sped
    scales = found.tables["scales"]
    bowl = scales[scales.problem == "bowl"].set_index("target").noise_scale
    assert bowl[given.target] == pytest.approx(given.dimension * given.noise**2 / given.target**2)
    (of_network,) = scales[scales.problem == DIGITS].noise_scale
    watched = api.load_runs(store)
    watched = watched[watched.run.isin(watched[watched.metric == "noise_l2"].run)]
    wide = watched.pivot(index="step", columns="metric", values="value")
    near = wide[(wide.loss / given.plans[DIGITS].target).between(1 / 1.5, 1.5)]
    ratios = (near.noise_l2 / near.gradient_norm) ** 2
    assert len(ratios) >= 2
    assert of_network == pytest.approx(np.exp(np.log(ratios).mean()))


def test_the_noise_scale_is_the_mean_over_records_near_the_target():
    values = {"loss": [2.0, 1.0, 0.7, 0.4], "noise_l2": [1.0, 3.0, 8.0, 1.0], "gradient_norm": [1.0, 1.0, 2.0, 9.0]}
    one = curves.Curve(*np.zeros((3, 4)), {name: np.array(v) for name, v in values.items()})
    assert speed_up_networks._noise_scale(one, 0.8) == pytest.approx(math.sqrt(9.0 * 16.0))
    assert math.isnan(speed_up_networks._noise_scale(one, 0.01))


def test_steps_of_a_network_are_read_off_its_curve(sped):
    given, found, store = sped
    table = found.tables["steps"]
    own = table[table.problem == DIGITS]
    network = given.plans[DIGITS]
    for theta, sizes in ((MEAN, network.batch_sizes), (CONSTANT, network.constant_batch_sizes)):
        assert own[own.theta == theta].batch_size.tolist() == sizes
    assert own.allowed.tolist() == [8 + math.ceil(64 / size) for size in own.batch_size]
    runs = api.load_runs(store)
    runs = runs[~runs.run.isin(runs[runs.metric == "noise_l2"].run) & (runs.metric == "loss")]
    needed = [critical_batch.steps_to(part.step, part.value, network.target) for _, part in runs.groupby("run")]
    assert sorted(needed) == sorted(own.steps)
    assert np.isfinite(needed).any()
    assert np.isinf(needed).any()


def test_a_target_above_the_first_loss_is_refused(tmp_path):
    session, few = Session(tmp_path), {"steps": 1, "examples": 0, "records": 2, "target": 50.0, "noise_every": None}
    made = speed_up_networks.networks({"a": NETWORK | few})
    with pytest.raises(
        SettingError, match=r"networks\.a: the loss is 2\.\d+ before the first step, with seed 3: choose"
    ):
        speed_up_networks.measured(made, ["sampling=replacement"], 0.9, [3], session)


def test_the_figures_of_the_speed_up(sped):
    given, found, _ = sped
    figures = speed_up.draw(found, given)
    assert list(figures) == ["steps_by_batch_size", "mean_gradient_by_draws"]
    panels = figures["steps_by_batch_size"][0].axes
    assert [axis.get_title().split(",")[0] for axis in panels] == ["bowl", DIGITS]
    for _, caption in figures.values():
        assert "ours" in caption
    assert judge(p5.CLAIM, {"speed_up": found}).answer == "inconclusive"  # two replicas


def test_slopes_and_heights_are_those_of_the_late_windows(flattened):
    given, found = flattened
    table = found.tables["lines"]
    at = plateau_runs.recorded(given.steps)
    assert at[-1] == given.steps
    assert at[-6] == round(given.steps / 10)
    every = range(1, given.steps + 1)
    lane = Lane(1, given.steps, given.lr, Power(s=0.5), Constant(at=given.beta), TowardsOne(r=1.0))
    (path,) = follow([lane], blocks(0, given.dimension), given.dimension, given.noise, given.start, every, [])
    squares = np.concatenate([[speed_up_bowl.norm_at_start(given.bowl)], path.norms[:-1]]) ** 2
    windows = [(a, b) for a, b in zip(at[-6:], at[-5:], strict=False)]
    norms = [math.sqrt(squares[a:b].mean()) for a, b in windows]
    middles = [math.sqrt(a * b) for a, b in windows]
    (row,) = table[(table.line == DECAYING) & (table.seed == 0)].to_dict(orient="records")
    assert row["slope"] == pytest.approx(np.polyfit(np.log(middles), np.log(norms), 1)[0], abs=1e-9)
    assert row["height"] == pytest.approx(squares[at[-6] :].mean(), rel=1e-9)
    fixed = table[table.line == RATIO]
    np.testing.assert_allclose(fixed.rate, given.ratio * np.sqrt(1 - fixed.theta), rtol=1e-12)
    assert (table[table.line == FIXED].rate == given.alpha).all()


def test_the_height_is_near_the_predicted_one(tmp_path):
    """E||grad f||^2 = d alpha noise near the minimum: a check of the derivation, within 3% at a small alpha."""
    row = {"seed": 0, "bowl": {"dimension": 50, "noise": 5.0, "start": 0.0}, "batch_size": 4, "beta": 0.9}
    row |= {"lr": 1.0, "alpha": 5e-4, "ratio": 0.1, "thetas": [0.999], "theta": 0.999, "steps": 400_000}
    (found,) = [one for one in plateau_runs.curves(**row) if one["line"] == FIXED]
    expected = plateau_runs.predicted_square(row["bowl"], 4, 5e-4)
    assert expected == pytest.approx(50 * 2.5 * 5e-4)
    assert found["height"] == pytest.approx(expected, rel=0.03)


def test_the_end_of_a_known_horizon_is_its_last_tenth(flattened):
    given, found = flattened
    lane = Lane(1, 1000, given.lr, Constant(at=1000**-0.5), Constant(at=given.beta), Constant(at=0.999))
    at = range(1, 1001)
    (path,) = follow([lane], blocks(1, given.dimension), given.dimension, given.noise, given.start, at, [])
    table = found.tables["horizons"]
    (norm,) = table[(table.seed == 1) & (table.horizon == 1000)].norm
    assert norm == pytest.approx(math.sqrt((path.norms[899:999] ** 2).mean()), rel=1e-9)


def test_the_figures_of_the_plateau(flattened):
    given, found = flattened
    figures = plateau.draw(found, given)
    assert list(figures) == ["gradient_norm_by_steps", "plateau_by_theta"]
    axis = figures["gradient_norm_by_steps"][0].axes[0]
    dashed = [line.get_ydata() for line in axis.get_lines() if line.get_linestyle() == "--"]
    expected = math.sqrt(given.dimension * given.noise * given.alpha)
    assert [expected, expected] == pytest.approx(list(dashed[0]))
    assert judge(p8.CLAIM, {"plateau": found}).answer == "inconclusive"  # two replicas


# Verdicts ------------------------------------------------------------------------------------------------------------


def law(size, floor=30.0, critical=256.0, power=1.0):
    """Steps in proportion to 1 + (b*/b)^power."""
    return floor * (1 + (critical / size) ** power)


def table_of(steps, problem="bowl", theta=MEAN, target=3.0, seeds=6, sizes=(1, 4, 16, 64, 256, 1024), spread=0.02):
    """Rows of `steps(size)`, every seed a little off, in its own way at every size."""
    label = {"problem": problem, "theta": theta, "target": target, "allowed": 10_000}
    rows = [
        {
            **label,
            "batch_size": size,
            "seed": seed,
            "steps": steps(size) * math.exp(spread * math.sin(7 * k + 11 * seed)),
        }
        for k, size in enumerate(sizes)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def batches(*tables, scales=((("bowl", 3.0), 1024.0),), horizons=()):
    shown = [{"problem": name, "target": target, "noise_scale": value} for (name, target), value in scales]
    known = pd.DataFrame(horizons, columns=["seed", "batch_size", "horizon", "norm"])
    return {"speed_up": Found({"steps": pd.concat(tables), "scales": pd.DataFrame(shown), "horizons": known})}


@pytest.mark.parametrize(("slope", "answer"), [(-1.0, "holds"), (-0.5, "fails"), (-0.8, "inconclusive")])
def test_the_speed_up_is_linear_or_not(slope, answer):
    judged = judge(p5.CLAIM, batches(table_of(lambda b: 1e4 * b**slope, spread=0.15)))
    assert judged.answer == answer
    assert judged.low < slope < judged.high
    assert judged.n == 6
    (cell,) = judged.cells
    assert cell["sizes"] == "1 to 256"  # up to B/4


def test_the_threshold_is_at_four_fifths():
    for slope, answer in ((-0.79, "fails"), (-0.81, "holds")):
        exact = table_of(lambda b, s=slope: 1e4 * b**s, spread=1e-4)
        judged = judge(p5.CLAIM, batches(exact))
        assert (judged.answer, judged.value) == (answer, pytest.approx(slope, abs=1e-3))


def test_what_is_beyond_the_noise_scale_does_not_count():
    kinked = table_of(lambda b: 1e4 / min(b, 64))
    assert judge(p5.CLAIM, batches(kinked, scales=[(("bowl", 3.0), 256.0)])).answer == "holds"
    assert judge(p5.CLAIM, batches(kinked, scales=[(("bowl", 3.0), 4 * 1100.0)])).answer == "fails"
    narrow = judge(p5.CLAIM, batches(kinked, scales=[(("bowl", 3.0), 4 * 15.9)]))
    assert narrow.answer == "not testable at this scale"
    assert "less than a factor of 16: not judged" in narrow.remarks[0]
    none = judge(p5.CLAIM, batches(kinked, scales=[(("bowl", 3.0), 2.0)]))
    assert none.answer == "not testable at this scale"
    assert "fewer than two batch sizes up to B/4" in none.remarks[0]


def test_four_replicas_decide_nothing():
    for power in (1.0, 0.5):
        few = batches(table_of(lambda b, p=power: law(b, critical=4096.0, power=p), seeds=4))
        assert judge(p5.CLAIM, few).answer == "inconclusive"


def test_runs_that_never_get_there_are_said_and_not_dropped_in_silence():
    steps = table_of(lambda b: law(b, critical=4096.0))
    steps.loc[(steps.batch_size == 4) & (steps.seed == 2), "steps"] = math.inf
    (line,) = lines(batches(steps)["speed_up"].tables)
    assert (line.missed, line.sizes) == ((1, 4), (16, 64, 256))
    judged = judge(p5.CLAIM, batches(steps))
    assert judged.answer == "holds"
    assert "left out, since a seed there or above never gets there: b = 1, 4" in judged.remarks[0]
    steps.loc[steps.seed == 1, "steps"] = math.inf
    assert judge(p5.CLAIM, batches(steps)).answer == "not testable at this scale"
    (line,) = lines(batches(steps)["speed_up"].tables)
    assert (line.missed, line.means, line.slope, line.end) == ((1, 4, 16, 64, 256, 1024), {}, None, None)


def test_the_critical_batch_of_an_exact_law():
    exact = table_of(law, spread=0.0, sizes=[4**k for k in range(9)])
    (line,) = lines(batches(exact)["speed_up"].tables)
    assert line.law.value == pytest.approx(256.0, rel=0.01)
    assert line.end == 256  # from 64 to 256 the slope is -0.66, from 256 to 1024 it is -0.34
    assert line.means[16] == pytest.approx(law(16))
    assert line.noise_scale == 1024.0


def test_a_speed_up_that_does_not_end_has_no_end():
    exact = batches(table_of(lambda b: 1e4 / b, spread=0.0))
    (line,) = lines(exact["speed_up"].tables)
    assert line.end is None
    assert "the speed-up does not end within the sizes tried" in judge(p5.CLAIM, exact).remarks[0]
    assert "the speed-up ends at b = 256" in judge(p5.CLAIM, batches(table_of(law))).remarks[0]


def test_fits_and_noise_scales_are_drawn():
    second = table_of(lambda b: law(b, critical=64.0), theta=CONSTANT, target=2.0)
    tables = batches(table_of(law), second, scales=[(("bowl", 3.0), 512.0), (("bowl", 2.0), 700.0)])["speed_up"].tables
    axis = speed_up_figures._steps(tables, chosen("speed_up"), "q")[0].axes[0]
    drawn = [line.get_xdata() for line in axis.get_lines()]
    scales = [x[0] for x, line in zip(drawn, axis.get_lines(), strict=True) if line.get_linestyle() == ":"]
    np.testing.assert_allclose(scales, [512.0, 700.0])
    for one in lines(tables):
        assert any(np.allclose(x, [one.law.value], rtol=1e-12) for x in drawn if len(x) == 1)
        assert any(np.allclose(x, [one.law.low, one.law.high], rtol=1e-12) for x in drawn if len(x) == 2)


def test_a_network_whose_noise_was_not_measured_is_not_judged():
    both = batches(table_of(law), table_of(law, problem=DIGITS, target=0.7))
    judged = judge(p5.CLAIM, both)
    assert [arm["answer"] for arm in judged.arms] == ["holds", "not testable at this scale"]
    assert "to 0.7: noise scale B was not measured: not judged; over all sizes" in judged.remarks[1]
    assert judged.cells[1]["noise scale"] is None


def test_arms_are_problems_and_sequences_with_the_bowl_first():
    good = table_of(lambda b: law(b, critical=4096.0))
    shallow = table_of(lambda b: 1e4 * b**-0.5, theta=CONSTANT, target=2.0)
    network = table_of(lambda b: 1e3 / b, problem=DIGITS, target=0.7, sizes=(1, 4, 16, 64))
    scales = [(("bowl", 3.0), 1024.0), (("bowl", 2.0), 2300.0), ((DIGITS, 0.7), 50.0), ((DIGITS, 0.7), 200.0)]
    judged = judge(p5.CLAIM, batches(good, shallow, network, scales=scales))
    assert [(arm["problem"], arm["theta"], arm["answer"]) for arm in judged.arms] == [
        ("bowl", MEAN, "holds"),
        ("bowl", CONSTANT, "fails"),
        (DIGITS, MEAN, "holds"),
    ]
    assert judged.answer == "holds"
    assert judged.cells[2]["noise scale"] == pytest.approx(100.0)  # geometric mean over seeds
    assert judged.remarks[0].startswith("this arm: bowl, theta 1 - 1/t, to 3: noise scale B = 1.02e+03; slope -")


def test_the_form_of_the_bound_is_reported():
    known = [
        (seed, size, last, 5.0 * (size * last) ** -0.25) for seed in range(6) for size in (1, 4, 16, 1024)
        for last in (100, 1000, 10_000)
    ]  # fmt: skip
    judged = judge(p5.CLAIM, batches(table_of(law), horizons=known))
    assert "falls with b like b^-0.50 at T = 10000 and with T like T^-0.50 to T^-0.50" in judged.remarks[-1]
    assert judged.remarks[-1].endswith("for b = 1 to 16")


def plateaus(fixed=0.0, ratio=0.0, falls=-0.25, horizon=-0.25, seeds=6, spread=0.004, odd=None):
    """Slopes of the lines; `odd` replaces that of alpha constant at theta 0.99."""
    wave = np.array([1, -1, 1, -1, 1, -1]) * spread
    rows, known = [], []
    for seed in range(seeds):
        off = wave[seed % 6]
        for theta in (0.9, 0.99):
            slopes = {FIXED: odd if odd is not None and theta == 0.99 else fixed, RATIO: ratio}
            for line, value in slopes.items():
                height = 9.0 if line == FIXED else 30.0 * math.sqrt(1 - theta)
                rows.append({"line": line, "theta": theta, "rate": 0.01, "slope": value + off, "height": height})
        for line, value in ((DECAYING, falls), (plateau_runs.ALPHA_DECAYS, -0.2), (plateau_runs.THETA_RISES, 0.0)):
            rows.append({"line": line, "theta": math.nan, "rate": 1.0, "slope": value + off, "height": 2.0})
        for row in rows[-7:]:
            row["seed"] = seed
        known += [{"seed": seed, "horizon": last, "norm": 9 * last ** (horizon + off)} for last in (100, 300, 1000)]
    return {"plateau": Found({"lines": pd.DataFrame(rows), "horizons": pd.DataFrame(known)})}


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "holds"),
        ({"fixed": -0.04}, "holds"),
        ({"fixed": -0.05}, "inconclusive"),
        ({"fixed": -0.06}, "fails"),
        ({"fixed": 0.06}, "fails"),  # it rises
        ({"odd": -0.06}, "fails"),  # one theta is enough
        ({"falls": -0.135}, "holds"),
        ({"falls": -0.125}, "inconclusive"),
        ({"falls": -0.115}, "fails"),
        ({"falls": 0.0}, "fails"),
        ({"ratio": -0.06}, "holds"),  # an arm
        ({"horizon": 0.0}, "holds"),  # an arm
        ({"seeds": 4}, "inconclusive"),
        ({"seeds": 4, "falls": 0.0}, "inconclusive"),
    ],
)
def test_every_answer_about_plateaus(changes, answer):
    judged = judge(p8.CLAIM, plateaus(**changes))
    assert judged.answer == answer
    assert len(judged.cells) == 3


def test_arms_of_the_plateau():
    judged = judge(p8.CLAIM, plateaus(ratio=-0.06, horizon=0.0))
    assert [(arm["constant"], arm["decaying"], arm["answer"]) for arm in judged.arms] == [
        (FIXED, DECAYING, "holds"),
        (RATIO, DECAYING, "fails"),
        (FIXED, p8.HORIZON, "fails"),
        (RATIO, p8.HORIZON, "fails"),
    ]
    horizon = judge(p8.CLAIM, plateaus(horizon=-0.2)).arms[2]
    assert horizon["answer"] == "holds"


def test_the_statistic_is_that_of_the_line_nearest_to_its_threshold():
    assert judge(p8.CLAIM, plateaus(odd=-0.03)).value == pytest.approx(-0.03)
    assert judge(p8.CLAIM, plateaus(falls=-0.14)).value == pytest.approx(-0.14)
    failing = judge(p8.CLAIM, plateaus(odd=-0.08, falls=-0.14))
    assert (failing.answer, failing.value) == ("fails", pytest.approx(-0.08))


def test_the_remarks_have_the_mixed_pairs_and_the_heights():
    text = "\n".join(judge(p8.CLAIM, plateaus()).remarks)
    assert "beside the claim: alpha decays, theta constant: slope -0.200" in text
    assert re.search(r"alpha constant: like \(1 - theta\)\^-?0\.000, expected 0", text)
    assert "alpha/sqrt(1 - theta) constant: like (1 - theta)^0.500, expected 1/2" in text
