"""P1 to P4: the studies against plain loops and sums, their settings, and verdicts on made-up measurements."""

import json
import math
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments.claims import NOT_TESTABLE, judge
from experiments.components import CONFIGS
from experiments.papers.practical_adam import counterexample_runs, finite_sum_runs, flips_runs
from experiments.papers.practical_adam.claims import p1, p2, p3, p4
from experiments.papers.practical_adam.counterexample_forms import Form, method, places, slopes
from experiments.papers.practical_adam.studies import counterexample, finite_sum, flips, plane
from experiments.session import Session
from experiments.study import Found
from optim import settings
from optim.settings import SettingError

STUDIES = {"counterexample": counterexample, "plane": plane, "flips": flips, "finite_sum": finite_sum}
CLAIMS = {"P1": p1.CLAIM, "P2": p2.CLAIM, "P3": p3.CLAIM, "P4": p4.CLAIM}
SCALES = ("smoke", "laptop", "workstation")
FOLDER = CONFIGS / "paper" / "practical-adam"


def chosen(study, scale="smoke", **others):
    content = yaml.safe_load((FOLDER / f"{scale}.yaml").read_text())[study]
    return settings.build(STUDIES[study].Settings, content | others, study)


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("study", STUDIES)
def test_every_setting_has_its_mark(study, scale):
    text = (FOLDER / f"{scale}.yaml").read_text()
    section = re.search(rf"^{study}:.*?\n((?:  .*\n)+)", text, re.MULTILINE).group(1)
    assert all(re.search(r"# \[[SRDO]\]", line) for line in section.splitlines() if not line.endswith(":"))
    chosen(study, scale)


@pytest.mark.parametrize("scale", ["laptop", "workstation"])
def test_the_scales_ask_what_the_claims_need(scale):
    given = chosen("counterexample", scale)
    main = next(iter(given.parsed.values()))
    assert (main.big * main.scale, main.scale, main.family().probability, main.c) == (
        1010,
        10,
        pytest.approx(0.01),
        0.01,
    )
    assert main.steps == 10_000_000
    assert {0.0, 0.25, 0.5, 0.75, 1.0} <= set(given.r)
    assert (given.lr, given.s, given.beta[0], given.start) == (0.5, 0.5, 0.9, 0.5)
    assert given.seeds >= 32
    cyclic = given.parsed["cyclic"].family()
    assert (cyclic.period, cyclic.slope_per_cycle) == (101, pytest.approx(10))
    assert min(main.drift(r, 0.5, 0.5) for r in (0.75, 1.0)) >= 3
    for form in chosen("plane", scale).parsed.values():
        points = [(r, s) for r in chosen("plane", scale).r for s in chosen("plane", scale).s if 0 < r <= 2 * s < 2]
        assert sum(form.drift(r, s, 0.5) >= 3 for r, s in points) >= 3
    of_flips = chosen("flips", scale)
    form = next(iter(of_flips.parsed.values()))
    predicted = flips.predicted_batch(form)
    assert predicted == pytest.approx(25.25)
    ratios = [batch / predicted for batch in of_flips.batches(form)]
    above = [r for r in ratios if r >= 2]
    assert above
    assert all(flips.remaining_drift(form, 0.5, r, r * predicted) >= 3 for r in above)
    assert min(ratios) <= 0.25


@pytest.mark.parametrize(
    ("study", "wrong", "message"),
    [
        ("counterexample", {"r": [0.5, 1.5]}, "r must hold numbers from 0 to 1 (beta below 1), not 1.5"),
        ("counterexample", {"beta": [1.0]}, "beta must hold numbers from 0 to 1 (beta below 1), not 1.0"),
        ("counterexample", {"beta": [0.9, 0.9]}, "beta must name at least one thing, and none twice"),
        ("counterexample", {"forms": {}}, "forms must name at least one form of the counterexample"),
        ("counterexample", {"forms": {"a": 1}}, "forms: 'a' must be a mapping with big, delta, scale, c and steps"),
        ("counterexample", {"forms": {"a": {"bigg": 10}}}, "forms.a has no setting 'bigg'"),
        ("counterexample", {"forms": {"a": {"delta": 0.0}}}, "forms.a.delta must be greater than 0"),
        ("counterexample", {"forms": {"a": {"big": 101, "delta": 0.05, "cyclic": True}}}, "a cycle would have 97.14"),
        ("counterexample", {"r": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]}, "r must hold at most 5 numbers"),
        ("counterexample", {"beta": [0.9, 0.5, 0.0]}, "beta must hold at most 2 numbers"),
        ("flips", {"families": {str(k): {} for k in range(7)}}, "families must hold at most 6"),
        ("flips", {"beta": [0.9, 0.8, 0.5, 0.0]}, "beta must hold at most 3"),
        ("finite_sum", {"least": 0.2}, "least=0.2 is not below the boundary predicted for b=1"),
        ("counterexample", {"seeds": 1}, "seeds must be at least 2"),
        ("plane", {"cuts": [0.3]}, "cuts must be among r="),
        ("plane", {"s": [-0.5]}, "s must hold numbers from 0 to 1 (beta below 1), not -0.5"),
        ("flips", {"multiples": [0.0, 1.0]}, "multiples must hold numbers above 0"),
        ("flips", {"multiples": [0.01, 1.0]}, "would have a window of at most 1: raise the least of multiples"),
        ("flips", {"beta": [1.0]}, "beta must hold numbers from 0 and below 1"),
        ("finite_sum", {"batches": [3]}, "batches must divide examples=4, and 3 does not"),
        ("finite_sum", {"start": -2.0}, "start must be greater than -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(study, wrong, message):
    with pytest.raises(SettingError, match=re.escape(message)):
        chosen(study, **wrong)


# What is calculated --------------------------------------------------------------------------------------------------


def generic_adam(of_slopes, beta, r, c, lr, start):
    """The iterates of one seed by the page's equations, section 1; x after 0, 1, ... steps."""
    x, m, v, path = start, 0.0, 1e-8, [start]
    for t, g in enumerate(of_slopes, 1):
        theta = 1 - (c + (1 - c) * r) / t**r
        v = theta * v + (1 - theta) * g**2
        m = beta * m + (1 - beta) * g
        x = min(1.0, max(-1.0, x - lr / math.sqrt(t) * m / math.sqrt(v)))
        path.append(x)
    return np.array(path)


FAST = {"big": 10.0, "delta": 0.1, "scale": 1.0, "c": 0.1, "cyclic": False}


def test_paths_are_those_of_the_equations():
    methods = [{"name": "r = 1", "kind": "generic", "beta": 0.9, "r": 1.0, "s": 0.5}]
    methods += [{"name": "r = 0", "kind": "generic", "beta": 0.0, "r": 0.0, "s": 0.5}]
    rows = counterexample_runs.paths(FAST, methods, 0.5, 0.5, 3000, [4, 9])
    for row in rows:
        wanted = []
        for seed in (4, 9):
            of_seed = slopes(Form(**FAST), [seed])(1, 3000)[:, 0]
            wanted.append(generic_adam(of_seed, row["beta"], row["r"], 0.1, 0.5, 0.5))
        xs = np.array(wanted)
        assert row["late"] == pytest.approx(xs[:, 2700:3000].mean(axis=1).tolist(), abs=1e-9)
        assert row["regrets"] == pytest.approx((0.1 * (xs[:, :3000].mean(axis=1) + 1)).tolist(), abs=1e-9)
        assert row["earlier"] == pytest.approx((0.1 * (xs[:, :300].mean(axis=1) + 1)).tolist(), abs=1e-9)
        assert row["turn"] == np.flatnonzero(xs[:, 1:].mean(axis=0) > 0)[-1] + 1
        assert row["turns"] == [np.flatnonzero(x[1:] > 0)[-1] + 1 for x in xs]
        assert row["mean"] == pytest.approx(xs[:, row["steps"]].mean(axis=0).tolist(), abs=1e-4)
        assert row["paths"][1] == pytest.approx(xs[1, row["seen"]].tolist(), abs=5.1e-4)
        for before, after in zip(row["before"], row["after"], strict=True):
            assert after is None or before < after


def test_a_seed_of_the_cyclic_form_is_a_place_in_the_cycle():
    form = Form(big=101, delta=1 / 101, scale=10, cyclic=True)
    drawn = slopes(form, [0, 1, 100])(1, 303)
    assert [np.flatnonzero(column == 1010).tolist() for column in drawn.T] == [
        [0, 101, 202],
        [100, 201, 302],
        [1, 102, 203],
    ]
    assert drawn.sum(axis=0) == pytest.approx(30)
    by_four = slopes(form, [0, 1], 4)(1, 60)
    assert by_four == pytest.approx(slopes(form, [0, 1])(1, 240).reshape(60, 4, 2).mean(axis=1))
    assert slopes(form, [0, 1], 4)(31, 30) == pytest.approx(by_four[30:])


CYCLE = {"big": 101.0, "delta": 1 / 101, "scale": 10.0, "c": 0.01, "cyclic": True}


def test_the_cyclic_form_is_the_pages_one_path_with_its_realised_regret():
    methods = [{"name": "r = 1", "kind": "generic", "beta": 0.9, "r": 1.0, "s": 0.5}]
    methods += [{"name": "r = 0", "kind": "generic", "beta": 0.9, "r": 0.0, "s": 0.5}]
    rows = counterexample_runs.paths(CYCLE, methods, 0.5, 0.5, 5000, [0, 50])
    for row in rows:
        of_steps = np.array([1010.0 if t % 101 == 1 else -10.0 for t in range(1, 5001)])
        x = generic_adam(of_steps, 0.9, row["r"], 0.01, 0.5, 0.5)
        realised = np.cumsum(of_steps * (x[:-1] + 1)) / np.arange(1, 5001)
        assert row["regrets"] == pytest.approx([realised[-1]], rel=1e-9)
        assert row["earlier"] == pytest.approx([realised[499]], rel=1e-9)
        assert row["regret"] == pytest.approx(realised[np.array(row["steps"]) - 1].tolist(), rel=1e-9, abs=1e-9)
        assert abs(realised[-1] / (10 / 101 * (x[:-1].mean() + 1)) - 1) > 1e-3, "the mean slope does not give it"
        assert row["late"] == pytest.approx([x[4500:5000].mean()], abs=1e-9)
        assert row["mean"] == pytest.approx(x[row["steps"]].tolist(), abs=1e-4)
        assert row["turn"] == row["turns"][0] == max(np.flatnonzero(x[1:] > 0), default=-1) + 1
        assert (row["before"], row["after"], len(row["paths"])) == ([], [], 2)
    assert places(Form(**CYCLE))[:3] == [0, 12, 25]


def test_the_boundary_of_the_finite_sum():
    assert finite_sum_runs.predicted_boundary(12, 2) == pytest.approx(2 * 2 * (1 / 12) / 12)
    rests = [0.001, 0.01, 0.1, 1.0]
    assert finite_sum_runs.boundary(rests, [False, False, True, False]) == (0.01, 0.1)
    assert finite_sum_runs.boundary(rests, [True] * 4) == (0.0, 0.001)
    assert finite_sum_runs.boundary(rests, [False] * 4) == (1.0, math.inf)


def test_mini_batches_are_means_of_their_draws():
    drawn = slopes(Form(**FAST), [0, 1], 5)(1, 4000)
    large = (drawn * 5 + 5) / 11
    assert large == pytest.approx(large.round(), abs=1e-9)
    assert large.mean() == pytest.approx(0.5, abs=4 * math.sqrt(5 * 0.09 / 8000))


def test_turning_steps_of_resamples():
    points = np.array([[1.0, 1.0], [1.0, -3.0], [0.5, -1.0], [-1.0, -1.0]])
    once = np.array([[2, 0], [1, 1], [0, 2]])
    assert counterexample_runs.turning_steps(points, [1, 5, 10, 20], once) == ([10, 1, 1], [20, 5, 5])
    assert counterexample_runs.turning_steps(points[:2], [1, 5], once) == ([5, 1, 1], [None, 5, 5])
    assert counterexample_runs.turning_steps(points[3:], [20], once) == ([0, 0, 0], [20, 20, 20])
    chosen_seeds = counterexample_runs.resamples(6)
    assert chosen_seeds.shape == (1000, 6)
    assert (chosen_seeds.sum(axis=1) == 6).all()


def test_crossings_are_interpolated_on_a_logarithmic_axis():
    ends = np.array([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [-1.0, -0.5, -1.0], [-1.0, 0.5, -1.5]])
    found = flips_runs.crossings([1, 10, 100], ends)
    assert found == pytest.approx([10**1.5, 10**0.5, math.inf, 0.0, 10**1.25])


def test_noise_holds_a_walk_where_it_is_said_to():
    form = Form(**FAST, steps=400_000)
    rows = [counterexample_runs.paths(FAST, [{"name": "", "kind": "generic", "beta": 0.9, "r": 1.0, "s": s}], 0.5, 0.5,
            form.steps, list(range(16))) for s in (0.5, 0.375)]  # fmt: skip
    for (row,), s in zip(rows, (0.5, 0.375), strict=True):
        late = np.array(row["late"]) + 1
        assert abs(late.mean() - form.noise(1.0, s, 0.5)) < 5 * late.std(ddof=1) / 4 + 0.1 * form.noise(1.0, s, 0.5)
    assert form.noise(0.25, 0.5, 0.5) > form.noise(0.5, 0.5, 0.5)
    assert Form(**FAST, steps=1000).noise(0.25, 0.5, 0.5) == math.inf


def test_the_drift_that_remains_at_a_constant_theta_is_the_sum():
    form = Form(**FAST, steps=5000)
    moment = 0.1**2 + (0.1 * 100 + 0.9 - 0.1**2) / 7
    wanted = sum(0.1 / math.sqrt(moment) * 0.5 / math.sqrt(t) * (1 - 1 / 3) for t in range(1, 5001))
    assert flips.remaining_drift(form, 0.5, 3.0, 7) == pytest.approx(wanted, rel=1e-12)
    assert flips.remaining_drift(form, 0.5, 1.0, 7) == 0.0
    # With one draw and theta from the form: section 3's sum at r = 0.
    over = form.c * 10 / 0.2
    longer = Form(**{**FAST, "c": 0.01}, steps=5000)
    assert flips.remaining_drift(longer, 0.5, 10 / over, 1) == pytest.approx(longer.drift(0.0, 0.5, 0.5), rel=1e-9)


def test_orders_of_turns_that_may_never_come(measured):
    orders = measured[1]["counterexample"].tables["orders"]
    turns = measured[1]["counterexample"].tables["turns"].set_index(["form", "beta", "r"])
    for row in orders.itertuples():
        slow, fast = (turns.loc[(row.form, row.beta, r)].turn for r in (row.r, row.beside))
        if math.isinf(slow) and math.isinf(fast):
            assert math.isnan(row.ratio)
            assert (row.low <= 0.0 and row.high == math.inf) or row.low < 1 < row.high
        else:
            assert row.ratio == pytest.approx(slow / fast)
            assert row.low <= row.ratio <= row.high
    assert orders.ratio.isna().any()
    assert np.isfinite(orders.ratio).any()


# The studies ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    session = Session(tmp_path_factory.mktemp("store"))
    given = {name: chosen(name) for name in STUDIES}
    return given, {name: study.measure(given[name], session) for name, study in STUDIES.items()}, session


def test_a_second_look_calculates_nothing(measured, monkeypatch):
    given, found, session = measured
    monkeypatch.setattr(counterexample_runs, "simulate", None)
    again = counterexample.measure(given["counterexample"], Session(session.store.folder, only_report=True))
    for name, table in found["counterexample"].tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)


def test_every_method_is_there_in_every_form(measured):
    given, found, _ = measured
    ends = found["counterexample"].tables["ends"]
    names = {(f"r = {r:g}", beta) for r in (0, 0.25, 0.5, 0.75, 1) for beta in (0.9, 0.0)}
    names |= {(name, 0.9) for name in ("AMSGrad", "ADOPT", "ADOPT, clipped")}
    for form in given["counterexample"].parsed:
        own = ends[ends.form == form]
        assert set(zip(own.method, own.beta, strict=True)) == names
        seeds = [0] if form == "cyclic" else [0, 1, 2]
        assert own.groupby(["method", "beta"]).seed.apply(list).tolist() == [seeds] * len(names)
    # AMSGrad sees the same draws as Adam, and ADOPT is another method.
    assert ends[ends.form != "cyclic"].groupby("form").late.nunique().min() >= 3 * 13 - 3
    drawn = found["counterexample"].tables["seeds"]
    assert sorted(drawn[drawn.form == "cyclic"].seed.unique()) == places(given["counterexample"].parsed["cyclic"])
    turns = found["counterexample"].tables["turns"]
    assert set(turns[turns.form == "cyclic"].n) == {1}
    row = turns[(turns.form == "fast") & (turns.r == 0.5) & (turns.beta == 0.9)].iloc[0]
    assert row.predicted == pytest.approx((0.55 * 50) ** 2)
    kept = (turns.low <= turns.turn) & (turns.turn <= turns.high)
    assert kept.all()


def test_the_checker_agrees_with_the_rule_and_the_plane_is_whole(measured):
    points = measured[1]["plane"].tables["points"]
    assert len(points) == 2 * 4 * 4
    assert (points.condition == points.exact).all()
    assert points.condition.any()
    assert not points.condition.all()
    assert (points.low <= points.end).all()
    own = measured[1]["plane"].tables["ends"]
    assert own.groupby(["form", "r", "s"]).end.mean().to_numpy() == pytest.approx(
        points.set_index(["form", "r", "s"]).end.sort_index().to_numpy()
    )


def test_plane_and_counterexample_agree_where_they_meet(measured):
    given, found, _ = measured
    form = given["plane"].parsed["fast"]
    rows = counterexample_runs.paths(
        FAST, [{"name": "", "kind": "generic", "beta": 0.9, "r": 0.75, "s": 0.5}], 0.5, 0.5, form.steps, [0, 1]
    )
    ends = found["plane"].tables["ends"]
    own = ends[(ends.form == "fast") & (ends.r == 0.75) & (ends.s == 0.5)]
    assert own.end.tolist() == pytest.approx(rows[0]["late"], abs=1e-12)
    assert method("generic", 0.9, 0.75, 0.1, 0.5, 0.5).theta.values(np.array([16.0])) == pytest.approx(1 - 0.775 / 8)


def test_shares_are_those_of_the_square(measured):
    tables = measured[1]["finite_sum"].tables
    square, shares, boundaries = tables["square"], tables["shares"], tables["boundaries"].dropna()
    assert len(square) == 3 * 3 * 49
    assert sorted(square.beta_1.unique()) == pytest.approx([k / 7 for k in range(7)])
    assert sorted(square.rest.unique()) == pytest.approx([10 ** (k / 2 - 3) for k in range(7)])
    assert len(boundaries) == 6
    for row in boundaries.itertuples():
        own = square[(square.method == "Adam") & (square.sampling == row.sampling) & (square.batch == row.batch)]
        own = own[own.beta_1 == 0]
        assert not own[own.rest <= row.inside].diverged.any()
        assert own[own.rest == row.outside].diverged.all()
        assert row.predicted == pytest.approx(2 * row.batch / 16)
    assert (square.diverged == (square.distance > 2.0)).all()
    assert ((shares.least <= shares.share) & (shares.share <= shares.most)).all()
    full = square[(square.batch == 4) & (square.sampling == "reshuffled")]
    # At beta_2 = 0 it is m/|g|, which has no bound.
    assert not full[full.rest < 1].diverged.any(), "with the gradient of the whole sum everything converges"


def test_the_figures_and_what_they_say(measured):
    given, found, _ = measured
    names = {
        "counterexample": [
            "counterexample_stochastic", "counterexample_cyclic", "counterexample_fast", "turning_steps",
        ],
        "plane": ["exponent_plane", "step_exponent"],
        "flips": ["flips", "flips_predicted"],
        "finite_sum": ["finite_sum_square", "finite_sum_shares"],
    }  # fmt: skip
    for study, wanted in names.items():
        drawn = STUDIES[study].draw(found[study], given[study])
        assert list(drawn) == wanted
        assert all("nan" not in caption and len(caption) > 200 for _, caption in drawn.values())
    axis = counterexample.draw(found["counterexample"], given["counterexample"])["counterexample_fast"][0].axes[0]
    dashed = [line.get_xdata()[0] for line in axis.get_lines() if line.get_linestyle() == "--"]
    assert sorted(dashed) == pytest.approx([50, (0.775 * 50) ** (4 / 3), (0.55 * 50) ** 2])


def test_one_deterministic_path_decides_nothing(measured):
    arm, one_path = {"form": "cyclic", "beta": 0.9}, "one deterministic path, no interval"
    of_p1, of_p2 = (CLAIMS[claim].judge(measured[1], arm) for claim in ("P1", "P2"))
    assert (of_p1.answer, of_p1.statistic.n) == ("inconclusive", 1)
    assert of_p1.remarks[0].startswith("realised average regret")
    assert one_path in of_p1.remarks[0]
    assert of_p2.answer == NOT_TESTABLE
    assert of_p2.remarks[0].startswith(one_path)
    assert judge(p4.CLAIM, batches(seeds=1)).answer == "inconclusive"


def test_few_seeds_decide_nothing(measured):
    found = measured[1]
    of_p1, *others = (judge(claim, found) for claim in CLAIMS.values())
    assert of_p1.answer == "inconclusive"
    assert {other.answer for other in others} == {NOT_TESTABLE}
    assert judge(p3.CLAIM, found).arms[1]["answer"] == "inconclusive", "the fast form turns in time"


# Verdicts ------------------------------------------------------------------------------------------------------------


def verdict(claim, found, answer):
    given = judge(CLAIMS[claim], found)
    assert given.answer == answer, (given.answer, given.remarks)
    json.dumps(asdict(given), allow_nan=False)
    assert all("nan" not in remark for remark in given.remarks), given.remarks
    return given


def ends(late=0.99, regret=0.39, earlier=0.39, seeds=6, spread=0.002):
    """P1: r = 0 in two forms, and AMSGrad."""
    rows = []
    for form in ("stochastic", "cyclic"):
        for name, kind, r in (("r = 0", "generic", 0.0), ("r = 1", "generic", 1.0), ("AMSGrad", "largest", 0.0)):
            shared = {"form": form, "method": name, "kind": kind, "beta": 0.9, "r": r, "steps": 1000, "worst": 0.4}
            own = (late, regret, earlier) if name == "r = 0" and form == "stochastic" else (-0.9, 0.02, 0.1)
            for seed in range(seeds):
                moved = spread * (seed - (seeds - 1) / 2)
                numbers = {"late": own[0] + moved, "regret": own[1] * (1 + 0.25 * moved), "earlier": own[2]}
                rows.append({**shared, "seed": seed, **numbers, "turn": 10})
    return {"counterexample": Found({"ends": pd.DataFrame(rows)})}


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({}, "holds"),
        ({"late": 0.4}, "fails"),
        ({"regret": 0.19, "earlier": 0.19}, "fails"),  # less than half of standing at +1
        ({"regret": 0.3, "earlier": 0.39}, "fails"),  # it vanishes
        ({"late": 0.5, "spread": 0.1}, "inconclusive"),
        ({"regret": 0.351, "spread": 0.1}, "inconclusive"),
        ({"late": 0.4, "seeds": 4}, "inconclusive"),
    ],
)
def test_p1(changed, answer):
    given = verdict("P1", ends(**changed), answer)
    assert given.value == pytest.approx(changed.get("late", 0.99))
    assert [arm["form"] for arm in given.arms] == ["stochastic", "cyclic"]
    if answer == "holds":
        assert given.arms[1]["answer"] == "fails"
        assert "AMSGrad -0.900" in given.remarks[1]
    without = {"counterexample": Found({"ends": ends()["counterexample"].tables["ends"].query("method != 'r = 0'")})}
    verdict("P1", without, NOT_TESTABLE)


def turns(fast=(3e4, 1e4, 7e4), slow=(1.4e5, 7e4, 2.6e5), ratio=(4.6, 2.0, 9.0), n=32, drift=5.0, steps=1e7):
    """P2: turn, low and high of r = 1 and r = 3/4, and of their ratio."""
    rows = []
    for r, (turn, low, high), predicted in (
        (0.75, slow, 2.35e4),
        (1.0, fast, 2525.0),
        (0.0, (math.inf,) * 3, math.inf),
    ):
        shared = {"form": "stochastic", "method": f"r = {r:g}", "kind": "generic", "beta": 0.9, "r": r}
        numbers = {"steps": steps, "turn": turn, "low": low, "high": high, "n": n}
        rows.append({**shared, **numbers, "predicted": predicted, "drift": drift if r else 0.0})
    order = {"form": "stochastic", "beta": 0.9, "r": 0.75, "beside": 1.0, "n": n}
    orders = pd.DataFrame([{**order, **dict(zip(("ratio", "low", "high"), ratio, strict=True))}])
    return {"counterexample": Found({"turns": pd.DataFrame(rows), "orders": orders})}


@pytest.mark.parametrize(
    ("changed", "answer", "least"),
    [
        ({}, "holds", 4.6),
        ({"fast": (2000.0, 1500.0, 2400.0)}, "fails", 2000 / 2525),  # earlier than t*
        ({"fast": (2600.0, 1500.0, 4000.0)}, "inconclusive", 2600 / 2525),
        ({"slow": (2e4, 1.5e4, 2.3e4)}, "fails", 2e4 / 2.35e4),
        ({"ratio": (0.5, 0.3, 0.9)}, "fails", 0.5),  # the other order
        ({"ratio": (1.5, 0.9, 3.0)}, "inconclusive", 1.5),
        ({"slow": (math.inf, 1e7, math.inf)}, "fails", 4.6),  # never turns
        ({"slow": (5e6, 2e6, math.inf)}, "inconclusive", 4.6),
        (
            {"fast": (math.inf, 1e7, math.inf), "slow": (math.inf, 1e7, math.inf), "ratio": (math.nan, 0.0, math.inf)},
            "fails",
            math.inf,
        ),
        ({"n": 31}, NOT_TESTABLE, None),
        ({"n": 1}, NOT_TESTABLE, None),
        ({"drift": 2.9}, NOT_TESTABLE, None),
    ],
)
def test_p2(changed, answer, least):
    given = verdict("P2", turns(**changed), answer)
    assert given.value == (None if least in (None, math.inf) else pytest.approx(least))
    if answer != NOT_TESTABLE:
        assert any(remark.startswith("r = 0: does not turn") for remark in given.remarks)


def test_p2_needs_both_decays():
    found = turns()["counterexample"].tables
    found["turns"] = found["turns"].query("r != 1")
    verdict("P2", {"counterexample": Found(found)}, NOT_TESTABLE)


def points(ends=(-0.95, -0.9), half=0.05, n=8, drift=4.0):
    """P3: two points with the condition and enough drift, and others that do what they like."""
    rows = [
        {"r": 1.0, "s": 0.5 + 0.1 * k, "condition": True, "drift": drift, "noise": 0.1 + k, "end": e}
        for k, e in enumerate(ends)
    ]
    rows += [{"r": 1.0, "s": 0.9, "condition": True, "drift": 1.0, "end": 0.9}]
    rows += [{"r": 1.0, "s": 0.1, "condition": False, "drift": 9.0, "end": 0.9}]
    rows += [{"r": 1.0, "s": 0.2, "condition": False, "drift": 9.0, "end": -0.9}]
    shared = {"form": "stochastic", "beta": 0.9, "steps": 1000, "n": n, "noise": 1.0}
    rows = [
        {**shared, **row, "exact": row["condition"], "low": row["end"] - half, "high": row["end"] + half}
        for row in rows
    ]
    return {"plane": Found({"points": pd.DataFrame(rows)})}


@pytest.mark.parametrize(
    ("changed", "answer", "share"),
    [
        ({}, "holds", (1.0, 1.0)),
        ({"ends": (-0.95, 0.9)}, "fails", (0.5, 0.5)),
        ({"ends": (-0.95, -0.5)}, "inconclusive", (0.5, 1.0)),
        ({"ends": (0.9, -0.5)}, "fails", (0.0, 0.5)),
        ({"n": 4}, "inconclusive", (0.0, 1.0)),
        ({"drift": 2.9}, NOT_TESTABLE, None),
    ],
)
def test_p3(changed, answer, share):
    given = verdict("P3", points(**changed), answer)
    if share:
        assert (given.low, given.high) == share
        assert "hold the mean of x 0.1 to 0.1 above -1 at 1 of the 2 points" in given.remarks[1]
        assert "at the other 1 that is more than 1: no prediction" in given.remarks[1]
        assert "of the 1 points where that is at most 0.25, " in given.remarks[1]
        assert [cell["noise"] for cell in given.cells] == [0.1, None]
        assert "with the condition but less drift, 0 of 1 points end below -0.5; without it, 1 of 2" in given.remarks[2]
        assert len(given.cells) == 2


SIZES = {5: (0.98, -20.0), 20: (0.3, -3.0), 60: (-0.97, 8.0), 100: (-0.98, 2.0)}
"""End and remaining drift by batch size; b* = 25."""


def batches(changed=None, seeds=6, spread=0.01):
    rows = []
    for family in ("stochastic", "fast"):
        for value, (end, drift) in {**SIZES, **(changed or {})}.items():
            shared = {
                "family": family,
                "swept": "batch",
                "beta": 0.9,
                "predicted": 25.0,
                "value": value,
                "drift": drift,
            }
            rows += [{**shared, "seed": k, "end": end + spread * (k - (seeds - 1) / 2)} for k in range(seeds)]
    flip = {"beta": 0.9, "predicted": 25.0, "flip": 22.0, "low": 21.0, "high": math.inf, "n": seeds}
    found = [{"family": f, "swept": s, **flip} for f in ("stochastic", "fast") for s in ("batch", "window")]
    boundary = {"method": "Adam", "sampling": "replacement", "batch": 2, "inside": 0.02, "outside": 0.03}
    share = {"method": "Adam", "sampling": "reshuffled", "batch": 2, "share": 0.835, "least": 0.8, "most": 0.9}
    return {
        "flips": Found({"ends": pd.DataFrame(rows), "flips": pd.DataFrame(found)}),
        "finite_sum": Found(
            {"shares": pd.DataFrame([share]), "boundaries": pd.DataFrame([{**boundary, "predicted": 0.0278}])}
        ),
    }


@pytest.mark.parametrize(
    ("changed", "answer", "least"),
    [
        ({}, "holds", 0.97),
        ({"changed": {100: (0.9, 2.0)}}, "holds", 0.97),  # too little drift left to be predicted
        ({"changed": {20: (-0.9, -3.0)}}, "holds", 0.97),  # between b*/4 and 2 b*
        ({"changed": {60: (-0.4, 8.0)}}, "fails", 0.4),
        ({"changed": {5: (0.4, -20.0)}}, "fails", 0.4),
        ({"changed": {60: (-0.5, 8.0)}}, "inconclusive", 0.5),
        ({"changed": {60: (0.9, 8.0)}, "seeds": 4}, "inconclusive", -0.9),
        ({"changed": {60: (-0.97, 2.9)}}, NOT_TESTABLE, None),
        ({"changed": {5: (0.98, -20.0), 50: (-0.97, 3.0)}}, "holds", 0.97),
    ],
)
def test_p4(changed, answer, least):
    given = verdict("P4", batches(**changed), answer)
    assert given.value == (None if least is None else pytest.approx(least))
    if answer != NOT_TESTABLE:
        assert "flip by batch size: measured 22 (21 to no bound), predicted 25" in given.remarks
        assert given.remarks[-1].endswith("there diverges: 83.5% at b = 2")
        assert given.remarks[-2].endswith("at beta_1 = 0: replacement, b = 2: 0.02 to 0.03, 0.0278 predicted")
        assert [cell["batch"] for cell in given.cells] == sorted(cell["batch"] for cell in given.cells)
