"""B1 to B7 and B11 to B14 on tables made by hand, whose answers are known by construction."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.claims import NOT_TESTABLE, Verdict, judge
from experiments.papers.adadagrad.claims import CLAIMS
from experiments.papers.adadagrad.comparisons import STUDY
from experiments.study import Found

BY_ID = {claim.id: claim for claim in CLAIMS}
OWN = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B11", "B12", "B13", "B14")
EXAMPLES = 40_000
CAP = 1024
TASK = "digits_linear"

# Everything holds, but for what the paper's page expects otherwise (sizes along the way: PATH).
SCHEMES: dict[str, dict[str, Any]] = {
    "norm test 0.1": {"kind": "adaptive", "accuracy": 0.95, "steps": 100, "seconds": 2.0},
    "norm test 0.25": {"kind": "adaptive", "accuracy": 0.955, "steps": 300},
    "norm test 0.5": {"kind": "adaptive", "accuracy": 0.96, "steps": 900},
    "norm test 0.1, unbiased": {"kind": "adaptive", "accuracy": 0.95, "steps": 100},
    "augmented 0.5, nu 1": {"kind": "adaptive", "accuracy": 0.96, "steps": 1500},
    "augmented 0.5, nu 0.5": {"kind": "adaptive", "accuracy": 0.96, "steps": 890},
    "constant 8": {"kind": "constant", "accuracy": 0.93, "steps": 5000, "first": 8, "final": 8, "seconds": 9.0},
    "constant 32": {"kind": "constant", "accuracy": 0.952, "steps": 1250, "first": 32, "final": 32, "seconds": 4.0},
    "constant 128": {"kind": "constant", "accuracy": 0.951, "steps": 313, "first": 128, "final": 128},
    "constant 512": {"kind": "constant", "accuracy": 0.94, "steps": 79, "first": 512, "final": 512},
    "constant 1024 (all)": {"kind": "constant", "accuracy": 0.9, "steps": 40, "first": CAP, "final": CAP,
                            "largest": True},
    "same average": {"kind": "same average", "accuracy": 0.943, "steps": 100, "first": 400, "final": 400},
    "stage ramp": {"kind": "ramp", "accuracy": 0.95, "steps": 105, "first": 8},
    "linear ramp": {"kind": "ramp", "accuracy": 0.951, "steps": 96, "first": 2},
    "replay": {"kind": "replay", "accuracy": 0.948, "steps": 100, "seconds": 1.6},
}  # fmt: skip
UP = ((1, -1, 1, -1, 1, -1), (1, 1, 1, -1, -1, -1), (1, -1, -1, 1, 1, -1))
ADAPTIVE = [name for name, of in SCHEMES.items() if of["kind"] == "adaptive"]
PATH = ((1, 0, 2, 0), (2, 2, 4, 1), (3, 6, 8, 2), (4, 14, 16, 3), (5, 2000, 100, 4), (20, 10_000, 500, 19),
        (100, 39_000, 1000, 99))  # fmt: skip
"""Step, examples before it, batch size, tests before it."""

Changes = Mapping[str, Mapping[str, Any] | None]


def measured(
    changes: Changes | None = None,
    *,
    tasks: Mapping[str, Changes] | None = None,
    optimizers: Mapping[str, Changes] | None = None,
    rates: Mapping[str, Changes] | None = None,
    seeds: int = 6,
    spread: float = 0.0002,
    path: Sequence[Sequence[int]] = PATH,
) -> dict[str, Found]:
    """The tables of the study, with some schemes changed (or left out: None), everywhere or on some tasks and so on.

    What the seeds share cancels in comparisons; every scheme but the constant batches also moves by `spread` (of the
    accuracy, and ten times that of steps and seconds), each up and down over the seeds in its own way.
    """
    rows, sizes = [], []
    for task, of_task in (tasks or {TASK: {}}).items():
        for optimizer, of_optimizer in (optimizers or {"adagrad": {}}).items():
            for rate, of_rate in (rates or {"released": {}}).items():
                for place, (scheme, usual) in enumerate(SCHEMES.items()):
                    all_changes = [c.get(scheme, {}) for c in (changes or {}, of_task, of_optimizer, of_rate)]
                    if None in all_changes:
                        continue
                    chosen: dict[str, Any] = {"first": 2, "final": 1000, "seconds": 3.0, **usual}
                    for change in all_changes:
                        chosen |= change or {}
                    label = {"task": task, "optimizer": optimizer, "scheme": scheme, "rate": rate}
                    for seed in range(seeds):
                        up = 0 if chosen["kind"] == "constant" else UP[place % 3][seed % 6]
                        rows.append({**label, **one_run(chosen, seed, spread * up)})
                        if chosen["kind"] in ("adaptive", "replay"):
                            names = ("step", "examples", "size", "tests")
                            sizes += [{**label, "seed": seed, **dict(zip(names, at, strict=True))} for at in path]
    return {STUDY: Found({"runs": pd.DataFrame(rows), "sizes": pd.DataFrame(sizes)})}


def one_run(chosen: Mapping[str, Any], seed: int, moved: float) -> dict[str, Any]:
    """One row of the table of runs."""
    diverged = seed in chosen.get("diverged", ())
    shared = 1 + 0.2 * seed
    steps = chosen["steps"] * math.exp(10 * moved)
    lost = math.nan if diverged else 1.0
    return {
        "kind": chosen["kind"],
        "largest": chosen.get("largest", False),
        "lr": 0.008,
        "edge": chosen.get("edge", False),
        "seed": seed,
        "run": "run",
        "steps": steps / 7 if diverged else steps,
        "examples": EXAMPLES / 7 if diverged else EXAMPLES,
        "average_size": EXAMPLES / steps,
        "first_size": chosen["first"],
        "final_size": chosen["final"],
        "loss": 0.3 * lost,
        "test_loss": 0.3 * lost,
        "test_accuracy": (chosen["accuracy"] - 0.002 * seed + moved) * lost,
        "seconds": chosen["seconds"] * shared * math.exp(10 * moved),
        "diverged": diverged,
    }


def verdict(claim: str, found: Mapping[str, Found], answer: str) -> Verdict:
    given = judge(BY_ID[claim], found)
    assert given.answer == answer, (claim, given.answer, given.remarks)
    assert all("nan" not in remark for remark in given.remarks), given.remarks
    json.dumps(asdict(given), allow_nan=False)
    return given


def both(scheme: str, **values: Any) -> dict[str, dict[str, Any]]:
    """The same change of a norm test and of its unbiased form."""
    return {scheme: values, f"{scheme}, unbiased": values}


MAIN = "norm test 0.1"
OTHERS = {name: None for name in SCHEMES if name not in ADAPTIVE}
SUDDEN = ((1, 0, 2, 0), (2, 2, 900, 1), (9, 9000, 1000, 8))
BETWEEN = ((1, 0, 2, 0), (2, 2, 100, 1), (9, 9000, 1000, 8))
LATE = ((1, 0, 2, 0), (5, 2000, 1000, 4))


# Every answer of every claim -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", OWN)
def test_holds_where_everything_is_as_claimed(claim: str) -> None:
    optimizers: dict[str, Changes] = {"adagrad": {}, "sgd": {}, "momentum": {}, "adam": {}}
    given = verdict(claim, measured(optimizers=optimizers), "holds")
    assert given.n == 6
    assert given.arms[0]["answer"] == "holds"


@pytest.mark.parametrize(
    ("claim", "changed"),
    [
        ("B1", {"changes": both(MAIN, final=90)}),
        ("B2", {"path": SUDDEN}),
        ("B3", {"changes": both(MAIN, accuracy=0.94)}),
        ("B4", {"changes": {"same average": {"accuracy": 0.949}}}),
        ("B4", {"changes": {"constant 1024 (all)": {"accuracy": 0.949}}}),
        ("B5", {"changes": {"constant 32": {"accuracy": 0.9}}}),  # then 128 is the best: 0.32 of its steps
        ("B6", {"changes": {MAIN: {"seconds": 5.0}}}),
        ("B7", {"changes": {"norm test 0.25": {"accuracy": 0.945}}}),
        ("B7", {"changes": {"norm test 0.25": {"steps": 1000}}}),
        ("B11", {"changes": {"augmented 0.5, nu 1": {"steps": 950}}}),
        ("B13", {"changes": {"linear ramp": {"accuracy": 0.96}}}),
        ("B14", {"changes": {"replay": {"accuracy": 0.955}}}),
        ("B14", {"changes": {"replay": {"accuracy": 0.95}}, "spread": 0.0}),  # equal to the bit
    ],
)
def test_fails(claim: str, changed: Mapping[str, Any]) -> None:
    given = verdict(claim, measured(**changed), "fails")
    assert "fails" in [cell["answer"] for cell in given.cells]
    few = judge(BY_ID[claim], measured(**changed, seeds=4))
    assert few.answer == "inconclusive", "four seeds decide nothing"


@pytest.mark.parametrize(
    ("claim", "changed"),
    [
        ("B1", {"changes": both(MAIN, final=100), "path": PATH[:-1]}),
        ("B2", {"path": BETWEEN}),
        ("B3", {"spread": 0.02}),
        ("B3", {"changes": both(MAIN, accuracy=0.947)}),  # half a point
        ("B4", {"spread": 0.02}),
        ("B4", {"changes": {"same average": {"accuracy": 0.947}}}),  # 0.3 points
        ("B5", {"changes": {MAIN: {"steps": 250}}, "spread": 0.01}),
        ("B6", {"changes": {MAIN: {"seconds": 4.0}}}),
        ("B7", {"changes": {"norm test 0.25": {"accuracy": 0.95}}}),
        ("B7", {"changes": {"norm test 0.25": {"accuracy": 0.9501}}, "spread": 0.01}),
        ("B11", {"changes": {"augmented 0.5, nu 1": {"steps": 1000}}, "spread": 0.01}),
        ("B13", {"changes": {"linear ramp": {"accuracy": 0.955}}}),
        ("B13", {"changes": {"linear ramp": {"accuracy": 0.9545, "diverged": (0,)}}, "spread": 0.02}),
        ("B14", {"changes": {"replay": {"accuracy": 0.9499, "diverged": (2,)}}}),
    ],
)
def test_inconclusive(claim: str, changed: Mapping[str, Any]) -> None:
    if claim == "B1":  # sizes that differ between the seeds, around the threshold
        found = measured(**changed)
        runs = found[STUDY].tables["runs"]
        runs["final_size"] = runs.final_size * np.where(runs.seed % 2, 2.0, 0.5)
    else:
        found = measured(**changed)
    verdict(claim, found, "inconclusive")


@pytest.mark.parametrize(
    ("claim", "changed"),
    [
        ("B1", {"tasks": {"digits_cnn": {}}}),
        ("B1", {"changes": both(MAIN, first=32)}),
        ("B2", {"changes": both(MAIN, first=64)}),
        ("B3", {"changes": OTHERS}),
        ("B4", {"changes": OTHERS}),
        ("B4", {"changes": {"same average": None}}),
        ("B4", {"changes": {"same average": {"steps": 80}}}),
        ("B5", {"changes": OTHERS}),
        ("B5", {"changes": both(MAIN, accuracy=0.94)}),
        ("B6", {"changes": OTHERS}),
        ("B6", {"changes": {MAIN: {"accuracy": 0.94}}}),
        ("B6", {"changes": {"constant 32": {"seconds": math.nan}}}),
        ("B7", {"changes": {"norm test 0.25": None}}),
        ("B11", {"changes": {"augmented 0.5, nu 1": None, "augmented 0.5, nu 0.5": None}}),
        ("B12", {}),  # one optimizer
        ("B13", {"changes": OTHERS}),
        ("B13", {"changes": {"stage ramp": {"steps": 120}, "linear ramp": {"steps": 60}}}),
        ("B14", {"changes": OTHERS}),
    ],
)
def test_not_testable(claim: str, changed: Mapping[str, Any]) -> None:
    verdict(claim, measured(**changed), NOT_TESTABLE)


@pytest.mark.parametrize("claim", OWN)
def test_nothing_was_run(claim: str) -> None:
    given = verdict(claim, {STUDY: Found({"runs": pd.DataFrame(), "sizes": pd.DataFrame()})}, NOT_TESTABLE)
    assert given.arms == ()
    assert given.remarks == ("no runs",)


@pytest.mark.parametrize("claim", OWN)
@pytest.mark.parametrize("diverged", [(1,), tuple(range(6))])
@pytest.mark.parametrize("who", [MAIN, "constants", "others", "all"])
def test_diverged_runs_never_decide(claim: str, diverged: tuple[int, ...], who: str) -> None:
    """They are not dropped either: nothing that one of them takes part in holds or fails."""
    chosen = {MAIN: [MAIN], "all": list(SCHEMES)}.get(who) or [
        name for name, of in SCHEMES.items() if (of["kind"] == "constant") == (who == "constants") and name != MAIN
    ]
    optimizers: dict[str, Changes] = {"adagrad": {}, "sgd": {}, "momentum": {}, "adam": {}}
    given = judge(BY_ID[claim], measured({name: {"diverged": diverged} for name in chosen}, optimizers=optimizers))
    json.dumps(asdict(given), allow_nan=False)
    untouched = {  # what a claim compares is none of these
        ("B1", "constants"), ("B1", "others"), ("B2", "constants"), ("B2", "others"), ("B11", MAIN),
        ("B11", "constants"), ("B7", "constants"), ("B13", "constants"), ("B14", "constants"),
    }  # fmt: skip
    beside = {("B3", "others"), ("B5", "others"), ("B6", "others"), ("B12", "others")}
    expected = ("holds",) if (claim, who) in untouched | beside else ("inconclusive", NOT_TESTABLE)
    assert given.answer in expected, given.remarks


# What each looks at --------------------------------------------------------------------------------------------------


def test_b1_says_sizes_along_the_way_and_counts_logistic_regressions_only() -> None:
    found = measured(tasks={TASK: {}, "digits_cnn": both(MAIN, final=20)})
    given = verdict("B1", found, "holds")
    assert (given.value, given.n) == (pytest.approx(500.0), 6)
    assert given.remarks[0].endswith("size 16, 100, 500, 1000 at 1, 10, 50, 100% of the examples")
    assert given.remarks[1].startswith("digits_cnn: last over first size 10 (10 to 10)")
    assert "not counted" in given.remarks[1]
    assert [cell["answer"] for cell in given.cells] == ["holds", NOT_TESTABLE]
    assert (given.cells[0]["first"], given.cells[0]["last"]) == (2, 1000)


def test_b1_knows_the_cap_from_any_arm() -> None:
    rates: dict[str, Changes] = {"released": {}, "tuned": {"constant 1024 (all)": None}}
    given = judge(BY_ID["B1"], measured(both(MAIN, first=32), rates=rates))
    assert {arm["answer"] for arm in given.arms} == {NOT_TESTABLE}


@pytest.mark.parametrize(("path", "value"), [(PATH, 0.016), (SUDDEN, 0.9), (BETWEEN, 0.1), (LATE, 0.002)])
def test_b2_takes_the_size_after_three_tests(path: Sequence[Sequence[int]], value: float) -> None:
    given = judge(BY_ID["B2"], measured(path=path))
    assert given.value == pytest.approx(value)
    assert (given.low, given.high) == (pytest.approx(value), pytest.approx(value))


@pytest.mark.parametrize(
    ("size", "answer"), [(49, "holds"), (51, "inconclusive"), (199, "inconclusive"), (201, "fails")]
)
def test_b2_has_two_thresholds(size: int, answer: str) -> None:
    verdict("B2", measured(path=((1, 0, 2, 0), (4, 14, size, 3), (9, 9000, 1000, 8))), answer)


def test_b2_needs_recorded_sizes() -> None:
    found = {STUDY: Found({**measured()[STUDY].tables, "sizes": pd.DataFrame()})}
    verdict("B2", found, NOT_TESTABLE)
    assert "were not recorded" in verdict("B1", found, "holds").remarks[0]


def test_b3_is_a_paired_t_interval_against_the_best_small_constant() -> None:
    found = measured(spread=0.003)
    runs = found[STUDY].tables["runs"]
    of = {name: 100 * rows.test_accuracy.to_numpy() for name, rows in runs.groupby("scheme")}
    gaps = of[MAIN] - of["constant 32"]
    interval = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    given = judge(BY_ID["B3"], found)
    assert (given.value, given.low, given.high) == pytest.approx((gaps.mean(), *interval), rel=1e-9)
    assert (given.cells[0]["rival"], given.n) == ("constant 32", 6)
    assert "the best of 3" in given.remarks[0]


def test_b3_pairs_by_seed_and_not_by_row() -> None:
    found = measured(spread=0.003)
    runs = found[STUDY].tables["runs"]
    mixed = {STUDY: Found({**found[STUDY].tables, "runs": runs.sample(frac=1, random_state=0)})}
    one, other = (judge(BY_ID["B3"], tables) for tables in (found, mixed))
    assert (one.value, one.low, one.high, one.n) == pytest.approx((other.value, other.low, other.high, other.n))


def test_small_is_at_most_128_and_never_the_cap() -> None:
    changes: Changes = {
        "constant 512": {"accuracy": 0.99},
        "constant 1024 (all)": {"accuracy": 0.99, "first": 100, "final": 100},
        **both(MAIN, first=1),
    }
    assert judge(BY_ID["B3"], measured(changes)).cells[0]["rival"] == "constant 32"
    same = {name: {"accuracy": 0.95} for name in ("constant 8", "constant 32", "constant 128")}
    assert judge(BY_ID["B3"], measured(same)).cells[0]["rival"] == "constant 128", "the hardest of equals"


def test_small_constants_that_diverged_are_no_rivals_while_another_is_left() -> None:
    given = verdict("B3", measured({"constant 32": {"diverged": (3,), "accuracy": 0.99}}), "holds")
    assert given.cells[0]["rival"] == "constant 128"
    lost = {name: {"diverged": (3,)} for name in ("constant 8", "constant 32", "constant 128")}
    given = verdict("B3", measured(lost), "inconclusive")
    assert given.cells[0]["value"] is None
    assert "1 of 6 runs diverged" in given.remarks[0]


@pytest.mark.parametrize("claim", ["B2", "B3", "B4", "B5", "B6", "B7", "B11", "B13", "B14"])
def test_every_task_counts(claim: str) -> None:
    bad: Changes = {
        **both(MAIN, accuracy=0.94, seconds=9.0),
        "norm test 0.25": {"accuracy": 0.93},
        "augmented 0.5, nu 1": {"steps": 900},
    }
    if claim in ("B5", "B6"):
        bad = both(MAIN, steps=600, seconds=9.0)
    found = measured(tasks={TASK: {}, "digits_cnn": bad})
    if claim == "B2":
        sizes = found[STUDY].tables["sizes"]
        sizes.loc[(sizes.task == "digits_cnn") & (sizes.tests == 3), "size"] = 900
    given = verdict(claim, found, "fails")
    assert {cell["task"] for cell in given.cells} == {TASK, "digits_cnn"}
    alone = judge(BY_ID[claim], measured(tasks={TASK: {}, "digits_cnn": dict.fromkeys(SCHEMES)}))
    assert alone.answer == "holds"


def test_tasks_without_the_scheme_are_named() -> None:
    given = verdict("B3", measured(tasks={TASK: {}, "cifar": {MAIN: None}}), "holds")
    assert given.remarks[-1] == "not in this arm: cifar"


def test_b4_needs_both_rivals() -> None:
    given = verdict("B4", measured(), "holds")
    assert [cell["rival"] for cell in given.cells] == ["same average", "constant 1024 (all)"]
    assert (given.value, given.cells[1]["value"]) == (pytest.approx(0.7), pytest.approx(5.0))
    fails = {"same average": None, "constant 1024 (all)": {"accuracy": 0.96}}
    verdict("B4", measured(fails), "fails")


def test_b5_the_hostile_rival_is_the_largest_constant_of_like_accuracy() -> None:
    given = verdict("B5", measured(), "holds")
    assert given.cells[0]["rival"] == "constant 32"
    assert given.value == pytest.approx(100 / 1250)
    hostile = [arm for arm in given.arms if arm["rival"] == "largest of like accuracy"]
    assert [arm["answer"] for arm in hostile] == ["fails", "fails"]
    assert hostile[0]["value"] == pytest.approx(100 / 313)
    assert given.deciding == "rival"
    same = judge(BY_ID["B5"], measured({"same average": {"accuracy": 0.947}}))
    assert same.arms[1]["value"] == pytest.approx(1.0), "a constant of the same average size is one as well"
    better = judge(BY_ID["B5"], measured({"constant 512": {"accuracy": 0.99}}))
    assert better.arms[1]["answer"] == NOT_TESTABLE, "more accurate, but not of like accuracy"


def test_b6_with_and_without_the_test() -> None:
    given = judge(BY_ID["B6"], measured({MAIN: {"seconds": 5.0}}))
    assert [(arm["cost"], arm["answer"]) for arm in given.arms] == [("with the test", "fails"), ("without", "holds")]
    assert [arm["value"] for arm in given.arms] == [pytest.approx(5 / 4), pytest.approx(1.6 / 4)]
    assert "with the test 3.12" in given.remarks[0]
    alone = verdict("B6", measured({"replay": None}), "holds")
    assert [arm["cost"] for arm in alone.arms] == ["with the test"]


def test_b7_looks_at_neighbours_in_three_ways() -> None:
    given = verdict("B7", measured(), "holds")
    assert (given.value, given.low, given.high, given.n) == (1.0, 1.0, 1.0, 6)
    assert [cell["what"].split(",")[0] for cell in given.cells] == ["average size", "steps", "accuracy"] * 2
    values = [3.0, 3.0, 0.5, 3.0, 3.0, 0.5]
    assert [cell["value"] for cell in given.cells] == [pytest.approx(v) for v in values]
    failed = verdict("B7", measured({"norm test 0.25": {"accuracy": 0.945}}), "fails")
    assert (failed.value, failed.low, failed.high) == (pytest.approx(5 / 6),) * 3
    undecided = verdict("B7", measured({"norm test 0.25": {"accuracy": 0.95}}), "inconclusive")
    assert (undecided.low, undecided.high) == (pytest.approx(5 / 6), 1.0)


def test_b11_with_nu_as_large_as_eta_is_an_arm_that_should_not_hold() -> None:
    given = verdict("B11", measured(), "holds")
    assert given.value == pytest.approx(900 / 1500)
    assert [(arm["nu"], arm["answer"]) for arm in given.arms] == [("1", "holds"), ("eta", "fails")]
    assert given.arms[1]["value"] == pytest.approx(900 / 890)
    assert given.remarks[-1].startswith("beside the claim")
    only = judge(BY_ID["B11"], measured({"augmented 0.5, nu 0.5": None}))
    assert [arm["nu"] for arm in only.arms] == ["1"]
    untested = judge(BY_ID["B11"], measured({"norm test 0.5": None}))
    assert untested.arms == ()


@pytest.mark.parametrize(
    ("sgd", "answer"),
    [
        ({}, "holds"),
        ({MAIN: {"final": 20}}, "fails"),
        ({MAIN: {"accuracy": 0.94}}, "fails"),
        ({"constant 8": {"accuracy": 0.954}, MAIN: {"steps": 1500}}, "fails"),
        ({"constant 8": None, "constant 32": None, "constant 128": None}, NOT_TESTABLE),
        ({MAIN: {"diverged": (0,)}}, NOT_TESTABLE),  # growth and accuracy open, steps not comparable
    ],
)
def test_b12_asks_all_three_of_every_optimizer(sgd: Changes, answer: str) -> None:
    optimizers: dict[str, Changes] = {"adagrad": {}, "sgd": sgd, "momentum": {}, "adam": {}}
    given = verdict("B12", measured(optimizers=optimizers), answer)
    assert {(cell["optimizer"], cell["claim"]) for cell in given.cells} == {
        (name, claim) for name in optimizers for claim in ("B1", "B3", "B5")
    }
    few = verdict("B12", measured(optimizers={"adagrad": {}, "sgd": {}}), "inconclusive")
    assert "fewer than 4 optimizers: not decided" in few.remarks


def test_b13_counts_ramps_of_as_many_steps() -> None:
    given = verdict("B13", measured({"stage ramp": {"steps": 120, "accuracy": 0.99}}), "holds")
    assert [cell["answer"] for cell in given.cells] == [NOT_TESTABLE, "holds"]
    assert "not within 10%" in given.remarks[0]
    lost = verdict("B13", measured({"stage ramp": {"diverged": tuple(range(6))}}), "inconclusive")
    assert lost.cells[0]["answer"] == "inconclusive"


def test_b14_is_paired() -> None:
    given = verdict("B14", measured(spread=0.0), "holds")
    assert given.value == pytest.approx(0.2)
    assert (given.low, given.high) == (pytest.approx(0.2), pytest.approx(0.2))


# Arms and edges ------------------------------------------------------------------------------------------------------


def test_arms_are_those_that_were_run() -> None:
    rates: dict[str, Changes] = {"tuned": {f"{MAIN}, unbiased": None}, "released": {}}
    found = measured(rates=rates)
    for claim in ("B1", "B2", "B3", "B4"):
        arms = judge(BY_ID[claim], found).arms
        named = [(arm["rate"], arm["estimate"]) for arm in arms]
        assert named == [("released", "plug-in"), ("released", "unbiased"), ("tuned", "plug-in")]
    assert len(judge(BY_ID["B5"], found).arms) == 6
    for claim in ("B7", "B13", "B14"):
        assert [arm["rate"] for arm in judge(BY_ID[claim], found).arms] == ["released", "tuned"]
    other = measured({MAIN: None})
    for claim in ("B1", "B2", "B3", "B4", "B5"):
        assert {arm["estimate"] for arm in judge(BY_ID[claim], other).arms} == {"unbiased"}
    for claim in ("B6", "B7", "B13", "B14"):
        verdict(claim, other, NOT_TESTABLE)


def test_an_arm_takes_its_own_rows() -> None:
    rates: dict[str, Changes] = {"released": {}, "tuned": {MAIN: {"accuracy": 0.9}}}
    given = verdict("B3", measured({f"{MAIN}, unbiased": {"accuracy": 0.94}}, rates=rates), "holds")
    values = {(arm["rate"], arm["estimate"]): arm["value"] for arm in given.arms}
    assert values == {
        ("released", "plug-in"): pytest.approx(-0.2),
        ("released", "unbiased"): pytest.approx(-1.2),
        ("tuned", "plug-in"): pytest.approx(-5.2),
        ("tuned", "unbiased"): pytest.approx(-1.2),
    }


@pytest.mark.parametrize(
    ("claim", "rival"), [("B3", "constant 32"), ("B4", "same average"), ("B13", "linear ramp"), ("B14", "replay")]
)
def test_an_edge_leaves_open_what_more_rates_could_undo(claim: str, rival: str) -> None:
    given = verdict(claim, measured({rival: {"edge": True}}), "inconclusive")
    assert any("at the edge of its five" in remark for remark in given.remarks)
    verdict(claim, measured({MAIN: {"edge": True}}), "holds")
    accuracy = {MAIN: {"accuracy": 0.93, "edge": True}}
    verdict(claim, measured(accuracy), "inconclusive")
    verdict(claim, measured({MAIN: {"accuracy": 0.93}, rival: {"edge": True}}), "fails")


@pytest.mark.parametrize(
    ("claim", "scheme"),
    [("B5", MAIN), ("B5", "constant 32"), ("B6", "constant 32"), ("B7", "norm test 0.25"), ("B11", "norm test 0.5")],
)
def test_an_edge_leaves_other_comparisons_open(claim: str, scheme: str) -> None:
    verdict(claim, measured({scheme: {"edge": True}}), "inconclusive")


def test_one_seed_and_equal_runs_are_no_trouble() -> None:
    equal = {name: {"accuracy": 0.95, "steps": 100} for name in SCHEMES}
    optimizers: dict[str, Changes] = {"adagrad": {}, "sgd": {}}
    for seeds in (1, 5):
        found = measured(equal, seeds=seeds, spread=0.0, optimizers=optimizers)
        for claim in OWN:
            given = judge(BY_ID[claim], found)
            json.dumps(asdict(given), allow_nan=False)
            assert given.n in (0, seeds)
            if seeds == 1:
                assert given.answer in ("inconclusive", NOT_TESTABLE)
    assert judge(BY_ID["B14"], found).answer == "fails", "a replay that does as well to the bit"
