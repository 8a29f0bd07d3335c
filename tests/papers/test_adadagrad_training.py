"""The study `training`: the smoke scale from end to end, what is derived from the test's runs, and what is refused."""

import copy
import itertools
import json
import math
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

from data import MissingData, cache
from experiments import config, curves, figures, sizes
from experiments.components import CONFIGS
from experiments.papers.adadagrad import plans, ramps, schemes
from experiments.papers.adadagrad.studies import training
from experiments.session import Session
from optim import settings as declared
from optim.batch_sizes.constant import Constant
from optim.batch_sizes.linear import Linear
from optim.batch_sizes.stages import Stages
from optim.settings import SettingError

SCALES = sorted((CONFIGS / "paper" / "adadagrad").glob("*.yaml"))
KEYS = ["task", "optimizer", "scheme", "rate", "seed"]


def chosen(scale):
    return yaml.safe_load((CONFIGS / "paper" / "adadagrad" / f"{scale}.yaml").read_text())["training"]


def configured(values):
    return declared.build(training.Settings, values, "training")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study at the smoke scale, in a store whose name needs quotes."""
    folder = tmp_path_factory.mktemp("it's a ${store}")
    settings = configured(chosen("smoke"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "FOLDER", folder / "cache")
        session = Session(folder / "store")
        found = training.measure(settings, session)
        yield types.SimpleNamespace(settings=settings, session=session, found=found, **found.tables)


def arm(table, scheme, rate="released", optimizer="adagrad"):
    picked = table[(table.scheme == scheme) & (table.rate == rate) & (table.optimizer == optimizer)]
    assert len(picked)
    return picked.set_index("seed")


def rows_of(done, run):
    return list(done.session.store.find([run])[run].rows())


# From end to end -----------------------------------------------------------------------------------------------------


def test_every_scheme_of_the_plan_is_there_once_for_each_seed(done):
    wanted = set()
    for optimizer, plan in done.settings.plans["digits_linear"].plans.items():
        for rate, listed in (("released", plan.schemes), ("tuned", plan.tuned)):
            for scheme in listed:
                name = "constant 1437 (all)" if scheme == "cap" else f"constant {scheme}"
                name = scheme if scheme != "cap" and isinstance(scheme, str) else name
                wanted |= {("digits_linear", optimizer, name, rate, seed) for seed in done.settings.seeds}
    assert set(done.runs[KEYS].itertuples(index=False, name=None)) == wanted
    assert len(done.runs) == len(wanted)
    assert set(done.runs.run) == done.found.reported


def test_runs_agree_with_what_the_store_has(done):
    for row in done.runs.itertuples():
        rows = rows_of(done, row.run)
        last = [r for r in rows if "metrics" in r][-1]
        assert (row.steps, row.examples) == (last["step"], last["examples"])
        assert row.examples == 3 * 1437, "equal examples"
        assert row.average_size == row.examples / row.steps
        lane = [r["run"] for r in done.session.store.find([row.run])[row.run].describe()["runs"]].index(row.run)
        for name in ("loss", "test_loss", "test_accuracy"):
            assert getattr(row, name) == last["metrics"][name][lane]
        assert math.isnan(row.seconds) if last["seconds"] is None else row.seconds == last["seconds"]
        assert not row.diverged
    kinds = done.runs.drop_duplicates("scheme").set_index("scheme").kind.to_dict()
    assert kinds == {
        "norm test 0.1": "adaptive",
        "norm test 0.5": "adaptive",
        "constant 32": "constant",
        "constant 256": "constant",
        "constant 1437 (all)": "constant",
        "same average": "same average",
        "stage ramp": "ramp",
        "linear ramp": "ramp",
        "replay": "replay",
    }
    assert set(done.runs[done.runs.largest].scheme) == {"constant 1437 (all)"}


def test_first_and_final_sizes(done):
    for seed, row in arm(done.runs, "norm test 0.1").iterrows():
        notes = [r["batch_size"] for r in rows_of(done, row.run) if "note" in r]
        assert (row.first_size, row.final_size) == (2, notes[-1]), seed
        assert len(set(notes)) > 1
    assert set(arm(done.runs, "constant 256").final_size) == {256}
    ramp = arm(done.runs, "stage ramp")
    assert (ramp.first_size < ramp.final_size).all()
    assert set(ramp.final_size) == {1437}


def test_a_replay_has_the_next_seeds_sizes_and_its_own_seeds_data(done):
    for rate in ("released", "tuned"):
        adaptive, replay = arm(done.sizes, "norm test 0.1", rate), arm(done.sizes, "replay", rate)
        runs = arm(done.runs, "norm test 0.1", rate), arm(done.runs, "replay", rate)
        for seed, other in ((0, 1), (1, 0)):
            recorded = [(r["step"], r["batch_size"]) for r in rows_of(done, runs[0].run[other]) if "note" in r]
            replayed = replay.loc[[seed]]
            assert dict(zip(replayed.step, replayed["size"], strict=True)).items() >= dict(recorded).items()
            assert set(replayed.tests) == {0}
            assert replayed.step.max() == runs[1].steps[seed]
            assert runs[1].lr[seed] == runs[0].lr[seed], "at the rate of the test"
            both = [table.run[seed] for table in runs]
            start, same = (
                curve.values["loss"][0] for curve in curves.read(done.session.store, both, ["loss"]).values()
            )
            assert start == same, "the same initialisation"
        assert adaptive.tests.max() > 0


def test_the_same_sizes_on_the_same_data_are_the_same_run_without_the_test(done, tmp_path):
    """What a replay leaves out is the test, and nothing else."""
    row = arm(done.runs, "norm test 0.1").iloc[0]
    folder = done.session.store.find([row.run])[row.run]
    run = next(iter(done.session.asked[key] for key in [row.run]))
    path = tmp_path / "sizes.json"
    path.write_text(json.dumps([[r["step"], r["batch_size"]] for r in folder.rows() if "note" in r]))
    words = [*chosen("smoke")["tasks"]["digits_linear"]["words"], *chosen("smoke")["common"], "optimizer=adagrad"]
    words += [f"optimizer.lr={row.lr}", f"seed={run.seed}", f"budget.examples={row.examples}", "batch_size=replay"]
    again = config.request([*words, f"batch_size.path={path}"]).runs[0]
    session = Session(tmp_path / "store")
    assert session.complete([again], "again")[again.id]["loss"] == pytest.approx(row.loss, rel=1e-6)


def test_sizes_tell_every_change_of_a_short_run_and_the_tests_before_it(done):
    for seed, row in arm(done.runs, "norm test 0.1").iterrows():
        recorded = [(r["step"], r["batch_size"]) for r in rows_of(done, row.run) if "note" in r]
        found = arm(done.sizes, "norm test 0.1").loc[[seed]]
        pairs = list(zip(found.step, found["size"], strict=True))
        assert pairs[: len(recorded)] == recorded
        assert pairs[-1] == (row.steps, row.final_size)
        at_cap = min((step for step, size in recorded if size == 1437), default=row.steps)
        seen, before = 0, (1, 0)
        for step, size, examples, tests in zip(found.step, found["size"], found.examples, found.tests, strict=True):
            seen += (step - before[0]) * before[1]
            assert examples == seen
            assert tests == min(step, at_cap) - 1, "one at every step up to the cap"
            before = step, size


def test_thinned_sizes_keep_the_first_steps_and_what_holds_between(done):
    from experiments.papers.adadagrad import training_tables

    changes = sizes.changes(sizes.unrolled(Linear(size=2, increment=1, largest=400), 300_000, 400))
    kept = training_tables._thinned(changes, 900)
    assert len(kept) <= 60
    assert kept[:5] == changes[:5]
    assert kept[0] == (1, 0, 2)
    assert kept[-1] == changes[-1]


def test_derived_schemes_match_the_steps_of_the_test(done):
    for rate, derived in (("released", ("same average", "stage ramp", "linear ramp")), ("tuned", ("same average",))):
        wanted = arm(done.runs, "norm test 0.1", rate).steps.mean()
        for scheme in derived:
            assert arm(done.runs, scheme, rate).steps.mean() == pytest.approx(wanted, rel=0.2), "of five steps, one"


def test_a_tuned_scheme_has_one_of_five_rates_and_says_when_it_is_the_last(done):
    for scheme in ("norm test 0.1", "constant 32", "same average"):
        tuning = arm(done.tuning, scheme, "tuned")
        means = tuning.groupby("lr").value.mean()
        assert list(means.index) == pytest.approx([0.0005, 0.002, 0.008, 0.032, 0.128])
        assert set(tuning.index) == {1000}
        fresh = arm(done.runs, scheme, "tuned")
        assert set(fresh.lr) == {means.idxmin()} == set(tuning[tuning.picked].lr)
        assert set(fresh.edge) == {means.idxmin() in (means.index[0], means.index[-1])}
    assert set(arm(done.runs, "norm test 0.1").lr) == {0.008}
    assert not arm(done.runs, "norm test 0.1").edge.any()


def test_the_cost_of_the_test_is_what_its_replay_does_not_take(done):
    main, replay = arm(done.runs, "norm test 0.1"), arm(done.runs, "replay")
    np.testing.assert_array_equal(main.test_seconds, main.seconds - replay.seconds)
    assert done.runs[done.runs.scheme != "norm test 0.1"].test_seconds.isna().all()


def test_the_summary_has_a_row_for_each_scheme(done):
    assert len(done.summary) == len(done.runs.drop_duplicates(KEYS[:-1]))
    row = done.summary.set_index("scheme").loc["stage ramp"]
    of_scheme = arm(done.runs, "stage ramp")
    assert row.n == 2
    assert row.test_accuracy == pytest.approx(of_scheme.test_accuracy.mean(), abs=5e-5)
    assert row.test_accuracy_low <= row.test_accuracy <= row.test_accuracy_high


def test_curves_are_thinned_and_of_the_main_schemes(done):
    assert set(done.curves.optimizer) == {"adagrad"}
    assert "norm test 0.5" not in set(done.curves.scheme)
    assert done.curves.groupby(KEYS).size().max() <= 20
    start = done.curves[done.curves.step == 0]
    assert (start.examples == 0).all()
    assert set(start[start.scheme == "norm test 0.1"].batch_size) == {2}


def test_a_second_time_nothing_is_run_and_the_tables_are_the_same(done):
    session = Session(done.session.store.folder, only_report=True)
    again = training.measure(done.settings, session)
    for name, table in done.found.tables.items():
        assert again.tables[name].equals(table), name
    assert set(session.asked) == set(done.session.asked)


def test_the_figures(done, tmp_path):
    figures.use()
    drawn = training.draw(done.found, done.settings)
    assert set(drawn) == {"training_curves", "batch_sizes", "trade", "optimizers"}
    for name, (figure, caption) in drawn.items():
        figures.save(figure, caption, tmp_path / name)
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_runs_that_diverge(tmp_path):
    """They are in the table with their number of steps, and nothing is derived from them."""
    values = chosen("smoke")
    plan = values["tasks"]["digits_linear"]
    plan["passes"] = 1
    plan["optimizers"] = {"sgd": {"lr": 1e9, "schemes": ["norm test 0.1", 32, "replay"], "tuned": []}}
    values["common"] = [*values["common"], "divergence_bound=100"]
    found = training.measure(configured(values), Session(tmp_path))
    runs = found.tables["runs"]
    assert runs.diverged.all()
    assert set(runs.scheme) == {"norm test 0.1", "constant 32"}
    assert runs[["loss", "test_loss", "test_accuracy"]].isna().all(axis=None)
    assert ((runs.steps >= 1) & (runs.examples >= runs.steps) & (runs.examples < 1437)).all()
    assert (runs.final_size >= runs.first_size).all()
    assert "tuning" not in found.tables


# Ramps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        Stages(sizes=[7, 100, 300], at=[0.25, 0.6], unit="share"),
        Linear(size=3, increment=11, largest=250),
        Constant(size=64),
    ],
)
def test_unrolled_is_what_a_run_takes(rule, tmp_path):
    names = [f"batch_size.{name}={getattr(rule, name)}" for name in declared.names(rule)]
    words = [
        "task=images/digits_linear",
        "sampling=reshuffled",
        "record=every:1",
        "budget.examples=2000",
        "last_batch=even",
    ]
    run = config.request([*words, f"batch_size={type(rule).__name__.lower()}", *names]).runs[0]
    session = Session(tmp_path)
    session.complete([run], "a run")
    rows = [row for row in session.store.find([run.id])[run.id].rows() if row.get("step")]
    wanted = list(sizes.unrolled(rule, 2000, 1437))
    assert [step for step, _, _ in wanted] == [row["step"] for row in rows]
    taken = [after - seen for (_, seen, _), (_, after, _) in itertools.pairwise([*wanted, (0, 2000, 0)])]
    assert min(taken) > 1
    assert taken == [row["metrics"]["batch_size"][0] for row in rows]


@pytest.mark.parametrize(("steps", "passes"), [(33, 30), (50, 30), (104, 30), (400, 30), (16, 15), (230, 100)])
@pytest.mark.parametrize("n", [1437, 60_000])
def test_ramps_have_the_wanted_number_of_steps(steps, passes, n):
    examples = passes * n
    if steps < passes:
        steps = passes
    made = ramps.stage_ramp(steps, examples, n, n), ramps.linear_ramp(steps, examples, 2, n, n)
    for ramp in made:
        taken = list(sizes.unrolled(ramp, examples, n))
        if isinstance(ramp, Linear) and ramp.increment == 1:
            continue  # a slower ramp there is not
        assert abs(len(taken) - steps) <= 0.1 * steps, ramp
        assert taken == sorted(taken, key=lambda change: change[2])
    stages, _ = made
    assert stages.sizes[-1] == n
    assert all(b == min(2 * a, n) for a, b in zip(stages.sizes, stages.sizes[1:], strict=False))
    np.testing.assert_allclose(np.diff([0, *stages.at, 1]), 1 / len(stages.sizes))


def test_a_linear_ramp_that_cannot_be_slow_enough_adds_one_a_step():
    ramp = ramps.linear_ramp(10_000, 30 * 1437, 2, 1437, 1437)
    assert (ramp.size, ramp.increment) == (2, 1)


def test_changes_from_pairs_count_the_examples_between():
    assert sizes._from_pairs([(1, 2), (2, 50), (3, 50), (6, 200)]) == [(1, 0, 2), (2, 2, 50), (6, 202, 200)]


# Plans ---------------------------------------------------------------------------------------------------------------


def test_constant_sizes_from_the_cap_on_are_left_out_and_the_cap_is_lowered():
    plan = declared.build(
        plans.TaskPlan,
        {
            "words": ["task=images/digits_linear"],
            "passes": 2,
            "cap": 512,
            "optimizers": {"sgd": {"lr": 1.0, "schemes": [32, 512, 600, "cap", "t"], "tuned": []}},
        },
        "task",
    )
    choices = schemes.Choices({"sgd": ["optimizer=sgd"]}, {"t": ["batch_size=norm_test"]}, {}, [], (0,))
    names = [(point.scheme, point.largest) for point in schemes.direct("x", plan, 1437, choices)]
    assert names == [("constant 32", False), ("constant 512", True), ("t", False)]
    names = [point.scheme for point in schemes.direct("x", plan, 100, choices)]
    assert names == ["constant 32", "constant 100 (all)", "t"]


def test_the_tasks_whose_data_are_not_there_are_left_out(monkeypatch, capsys, tmp_path):
    values = chosen("smoke")
    values["tasks"]["elsewhere"] = {**values["tasks"]["digits_linear"], "words": ["task=images/mnist_linear"]}
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    assert training._examples(configured(values)) == {"digits_linear": 1437}
    assert "skipped: " in capsys.readouterr().err


@pytest.mark.parametrize("path", SCALES, ids=lambda path: path.stem)
def test_every_scale_resolves(path):
    """Each point is a run that could be begun; of the derived ones, those that need no run of the test."""
    settings = configured(chosen(path.stem))
    settings.common = ["device=cpu" if word.startswith("device=") else word for word in settings.common]
    try:
        sizes = training._examples(settings)
    except MissingData as problem:
        pytest.skip(str(problem))
    for name, n in sizes.items():
        points = schemes.direct(name, settings.plans[name], n, settings.choices())
        runs = [config.request([*point.words, f"optimizer.lr={point.lr}"]).runs[0] for point in points]
        assert len({(run.id, p.rate) for run, p in zip(runs, points, strict=True)}) == len(points), "all different"


def broken(change):
    values = copy.deepcopy(chosen("smoke"))
    change(values, values["tasks"]["digits_linear"])
    return values


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v, t: v.update(tasks={}), "tasks must name at least one"),
        (lambda v, t: v.update(tasks={"x": 3}), r"tasks\.x must hold settings, not 3"),
        (lambda v, t: v.update(main="norm test"), "there is no test 'norm test': did you mean 'norm test 0"),
        (lambda v, t: v.update(seeds=[0, 1000]), r"must not share any, and \[1000\]"),
        (lambda v, t: v.update(seeds=[0, 0]), "none twice"),
        (lambda v, t: v.update(factor=1.0), "factor must be greater than 1"),
        (lambda v, t: v.update(ramps={"replay": ["batch_size=linear"]}), "'replay' is the name of another scheme"),
        (lambda v, t: v["tests"].update(x="batch_size=norm_test"), "tests: 'x' must be a list of overrides"),
        (lambda v, t: t.update(words=["optimizer=sgd"]), "overrides that begin with task="),
        (lambda v, t: t.update(pases=3), "did you mean 'passes'"),
        (lambda v, t: t.update(first_size=1), "first_size must be at least 2"),
        (lambda v, t: t.update(cap=2, first_size=3), "cap=2 is below the first batch"),
        (lambda v, t: t["optimizers"].update(adam=t["optimizers"]["sgd"]), "there is no optimizer 'adam'"),
        (lambda v, t: t["optimizers"]["sgd"].update(schemes=["norm tst 0.1"]), "did you mean 'norm test 0.1'"),
        (lambda v, t: t["optimizers"]["sgd"].update(schemes=[0]), "a whole number from 1, not 0"),
        (lambda v, t: t["optimizers"]["sgd"].update(schemes=[32, "32"]), "names a scheme twice"),
        (lambda v, t: t["optimizers"]["sgd"].update(schemes=[32, "replay"]), "which must be in the same list"),
        (lambda v, t: t["optimizers"]["sgd"].update(lr=0), "lr must be greater than 0"),
    ],
)
def test_settings_that_cannot_be_used(change, told):
    with pytest.raises(SettingError, match=told) as raised:
        configured(broken(change))
    assert "\n" not in str(raised.value)


def test_a_bad_word_is_refused_before_any_run(tmp_path):
    values = broken(lambda v, t: v["tests"].update({"norm test 0.5": ["batch_size=norm_test", "batch_size.eta=-1"]}))
    with pytest.raises(SettingError, match="eta must be greater than 0"):
        training.measure(configured(values), Session(tmp_path))
    assert not list(Path(tmp_path).rglob("metrics.jsonl"))
