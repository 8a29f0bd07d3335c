"""The study `networks` on a few runs, what it is made of, and P7 on made-up tables."""

import copy
import math
import types

import numpy as np
import pandas as pd
import pytest

from data import cache, files
from experiments import claims, curves, figures
from experiments.papers.practical_adam import networks_plan, networks_tables
from experiments.papers.practical_adam.claims import p7
from experiments.papers.practical_adam.studies import networks
from experiments.session import Session
from experiments.study import Found
from optim import settings as declared
from optim.settings import SettingError

AMSGRAD = ["beta=constant", "beta.at=0.9", "theta=constant", "theta.at=0.999", "optimizer.largest=true"]
RMSPROP = ["beta=constant", "beta.at=0", "theta=towards_one", "theta.r=1"]
DIGITS = {
    "words": ["task=images/digits_lenet"],
    "passes": 1,
    "looks": 2,
    "batch_size": 64,
    "rates": [1, 10],
    "methods": ["r = 0", "r = 1", "AMSGrad"],
    "tuned": ["r = 0", "r = 1"],
    "other_v_0": [1e-4],
    "started": ["r = 0", "r = 1"],
}
SMALL = {
    "networks": {"digits_lenet": DIGITS, "mnist_lenet": {**DIGITS, "words": ["task=images/mnist_lenet"]}},
    "r": [0, 0.25, 0.5, 0.75, 1],
    "others": {"AMSGrad": AMSGRAD, "RMSProp": RMSPROP},
    "common": ["sampling=reshuffled", "last_batch=even", "dtype=float32"],
    "tuning_seeds": [1000],
    "seeds": [0, 1],
}


def configured(**changes):
    return declared.build(networks.Settings, {**copy.deepcopy(SMALL), **changes}, "networks")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """On a machine without MNIST."""
    folder = tmp_path_factory.mktemp("networks")
    settings = configured()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATA_DIR", raising=False)
        patch.setattr(files, "DOWNLOADS", folder / "downloads")
        patch.setattr(cache, "FOLDER", folder / "cache")
        session = Session(folder / "store")
        found = networks.measure(settings, session)
        yield types.SimpleNamespace(settings=settings, session=session, found=found, **found.tables)


# From end to end -----------------------------------------------------------------------------------------------------


def test_every_method_at_its_rates_and_seeds(done):
    wanted = {("r = 0", 1, 1e-8), ("r = 1", 1, 1e-8), ("AMSGrad", 1, 1e-8), ("r = 0", 1, 1e-4), ("r = 1", 1, 1e-4)}
    picked = done.tuning[done.tuning.picked]
    wanted |= {(row.method, row.rate, 1e-8) for row in picked.itertuples()}
    assert len(wanted) > 5, "another rate is picked"
    keys = ["method", "rate", "v_0", "seed"]
    found = set(done.runs[keys].itertuples(index=False, name=None))
    assert found == {(*point, seed) for point in wanted for seed in (0, 1)}
    assert len(done.runs) == 2 * len(wanted)
    assert set(done.runs.network) == {"digits_lenet"}, "there is no MNIST"
    assert set(done.tuning[keys].itertuples(index=False, name=None)) == {
        (method, rate, 1e-8, 1000) for method in ("r = 0", "r = 1") for rate in (1, 10)
    }
    np.testing.assert_allclose(done.runs.lr, 0.001 * done.runs.rate)
    assert done.found.reported == set(done.runs.run)
    assert done.runs[done.runs.method == "AMSGrad"].r.isna().all()


def test_v_0_is_where_the_second_moment_starts(done):
    zero = done.runs[(done.runs.method == "r = 0") & (done.runs.rate == 1)].set_index(["seed", "v_0"])
    assert (zero.loss.unstack()[1e-4] > zero.loss.unstack()[1e-8]).all(), "longer steps from the smaller one"
    one = done.runs[(done.runs.method == "r = 1") & (done.runs.rate == 1)].set_index(["seed", "v_0"])
    np.testing.assert_array_equal(one.loss.unstack()[1e-4], one.loss.unstack()[1e-8])  # theta_1 = 0 erases it


def test_rows_are_what_the_store_has(done):
    found = curves.read(done.session.store, done.runs.run, ["loss", "test_accuracy"])
    for row in done.runs.itertuples():
        curve = found[row.run]
        assert curve.examples[-1] == 1437
        assert (row.first_loss, row.loss) == (curve.values["loss"][0], curve.values["loss"][-1])
        assert row.test_accuracy == curve.values["test_accuracy"][-1]
        own = done.curves[(done.curves.method == row.method) & (done.curves.rate == row.rate)]
        own = own[(own.seed == row.seed) & (own.v_0 == row.v_0)]
        np.testing.assert_array_equal(own.loss, curve.values["loss"])
        np.testing.assert_allclose(own.passes, curve.examples / 1437)
        assert len(own) == 3


def test_methods_that_are_compared_share_start_and_data(done):
    starts = done.runs.groupby("seed").first_loss.unique()
    assert all(len(start) == 1 for start in starts)
    assert starts[0] != starts[1]
    main = done.runs[(done.runs.rate == 1) & (done.runs.v_0 == 1e-8)]
    one, zero = (main[main.method == m].loss.to_numpy() for m in ("r = 1", "r = 0"))
    assert (one != zero).all()


def test_tuning_picks_the_lowest_loss_of_each_method(done):
    for _, rows in done.tuning.groupby("method"):
        assert list(rows[rows.picked].rate) == [rows.loc[rows.loss.idxmin()].rate]
    arms = networks_tables.arms(done.found.tables)
    assert list(arms) == [("the paper's", "1e-08"), ("the paper's", "0.0001"), ("tuned", "1e-08")]
    assert set(arms["the paper's", "1e-08"].method) == {"r = 0", "r = 1", "AMSGrad"}
    for v_0 in ("1e-08", "0.0001"):
        assert set(arms["the paper's", v_0].rate) == {1}
        assert set(arms["the paper's", v_0].v_0) == {float(v_0)}
    assert set(arms["tuned", "1e-08"].method) == {"r = 0", "r = 1"}
    assert len(arms["tuned", "1e-08"]) == 4


def test_a_second_time_nothing_is_run(done, monkeypatch):
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setattr(files, "DOWNLOADS", done.session.store.folder / "nowhere")
    again = networks.measure(done.settings, Session(done.session.store.folder, only_report=True))
    for name, table in done.found.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)


def test_the_figures_show_every_method(done, tmp_path):
    figures.use()
    drawn = networks.draw(done.found, done.settings)
    assert set(drawn) == {"networks", "networks_tuned", "networks_by_r"}
    left, right = drawn["networks"][0].axes
    for axis in (left, right):
        labels = [line.get_label() for line in axis.lines if not line.get_label().startswith("_")]
        assert labels == ["r = 0", "r = 1", "AMSGrad"]
        assert len(axis.lines) == 3 * (1 + 2), "a mean and two seeds each"
    assert "AMSGrad is r = 0 as long as no v_t falls" in drawn["networks"][1]
    assert "picked, of 1, 10: digits_lenet (r = 0:" in drawn["networks_tuned"][1]
    assert "where g^2 is far above v_0/c, 1e-05 for v_0 = 1e-08" in drawn["networks_by_r"][1]
    for name, (figure, caption) in drawn.items():
        figures.save(figure, caption, tmp_path / name)
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


# What is run ---------------------------------------------------------------------------------------------------------


def test_sequences_are_those_of_the_paper():
    settings = configured()
    plan = declared.build(networks_plan.NetworkPlan, {"words": DIGITS["words"], "rates": [1]}, "plan")
    points = networks_plan.points("x", plan, 1437, settings.methods, settings.lr, 1e-6, [])
    rules = {point.method.name: point.runs([0])[0].experiment.optimizer for point in points}
    t = np.array([1.0, 2.0, 10.0, 1e4])
    for r in (0, 0.25, 0.5, 0.75, 1):
        rule = rules[f"r = {r:g}"]
        np.testing.assert_allclose(rule.theta.values(t), 1 - (0.001 + 0.999 * r) / t**r, rtol=1e-14)
        np.testing.assert_allclose(rule.alpha.values(t), 1 / np.sqrt(t), rtol=1e-14)
        assert set(rule.beta.values(t)) == {0.9}
        assert (rule.lr, rule.v_0, rule.largest) == (0.001, 1e-6, False)
    assert (set(rules["AMSGrad"].theta.values(t)), rules["AMSGrad"].largest) == ({0.999}, True)
    assert set(rules["AMSGrad"].beta.values(t)) == {0.9}
    np.testing.assert_allclose(rules["RMSProp"].theta.values(t), 1 - 1 / t, rtol=1e-14)
    assert set(rules["RMSProp"].beta.values(t)) == {0.0}


def test_budget_and_evaluations():
    settings = configured()
    values = {"words": DIGITS["words"], "passes": 3, "looks": 2, "batch_size": 100, "rates": [1, 0.1]}
    plan = declared.build(networks_plan.NetworkPlan, values, "plan")
    points = networks_plan.points("x", plan, 1437, settings.methods, 0.002, 1e-8, [])
    assert len(points) == 2 * 7
    first, last = points[0].runs([3, 4]), points[-1].runs([3], ends=True)
    assert [run.seed for run in first] == [3, 4]
    experiment = first[0].experiment
    assert (experiment.budget.axis, experiment.budget.amount) == ("examples", 3 * 1437)
    assert experiment.record == "every:2156"
    assert experiment.batch_size.size == 100
    assert last[0].experiment.record == "ends"
    assert last[0].hyper["lr"] == pytest.approx(0.0002)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"networks": {}}, "networks must name at least one network"),
        ({"networks": {"a": 3}}, "networks.a must hold settings"),
        ({"networks": {"a": {**DIGITS, "methods": ["r = 2"]}}}, "there is no method 'r = 2': did you mean"),
        ({"networks": {"a": {**DIGITS, "tuned": ["Adam"]}}}, "there is no method 'Adam'"),
        ({"networks": {"a": {**DIGITS, "rates": [10, 1]}}}, "rates must be different positive numbers that begin"),
        ({"networks": {"a": {**DIGITS, "rates": [1, -1]}}}, "rates must be different positive numbers"),
        ({"networks": {"a": {**DIGITS, "words": ["optimizer=sgd"]}}}, "words must be overrides that begin with task="),
        ({"networks": {"a": {**DIGITS, "passes": 0}}}, "networks.a.passes must be at least 1"),
        ({"r": [0, 2]}, "r must be different numbers from 0 to 1"),
        ({"r": [0, 0]}, "r must name at least one thing, and none twice"),
        ({"r": [0, 0.1234567, 0.1234568]}, "two methods have one name"),
        ({"others": {"r = 0": ["theta=constant"]}}, "two methods have one name"),
        ({"networks": {"a": {**DIGITS, "tuned": ["r = 0.5"]}}}, "tuned: 'r = 0.5' is not run: name it in methods"),
        ({"networks": {"a": {**DIGITS, "started": ["RMSProp"]}}}, "started: 'RMSProp' is not run"),
        ({"networks": {"a": {**DIGITS, "other_v_0": [-1]}}}, "other_v_0 must be different numbers from 0"),
        ({"networks": {"a": {**DIGITS, "other_v_0": [0.1, 0.1]}}}, "other_v_0 must be different numbers from 0"),
        ({"networks": {"a": {**DIGITS, "other_v_0": [1e-8]}}}, "other_v_0 must leave out v_0=1e-08"),
        ({"others": {"AMSGrad": "theta=constant"}}, "others: 'AMSGrad' must be a list of overrides"),
        ({"seeds": [0, 1000]}, "seeds and tuning_seeds must not share any"),
    ],
)
def test_settings_that_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        configured(**changes)


# P7 ------------------------------------------------------------------------------------------------------------------

SEEDS = 5


def made_up(final, seeds=SEEDS, accuracy=None, v_0=1e-8):
    """Final losses by network, rate and r: a number, or one for each seed; the first loss is 2 +- 1%."""
    rows = []
    for (network, rate, r), losses in final.items():
        for seed, loss in enumerate(np.broadcast_to(losses, seeds).tolist()):
            shown = math.nan if math.isinf(loss) else (accuracy or {}).get(r, 0.5) + 0.001 * seed
            ends = {"first_loss": 2 + 0.02 * (seed - 2), "loss": loss, "test_accuracy": shown}
            rows.append({"network": network, "method": f"r = {r:g}", "rate": rate, "v_0": v_0, "r": float(r)})
            rows[-1] |= {"seed": seed, **ends}
    return pd.DataFrame(rows)


def tuning(losses):
    """By network, rate and r, on one seed."""
    rows = [{"network": n, "method": f"r = {r:g}", "rate": rate, "loss": x} for (n, rate, r), x in losses.items()]
    table = pd.DataFrame(rows)
    best = table.groupby(["network", "method"]).loss.transform("min")
    return table.assign(seed=1000, picked=table.loss == best)


def verdict(table, tried=None):
    tables = {"runs": table} if tried is None else {"runs": table, "tuning": tried}
    return claims.judge(p7.CLAIM, {"networks": Found(tables)})


SPREAD = np.linspace(0.99, 1.01, SEEDS)


@pytest.mark.parametrize(
    ("last", "zero", "answer"),
    [
        (1.0, 1.0, "holds"),
        (1.0 * SPREAD, 1.0, "holds"),
        (1.04 * SPREAD, 1.0, "inconclusive"),
        (1.2, 1.0, "fails"),
        (2.5, 2.5, "fails"),  # both as good, and neither falls
        (1.0, [1.9, 1.9, 2.1, 2.0, 2.0], "inconclusive"),  # it may fall under r = 0, or not
        (math.inf, 1.0, "fails"),
        (1.0, math.inf, "fails"),  # better than one that diverges, which does not fall
        ([1.0, 1.0, math.inf, 1.0, 1.0], 1.0, "inconclusive"),
    ],
)
def test_one_network(last, zero, answer):
    found = verdict(made_up({("a", 1, 0): zero, ("a", 1, 0.5): 1.0, ("a", 1, 1): last}))
    assert found.answer == answer
    assert found.cells[0]["seeds"] == SEEDS
    if answer == "holds":
        assert found.value == pytest.approx(1.0, rel=1e-3)


def test_the_ratio_is_paired_by_seed():
    own = np.array([1.0, 0.5, 0.1, 2.0, 1.5])
    found = verdict(made_up({("a", 1, 0): own, ("a", 1, 1): 1.02 * own}))
    assert found.value == pytest.approx(1.02)
    assert found.high == pytest.approx(1.02)
    assert found.cells[0]["r = 1 as good"] == "holds"


def test_every_exponent_must_fall_and_every_network_must_do():
    fine = {("a", 1, 0): 1.0, ("a", 1, 0.25): 1.0, ("a", 1, 1): 1.0}
    worse = {("b", 1, 0): 1.0, ("b", 1, 0.25): 2.2, ("b", 1, 1): 0.9}
    assert verdict(made_up(fine)).answer == "holds"
    found = verdict(made_up(fine | worse))
    assert found.answer == "fails"
    assert [cell["answer"] for cell in found.cells] == ["holds", "fails"]
    assert found.cells[1]["worst r"] == 0.25
    assert found.value == pytest.approx(1.0), "the worst network"


def test_too_few_seeds_or_no_pair_of_exponents():
    assert verdict(made_up({("a", 1, 0): 1.0, ("a", 1, 1): 1.0}, seeds=4)).answer == "inconclusive"
    found = verdict(made_up({("a", 1, 0.5): 1.0, ("a", 1, 1): 1.0}))
    assert found.answer == "holds", "that it falls is all that can be said"
    assert found.cells[0]["r = 1 as good"] == "not testable at this scale"
    assert found.value is None


def test_v_0_is_an_arm():
    main = made_up({("a", 1, 0): 1.0, ("a", 1, 1): 1.5, ("b", 1, 0): 1.0, ("b", 1, 1): 0.9})
    other = made_up({("a", 1, 0): 1.0, ("a", 1, 1): 0.8}, v_0=1e-6)
    found = verdict(pd.concat([main, other]))
    assert [(arm["learning rate"], arm["v_0"], arm["answer"]) for arm in found.arms] == [
        ("the paper's", "1e-08", "fails"),
        ("the paper's", "1e-06", "holds"),
    ]
    assert found.deciding == "v_0"


def test_methods_that_are_not_run_are_named():
    two = verdict(made_up({("a", 1, 0): 1.0, ("a", 1, 1): 1.0}))
    assert (
        "not run here, so that nothing is said about them: r = 0.25, r = 0.5, r = 0.75, AMSGrad, RMSProp"
        in (two.remarks[0])
    )
    table = made_up({("a", 1, r): 1.0 for r in (0, 0.25, 0.5, 0.75, 1)})
    others = [table[table.r == 0].assign(method=name, r=math.nan) for name in ("AMSGrad", "RMSProp")]
    assert "not run" not in verdict(pd.concat([table, *others])).remarks[0]


def test_a_network_without_any_exponent_is_not_judged():
    other = made_up({("b", 1, 0): 1.0}).assign(method="AMSGrad", r=math.nan)
    found = verdict(other)
    assert found.answer == "not testable at this scale"
    assert found.remarks[0] == "b: not judged, as no exponent r is run"
    beside = verdict(pd.concat([made_up({("a", 1, 0): 1.0, ("a", 1, 1): 1.0}), other]))
    assert beside.answer == "holds"
    assert len(beside.cells) == 1


@pytest.mark.parametrize(
    ("zero", "one", "answer"),
    [
        ({1: 1.0, 10: 0.5, 100: 2.0}, {1: 1.0, 10: 0.7, 100: 0.4}, "holds"),  # the winner may still get better
        ({1: 1.0, 10: 0.5, 100: 0.45}, {1: 1.0, 10: 0.7, 100: 0.4}, "inconclusive"),  # so may the loser
        ({1: 1.0, 10: 0.5, 100: 0.4}, {1: 1.0, 10: 0.6, 100: 0.7}, "fails"),
        ({1: 1.0, 10: 0.5, 100: 2.0}, {1: 1.0, 10: 0.8, 100: 0.7}, "inconclusive"),
    ],
)
def test_tuned_rates_at_the_edge_of_those_tried(zero, one, answer):
    losses = {("a", rate, r): x for r, of_rate in ((0, zero), (1, one)) for rate, x in of_rate.items()}
    found = verdict(made_up(losses), tuning(losses))
    tuned = found.arms[-1]
    assert (tuned["learning rate"], tuned["answer"]) == ("tuned", answer)
    assert tuned["value"] == pytest.approx(min(one.values()) / min(zero.values()))


def test_accuracies_are_remarks():
    losses = {("a", 1, 0): 1.0, ("a", 1, 1): 1.0}
    small = verdict(made_up(losses, accuracy={0: 0.5, 1: 0.495}))
    assert "test accuracy -0.50 points (-0.50 to -0.50), less than 1 means nothing" in small.remarks[0]
    large = verdict(made_up(losses, accuracy={0: 0.5, 1: 0.4}))
    assert large.answer == "holds"
    assert "test accuracy -10.00 points (-10.00 to -10.00)" in large.remarks[0]
    assert "means nothing" not in large.remarks[0]


def test_without_runs_nothing_can_be_said():
    found = verdict(pd.DataFrame(columns=["network", "rate", "v_0"]))
    assert found.answer == "not testable at this scale"
