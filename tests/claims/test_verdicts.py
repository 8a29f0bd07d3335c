"""Verdicts on tables made by hand, whose answer is known by construction."""

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments import claims, pages
from experiments.claims import Claim, Verdict, compare, deciding_choice, judge
from experiments.papers.adagrad_anisotropic.claims import CLAIMS
from experiments.papers.adagrad_anisotropic.ratios import STUDY
from experiments.protocol import Outcome
from experiments.statistics import Answer

A2, A3 = OWN = tuple(claim for claim in CLAIMS if claim.id in ("A2", "A3"))
EXAMPLES = 4096
SIZES = (8, 32, 128, 512, 2048)
NOT_TESTABLE: Answer = "not testable at this scale"
PASSES = 20  # the largest size leaves 40 steps

Ratio = Callable[[Mapping[str, Any]], float]


def measured(
    ratio: Ratio,
    *,
    sizes: Sequence[int] = SIZES,
    seeds: int = 6,
    passes: int = PASSES,
    sets: Sequence[str] = ("logistic/one",),
    l2: Sequence[str] = ("0",),
    readouts: Sequence[str] = ("last",),
    rivals: Sequence[str] = ("sgd",),
    edge: Callable[[Mapping[str, Any]], bool] = lambda row: False,
    spread: float = 0.01,
) -> dict[str, Outcome]:
    """Fresh runs in which SGD's gap is `ratio` times AdaGrad's, give or take `spread` (alternating over the seeds).

    What the seeds share cancels in the comparison: AdaGrad's own gap varies by factors of ten.
    """
    rows = []
    for name in sets:
        for strength in l2:
            for size in sizes:
                for method in (*rivals, "adagrad"):
                    for readout in readouts:
                        for seed in range(seeds):
                            row: dict[str, Any] = {
                                "set": name,
                                "examples": EXAMPLES,
                                "l2": strength,
                                "batch": str(size) if size < EXAMPLES else "full",
                                "batch_size": size,
                                "steps": -(-passes * EXAMPLES // size),
                                "method": method,
                                "readout": readout,
                                "lr": 0.5,
                                "seed": seed,
                                "run": f"{name}{strength}{size}{method}{seed}",
                            }
                            gap = 10.0 ** -(1 + seed)
                            if method != "adagrad":
                                gap *= ratio(row) * math.exp(spread * (-1) ** seed)
                            rows.append({**row, "value": gap, "edge": edge(row)})
    return {STUDY: Outcome(pd.DataFrame(), pd.DataFrame(rows))}


def by_size(*ratios: float) -> Ratio:
    """These ratios, from the smallest batch size to the largest."""
    return lambda row: dict(zip(SIZES, ratios, strict=True))[row["batch_size"]]


def changed(found: dict[str, Outcome], change: Callable[[Any], float | None]) -> dict[str, Outcome]:
    """The same table with some values replaced."""
    table = found[STUDY].fresh.copy()
    for index, row in table.iterrows():
        value = change(row)
        if value is not None:
            table.loc[index, "value"] = value
    return {STUDY: replace(found[STUDY], fresh=table)}


def check(verdict: Verdict, answer: str) -> None:
    assert verdict.answer == answer
    assert verdict.arms[0]["answer"] == answer
    json.dumps(asdict(verdict), allow_nan=False)


# A2: a lower gap in most cells ---------------------------------------------------------------------------------------


def test_a2_holds() -> None:
    verdict = judge(A2, measured(lambda row: 2.0))
    check(verdict, "holds")
    assert (verdict.value, verdict.low, verdict.high, verdict.n) == (1.0, 1.0, 1.0, 5)
    assert [cell["ratio"] for cell in verdict.cells] == pytest.approx([2.0] * 5, rel=1e-12)
    assert [cell["batch_size"] for cell in verdict.cells] == list(SIZES)
    assert all(cell["low"] < 2.0 < cell["high"] and cell["seeds"] == 6 for cell in verdict.cells)


@pytest.mark.parametrize("ratio", [1.0, 1.1, 0.5, 0.01])
def test_a2_fails(ratio: float) -> None:
    verdict = judge(A2, measured(lambda row: ratio))
    check(verdict, "fails")
    assert (verdict.value, verdict.low, verdict.high) == (0.0, 0.0, 0.0)


def test_a2_is_decided_by_the_threshold_and_not_by_one() -> None:
    check(judge(A2, measured(lambda row: 1.19, spread=0.001)), "fails")
    check(judge(A2, measured(lambda row: 1.21, spread=0.001)), "holds")
    check(judge(A2, measured(lambda row: 1.2, spread=0.001)), "inconclusive")


@pytest.mark.parametrize(
    ("ratios", "answer", "low", "high"),
    [
        ((2, 2, 2, 2, 1), "holds", 0.8, 0.8),
        ((2, 2, 2, 1, 1), "fails", 0.6, 0.6),
        ((2, 2, 2, 2, 1.2), "holds", 0.8, 1.0),
        ((2, 2, 2, 1.2, 1.2), "inconclusive", 0.6, 1.0),
        ((2, 2, 2, 1.2, 1), "inconclusive", 0.6, 0.8),
        ((2, 2, 1.2, 1, 1), "fails", 0.4, 0.6),
    ],
)
def test_a2_needs_four_cells_of_five(ratios: tuple[float, ...], answer: str, low: float, high: float) -> None:
    verdict = judge(A2, measured(by_size(*ratios)))
    check(verdict, answer)
    assert (verdict.low, verdict.high) == pytest.approx((low, high))


def test_a2_counts_every_set() -> None:
    found = measured(lambda row: 2.0 if row["set"] == "logistic/one" else 1.0, sets=("logistic/one", "logistic/two"))
    verdict = judge(A2, found)
    check(verdict, "fails")
    assert (verdict.value, verdict.n) == (0.5, 10)
    assert {cell["set"] for cell in verdict.cells} == {"logistic/one", "logistic/two"}


def test_a2_is_open_when_the_seeds_disagree() -> None:
    verdict = judge(A2, measured(lambda row: 2.0, spread=2.0))
    check(verdict, "inconclusive")
    assert (verdict.low, verdict.high) == (0.0, 1.0)


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
@pytest.mark.parametrize("claim", OWN, ids=lambda claim: claim.id)
@pytest.mark.parametrize("ratios", [(1e6,) * 5, (1e6, 1e6, 1e6, 1e-6, 1e-6)])
def test_fewer_than_five_seeds_decide_nothing(claim: Claim, seeds: int, ratios: tuple[float, ...]) -> None:
    verdict = judge(claim, measured(by_size(*ratios), seeds=seeds, spread=1e-6))
    assert verdict.answer not in ("holds", "fails")
    json.dumps(asdict(verdict), allow_nan=False)


def test_five_seeds_decide() -> None:
    check(judge(A2, measured(lambda row: 2.0, seeds=5)), "holds")
    check(judge(A3, measured(lambda row: 2.0, seeds=5)), "holds")


# A3: the advantage stays ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratios", [(2, 2, 2, 2, 2), (1, 2, 3, 4, 5), (3, 3, 3, 3, 2.5), (9, 9, 2, 2, 2)])
def test_a3_holds(ratios: tuple[float, ...]) -> None:
    verdict = judge(A3, measured(by_size(*ratios)))
    check(verdict, "holds")
    assert verdict.value == pytest.approx(ratios[-1] / sorted(ratios)[2], rel=1e-12)
    assert verdict.n == 6


@pytest.mark.parametrize("ratios", [(5, 4, 3, 2, 1), (2, 2, 2, 2, 1), (1, 1, 1, 1, 0.5), (3, 3, 3, 3, 2.3)])
def test_a3_fails(ratios: tuple[float, ...]) -> None:
    verdict = judge(A3, measured(by_size(*ratios)))
    check(verdict, "fails")
    assert verdict.value == pytest.approx(ratios[-1] / sorted(ratios)[2], rel=1e-12)
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low <= verdict.value <= verdict.high < 0.8


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_a3_does_not_hold_where_there_is_no_advantage(ratio: float) -> None:
    check(judge(A3, measured(lambda row: ratio)), NOT_TESTABLE)

    def one_of_two(row: Mapping[str, Any]) -> float:
        return ratio if row["set"] == "logistic/one" else 2.0

    verdict = judge(A3, measured(one_of_two, sets=("logistic/one", "logistic/two")))
    check(verdict, "holds")
    assert ["no certain advantage" in remark for remark in verdict.remarks] == [True, False]


def test_a3_compares_with_the_median_over_an_even_number_of_sizes() -> None:
    verdict = judge(A3, measured(lambda row: {8: 1.0, 32: 4.0, 128: 9.0, 512: 6.0}[row["batch_size"]], sizes=SIZES[:4]))
    check(verdict, "holds")
    assert verdict.value == pytest.approx(6.0 / math.sqrt(4.0 * 6.0), rel=1e-12), "the median of logarithms"


def test_a3_is_open_when_the_interval_straddles_the_threshold() -> None:
    check(judge(A3, measured(by_size(2, 2, 2, 2, 1.6))), "inconclusive")

    def noisy(row: Mapping[str, Any]) -> float:
        return 2.0 * (math.exp(1.5 * (-1) ** row["seed"]) if row["batch_size"] == 2048 else 1.0)

    check(judge(A3, measured(noisy)), "inconclusive")


def test_a3_looks_at_sizes_that_leave_twenty_steps() -> None:
    collapse = by_size(2, 2, 2, 2, 0.1)
    check(judge(A3, measured(collapse, passes=10)), "fails")  # 20 steps at the largest size
    verdict = judge(A3, measured(collapse, passes=9))  # 18 steps
    check(verdict, "holds")
    assert verdict.value == pytest.approx(1.0)
    assert "batch 512 (72 steps)" in " ".join(verdict.remarks)


def test_a3_cannot_be_tested_on_few_batch_sizes() -> None:
    for sizes in ((8,), (8, 32)):
        verdict = judge(A3, measured(lambda row: 2.0, sizes=sizes))
        check(verdict, NOT_TESTABLE)
        assert verdict.value is None
        assert verdict.n == 0
        assert verdict.share == (0, 0)


def test_a3_cannot_be_tested_when_no_size_leaves_twenty_steps() -> None:
    check(judge(A3, measured(lambda row: 2.0, sizes=(512, 1024, 2048), passes=2)), NOT_TESTABLE)


def test_a3_cannot_be_tested_when_only_the_smallest_size_leaves_twenty_steps() -> None:
    found = measured(lambda row: {64: 4.0, 1024: 2.0, 2048: 1.0}[row["batch_size"]], sizes=(64, 1024, 2048), passes=3)
    check(judge(A3, found), NOT_TESTABLE)


@pytest.mark.parametrize(
    ("one", "two", "answer"),
    [
        ((2, 2, 2, 2, 2), (3, 3, 3, 3, 3), "holds"),
        ((2, 2, 2, 2, 2), (2, 2, 2, 2, 1), "fails"),
        ((2, 2, 2, 2, 1.6), (2, 2, 2, 2, 1), "fails"),
        ((2, 2, 2, 2, 2), (2, 2, 2, 2, 1.6), "inconclusive"),
    ],
)
def test_a3_wants_every_set_to_agree(one: tuple[float, ...], two: tuple[float, ...], answer: str) -> None:
    def ratio(row: Mapping[str, Any]) -> float:
        return by_size(*(one if row["set"] == "logistic/one" else two))(row)

    verdict = judge(A3, measured(ratio, sets=("logistic/one", "logistic/two")))
    check(verdict, answer)
    assert verdict.value == pytest.approx(min(one[-1] / one[0], two[-1] / two[0]), rel=1e-9), "the worst of them"


def test_a3_reports_the_rank_correlation() -> None:
    for ratios, shown in (((1, 2, 3, 4, 5), "1.00"), ((5, 4, 3, 2, 1), "-1.00")):
        verdict = judge(A3, measured(by_size(*ratios)))
        assert f"rank correlation of ratio and batch size {shown}" in verdict.remarks[0]


# Cells that are not decided ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sgd", "adagrad"])
def test_a_cell_whose_best_rate_is_at_an_edge_is_not_decided(method: str) -> None:
    found = measured(lambda row: 2.0, edge=lambda row: row["method"] == method and row["batch_size"] in (8, 32))
    verdict = judge(A2, found)
    check(verdict, "inconclusive")
    assert [cell["answer"] for cell in verdict.cells] == ["inconclusive"] * 2 + ["holds"] * 3
    assert (verdict.low, verdict.high) == (0.6, 1.0)
    assert any("2 cells" in remark and "edge" in remark for remark in verdict.remarks)
    check(judge(A3, found), "inconclusive")


def test_one_cell_at_an_edge_does_not_undo_the_rest() -> None:
    found = measured(lambda row: 2.0, edge=lambda row: row["method"] == "sgd" and row["batch_size"] == 8)
    check(judge(A2, found), "holds")
    found = measured(by_size(1, 2, 2, 2, 1), edge=lambda row: row["batch_size"] == 8)
    check(judge(A2, found), "inconclusive")  # it may be the fourth of the four that are wanted


def test_an_edge_of_a_method_that_is_not_compared_does_not_matter() -> None:
    found = measured(lambda row: 2.0, rivals=("sgd", "sgd, 1/sqrt(t)"), edge=lambda row: row["method"].endswith(")"))
    verdict = judge(A2, found)
    check(verdict, "holds")
    assert [arm["answer"] for arm in verdict.arms] == ["holds", "inconclusive"]


@pytest.mark.parametrize("claim", OWN, ids=lambda claim: claim.id)
@pytest.mark.parametrize("diverged", [("sgd",), ("adagrad",), ("sgd", "adagrad")])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2, 3, 4, 5)])
@pytest.mark.filterwarnings("error")
def test_diverged_runs_decide_nothing(claim: Claim, diverged: tuple[str, ...], seeds: tuple[int, ...]) -> None:
    found = changed(
        measured(lambda row: 2.0), lambda row: math.inf if row.method in diverged and row.seed in seeds else None
    )
    verdict = judge(claim, found)
    check(verdict, "inconclusive")
    assert len(verdict.cells) == 5


@pytest.mark.filterwarnings("error")
def test_a_diverged_run_undoes_its_own_cell_only() -> None:
    found = changed(
        measured(lambda row: 2.0),
        lambda row: math.inf if (row.method, row.batch_size, row.seed) == ("sgd", 8, 3) else None,
    )
    verdict = judge(A2, found)
    check(verdict, "holds")
    assert [cell["answer"] for cell in verdict.cells] == ["inconclusive"] + ["holds"] * 4
    assert (verdict.cells[0]["ratio"], verdict.cells[0]["high"]) == (None, None)


@pytest.mark.parametrize("claim", OWN, ids=lambda claim: claim.id)
@pytest.mark.parametrize("missing", ["sgd", "adagrad", "both"])
def test_a_claim_without_runs_to_compare_cannot_be_tested(claim: Claim, missing: str) -> None:
    found = measured(lambda row: 2.0)
    table = found[STUDY].fresh
    left = table[table.method != missing] if missing != "both" else table[:0]
    verdict = judge(claim, {STUDY: replace(found[STUDY], fresh=left)})
    assert verdict.answer == NOT_TESTABLE
    assert verdict.share == (0, 0)
    json.dumps(asdict(verdict), allow_nan=False)


@pytest.mark.parametrize("claim", OWN, ids=lambda claim: claim.id)
@pytest.mark.parametrize("method", ["sgd", "adagrad"])
def test_gaps_that_are_known_no_better_than_f_star_do_not_count(claim: Claim, method: str) -> None:
    def at_the_floor(row: Any) -> float | None:
        return 1e-12 if row.method == method and row.batch_size in (8, 32) and row.seed == 3 else None

    verdict = judge(claim, changed(measured(by_size(1, 1, 2, 2, 2)), at_the_floor))
    check(verdict, "holds")
    assert [cell["answer"] for cell in verdict.cells][:3] == [NOT_TESTABLE, NOT_TESTABLE, "holds"]


# Arms ----------------------------------------------------------------------------------------------------------------


def test_arms_are_the_product_of_the_choices_and_the_first_is_the_main_one() -> None:
    found = measured(
        lambda row: 2.0 if row["l2"] == "0" else 1.0,
        l2=("0", "1/n"),
        readouts=("last", "average"),
        rivals=("sgd", "sgd, 1/sqrt(t)"),
    )
    verdict = judge(A2, found)
    check(verdict, "holds")
    arms = [(arm["l2"], arm["iterate"], arm["sgd"]) for arm in verdict.arms]
    wanted = [(a, b, c) for a in ("0", "1/n") for b in ("last", "average") for c in ("sgd", "sgd, 1/sqrt(t)")]
    assert arms == wanted
    assert [arm["answer"] for arm in verdict.arms] == ["holds"] * 4 + ["fails"] * 4
    assert verdict.share == (4, 8)
    assert verdict.deciding == "l2"
    assert all(cell["ratio"] == pytest.approx(2.0) for cell in verdict.cells), "the cells of the main arm"


def test_variants_of_some_sets_are_compared_with_the_main_one_on_these_sets() -> None:
    def ratio(row: Mapping[str, Any]) -> float:
        return 2.0 if row["set"] == "logistic/a4a" else 1.0

    found = measured(ratio, sets=("logistic/a4a", "logistic/two", "logistic/a9a"), l2=("0", "1/n"))
    table = found[STUDY].fresh
    few = table[(table.l2 == "0") | (table["set"] == "logistic/a4a")]
    few = few.assign(examples=few["set"].map({"logistic/a4a": 4096, "logistic/two": 4096, "logistic/a9a": 9000}))
    verdict = judge(A2, {STUDY: replace(found[STUDY], fresh=few)})
    assert [(arm["l2"], arm["sets"], arm["answer"]) for arm in verdict.arms] == [
        ("0", "all", "fails"),
        ("0", "Adult once", "fails"),
        ("0", "logistic/a4a", "holds"),
        ("1/n", "logistic/a4a", "holds"),
    ]
    assert [arm["n"] for arm in verdict.arms] == [15, 10, 5, 5]
    assert verdict.deciding == "sets"


@pytest.mark.parametrize(("choice", "value"), [("iterate", "average"), ("sgd", "sgd, 1/sqrt(t)"), ("l2", "1/n")])
def test_the_choice_that_decides_is_named(choice: str, value: str) -> None:
    column = {"iterate": "readout", "sgd": "method", "l2": "l2"}[choice]
    found = measured(
        lambda row: 1.0 if row[column] == value else 2.0,
        l2=("0", "1/n"),
        readouts=("last", "average"),
        rivals=("sgd", "sgd, 1/sqrt(t)"),
    )
    verdict = judge(A2, found)
    check(verdict, "holds")
    assert verdict.deciding == choice
    assert verdict.share == (4, 8)


def test_arms_in_which_a_claim_cannot_be_tested_do_not_count() -> None:
    found = measured(lambda row: 2.0, l2=("0", "1/n"))
    table = found[STUDY].fresh
    few = table[(table.l2 == "0") | (table.batch_size <= 32)]
    verdict = judge(A3, {STUDY: replace(found[STUDY], fresh=few)})
    check(verdict, "holds")
    assert [arm["answer"] for arm in verdict.arms] == ["holds", NOT_TESTABLE]
    assert verdict.share == (1, 1)
    assert verdict.deciding == "l2"


@pytest.mark.parametrize(
    ("answers", "deciding"),
    [
        ("hhhh", "none: every arm gives the same answer"),
        ("ffff", "none: every arm gives the same answer"),
        ("hhff", "a"),
        ("hfhf", "b"),
        ("hffh", "no single choice"),
        ("hhhf", "no single choice"),
        ("hhif", "a"),
    ],
)
def test_deciding_choices(answers: str, deciding: str) -> None:
    arms = [{"a": a, "b": b, "always": 0} for a in (0, 1) for b in (0, 1)]
    words: dict[str, Answer] = {"h": "holds", "f": "fails", "i": "inconclusive"}
    assert deciding_choice(arms, [words[letter] for letter in answers]) == deciding


def test_two_choices_that_decide_equally() -> None:
    arms = [{"a": 0, "b": 0}, {"a": 1, "b": 1}]
    assert deciding_choice(arms, ["holds", "fails"]) == "a or b"


# The closing line ----------------------------------------------------------------------------------------------------


@functools.cache
def some_verdict() -> Verdict:
    return judge(A2, measured(lambda row: 2.0, sizes=(8,), seeds=5))


def verdict_of(claim: str, answer: Answer, value: float | None = 1.0) -> Verdict:
    return replace(some_verdict(), claim=claim, answer=answer, value=value)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """Ten verdicts, all of which hold with value 2."""
    path = tmp_path / "verdicts.json"
    claims.write([verdict_of(f"A{i}", "holds", 2.0) for i in range(1, 11)], path, {"commit": "abc"})
    return path


def ten(**others: tuple[Answer, float | None]) -> list[Verdict]:
    return [verdict_of(f"A{i}", *others.get(f"A{i}", ("holds", 1.9))) for i in range(1, 11)]


def test_all_match(reference: Path) -> None:
    assert compare(ten(), reference) == "10 of 10 verdicts match the reference"


def test_one_differs(reference: Path) -> None:
    line = compare(ten(A4=("fails", 0.123456)), reference)
    assert line == ("9 of 10 verdicts match the reference; A4 differs: fails here (0.123), holds there (2)")


def test_several_differ(reference: Path) -> None:
    line = compare(ten(A4=("fails", 0.5), A7=(NOT_TESTABLE, None)), reference)
    assert line.startswith("8 of 10 verdicts match the reference; A4 differs: fails here (0.5), holds there (2); A7 ")
    assert line.endswith("; A7 differs: not testable at this scale here (no value), holds there (2)")


def test_a_single_claim(reference: Path) -> None:
    assert compare([verdict_of("A2", "holds")], reference) == "1 of 1 verdicts match the reference"
    assert compare([verdict_of("A2", "fails")], reference).startswith("0 of 1 verdicts match the reference; A2 differs")


def test_a_claim_that_the_reference_does_not_have(reference: Path) -> None:
    line = compare([*ten(), verdict_of("B1", "holds"), verdict_of("B2", "fails")], reference)
    assert line == "10 of 10 verdicts match the reference; not in the reference: B1, B2"


def test_no_reference(tmp_path: Path) -> None:
    line = compare(ten(), tmp_path / "none" / "verdicts.json")
    assert line == "there is no committed reference to compare 10 verdicts with"


def test_verdicts_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = changed(measured(lambda row: 2.0), lambda row: math.inf if row.seed == 0 and row.method == "sgd" else None)
    made = [judge(claim, found) for claim in OWN]
    claims.write(made, tmp_path / "verdicts.json", {"commit": "abc"})
    read = pages.read_verdicts(tmp_path / "verdicts.json")
    assert read == json.loads(json.dumps([asdict(verdict) for verdict in made]))
    assert compare(made, tmp_path / "verdicts.json") == "2 of 2 verdicts match the reference"


# What is claimed -----------------------------------------------------------------------------------------------------


def test_the_claims_say_what_they_are_about() -> None:
    assert [claim.id for claim in CLAIMS] == [f"A{number}" for number in range(1, 11)]
    for claim in CLAIMS:
        assert set(claim.mark.split("/")) <= {"S", "R", "D", "O"}
        assert claim.sentence.endswith(".")
    assert A2.studies == A3.studies == (STUDY,)
    assert "1.2" in A2.statistic
    assert "0.8 of the cells" in A2.threshold
    assert "20 steps" in A3.statistic
    assert "0.8" in A3.threshold


def test_the_lines_of_the_command_line() -> None:
    shown = pages.verdict_lines([judge(A2, measured(lambda row: 2.0, l2=("0", "1/n")))])
    assert shown.startswith(f"A2 holds: {A2.sentence}\n")
    assert "1 [1, 1], n = 5; wanted: at least 0.8 of the cells" in shown
    assert "holds in 2 of 2 arms; deciding choice: none" in shown
