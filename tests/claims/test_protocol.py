"""The protocol on curves that are known: which rates are tried, which is picked, what is reported."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from experiments import protocol
from experiments.protocol import Cell, Outcome, Protocol
from experiments.spec import Run
from optim.settings import SettingError

WORDS = ("task=logistic/breast_cancer", "optimizer=adagrad", "batch_size.size=64", "budget.steps=10")
GRID = (0.125, 0.25, 0.5, 1.0, 2.0)
SETTINGS = Protocol(tuning_seeds=(1000, 1001, 1002), fresh_seeds=(0, 1, 2, 3, 4), factor=2.0)

Curve = Callable[[float, int], float | None]
"""The final value at a rate and a seed; None where the run diverges."""


class Fake:
    """In place of the store: the value of a run is read off a curve for each metric. Keeps what it was asked for."""

    def __init__(self, **curves: Curve) -> None:
        self.curves = {name.replace("__", "/"): curve for name, curve in curves.items()}
        self.rounds: list[tuple[str, list[Run]]] = []

    def __call__(self, runs: Sequence[Run], purpose: str) -> dict[str, dict[str, float | None]]:
        self.rounds.append((purpose, list(runs)))
        return {run.id: self._final(run) for run in runs}

    def _final(self, run: Run) -> dict[str, float | None]:
        found = {name: curve(run.hyper["lr"], run.seed) for name, curve in self.curves.items()}
        return {} if None in found.values() else dict(found)

    def purposes(self) -> list[str]:
        return [purpose for purpose, _ in self.rounds]

    def rates(self, number: int, **about: Any) -> list[float]:
        runs = [run for run in self.rounds[number][1] if all(run.columns()[k] == v for k, v in about.items())]
        return sorted({run.hyper["lr"] for run in runs})


def bowl(best: float, height: float = 0.1) -> Curve:
    """Lowest at `best`, symmetric in the logarithm of the rate; each seed has a level of its own."""
    return lambda lr, seed: height * (1 + math.log2(lr / best) ** 2) + 0.01 * (seed % 10)


def cell(grid: Sequence[float] = GRID, words: Sequence[str] = WORDS, **labels: Any) -> Cell:
    return Cell({"method": "adagrad", **labels}, tuple(words), tuple(grid), {"last": "gap"})


def both(grid: Sequence[float] = GRID) -> Cell:
    return Cell({"method": "adagrad"}, WORDS, tuple(grid), {"last": "gap", "average": "average/gap"})


def picks(found: Outcome, readout: str = "last") -> list[float]:
    return sorted(found.fresh[found.fresh.readout == readout].lr.unique().tolist())


# Picking -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("best", [0.25, 0.5, 1.0])
def test_a_best_rate_inside_the_grid_is_picked_at_once(best: float) -> None:
    fake = Fake(gap=bowl(best))
    found = protocol.measure([cell()], SETTINGS, fake)
    assert fake.purposes() == ["tuning", "fresh seeds"]
    assert picks(found) == [best]
    assert not found.fresh.edge.any()
    assert fake.rates(0) == list(GRID)
    tuned = fake.rounds[0][1]
    assert len(tuned) == len({run.id for run in tuned}) == 15, "every rate on every tuning seed, once"
    assert sorted({run.seed for run in tuned}) == [1000, 1001, 1002]


def test_fresh_seeds_are_reported_and_tuning_seeds_are_not() -> None:
    fake = Fake(gap=bowl(0.5))
    found = protocol.measure([cell()], SETTINGS, fake)
    assert found.fresh.seed.tolist() == [0, 1, 2, 3, 4]
    assert sorted(found.tuning.seed.unique()) == [1000, 1001, 1002]
    assert not set(found.fresh.run) & set(found.tuning.run)
    assert found.fresh.value.tolist() == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14])
    assert {run.id for run in fake.rounds[-1][1]} == set(found.fresh.run)


def test_the_tables_have_the_labels_and_what_was_picked() -> None:
    found = protocol.measure([cell(set="one", steps=10)], SETTINGS, Fake(gap=bowl(0.5)))
    shared = ["method", "set", "steps", "readout", "lr", "seed", "run", "value"]
    assert found.tuning.columns.tolist() == [*shared, "picked"]
    assert found.fresh.columns.tolist() == [*shared, "edge"]
    assert len(found.tuning) == 15
    assert found.tuning[found.tuning.picked].lr.tolist() == [0.5] * 3
    assert set(found.tuning.steps) == {10}
    for table in (found.tuning, found.fresh):
        for row in table.itertuples():
            assert row.value == pytest.approx(bowl(0.5)(row.lr, row.seed))


def test_the_mean_over_the_tuning_seeds_decides() -> None:
    def curve(lr: float, seed: int) -> float:
        return {0.25: [0.0, 0.0, 9.0], 0.5: [2.0, 2.0, 2.0]}.get(lr, [5.0] * 3)[seed % 10 % 3]

    assert picks(protocol.measure([cell()], SETTINGS, Fake(gap=curve))) == [0.5], "not most wins, and not the median"


def test_of_equal_rates_the_smallest_is_picked() -> None:
    found = protocol.measure([cell()], SETTINGS, Fake(gap=lambda lr, seed: 1.0 if lr in (0.25, 1.0) else 2.0))
    assert picks(found) == [0.25]


def test_a_grid_may_be_given_in_any_order() -> None:
    fake = Fake(gap=bowl(0.5))
    assert picks(protocol.measure([cell((2.0, 0.5, 1.0, 0.125, 0.25))], SETTINGS, fake)) == [0.5]
    assert fake.purposes() == ["tuning", "fresh seeds"]


def test_tuning_records_the_end_only_and_fresh_runs_what_was_asked_for() -> None:
    fake = Fake(gap=bowl(0.5))
    protocol.measure([cell(words=(*WORDS, "record=every:2"))], SETTINGS, fake)
    assert {run.experiment.record for run in fake.rounds[0][1]} == {"ends"}
    assert {run.experiment.record for run in fake.rounds[1][1]} == {"every:2"}


# Wider grids ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("best", "grids"),
    [
        (4.0, [(-3, 1), (-3, 4)]),
        (16.0, [(-3, 1), (-3, 4), (-3, 7)]),
        (2.0, [(-3, 1), (-3, 4)]),
        (0.125, [(-3, 1), (-6, 1)]),
        (2.0**-8, [(-3, 1), (-6, 1), (-9, 1)]),
    ],
)
def test_a_grid_is_widened_until_the_best_rate_is_inside(best: float, grids: list[tuple[int, int]]) -> None:
    fake = Fake(gap=bowl(best))
    found = protocol.measure([cell()], SETTINGS, fake)
    assert picks(found) == [best]
    assert not found.fresh.edge.any()
    tried = [fake.rates(i) for i in range(len(fake.rounds) - 1)]
    assert tried == [[2.0**k for k in range(low, high + 1)] for low, high in grids]
    assert fake.purposes()[0] == "tuning"
    assert fake.purposes()[-1] == "fresh seeds"


def test_the_factor_and_the_number_of_new_rates_are_the_protocols() -> None:
    fake = Fake(gap=bowl(9.0))
    settings = Protocol((1000,), (0,), factor=3.0, extend_by=2)
    protocol.measure([cell((1.0, 3.0))], settings, fake)
    assert fake.rates(1) == pytest.approx([1.0, 3.0, 9.0, 27.0])


def test_two_readouts_are_tuned_apart_and_widen_the_grid_on_both_sides() -> None:
    fake = Fake(gap=bowl(4.0), average__gap=bowl(0.0625))
    found = protocol.measure([both()], SETTINGS, fake)
    assert picks(found, "last") == [4.0]
    assert picks(found, "average") == [0.0625]
    assert fake.rates(1) == [2.0**k for k in range(-6, 5)]
    assert not found.fresh.edge.any()
    last = found.fresh[found.fresh.readout == "last"]
    average = found.fresh[found.fresh.readout == "average"]
    assert len(last) == len(average) == 5
    assert last.value.tolist() == average.value.tolist() == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14])
    assert not set(last.run) & set(average.run)
    picked = found.tuning[found.tuning.picked]
    assert picked.groupby("readout").lr.unique().map(list).to_dict() == {"average": [0.0625], "last": [4.0]}


def test_readouts_that_agree_share_their_fresh_runs() -> None:
    found = protocol.measure([both()], SETTINGS, Fake(gap=bowl(0.5), average__gap=bowl(0.5, height=0.3)))
    assert found.fresh.run.nunique() == 5
    assert found.fresh.value.tolist() == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14, 0.3, 0.31, 0.32, 0.33, 0.34])


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("extensions", [0, 1, 4])
def test_a_best_rate_that_is_never_inside_is_marked(extensions: int, down: bool) -> None:
    fake = Fake(gap=lambda lr, seed: lr if down else 1 / lr)
    settings = Protocol((1000,), (0, 1), factor=2.0, extend_by=3, extensions=extensions)
    found = protocol.measure([cell()], settings, fake)
    assert len(fake.rounds) == extensions + 2
    exponent = -3 - 3 * extensions if down else 1 + 3 * extensions
    assert picks(found) == [2.0**exponent]
    assert found.fresh.edge.all()
    assert len(found.tuning) == 5 + 3 * extensions


def test_an_edge_is_marked_for_its_own_readout_and_cell() -> None:
    def falling(lr: float, seed: int) -> float:
        return 1 / lr

    settings = Protocol((1000,), (0,), factor=2.0, extensions=1)
    fake = Fake(gap=bowl(0.5), average__gap=falling)
    found = protocol.measure([both(), cell(method="other")], settings, fake)
    edges = found.fresh.groupby(["method", "readout"]).edge.first().to_dict()
    assert edges == {("adagrad", "last"): False, ("adagrad", "average"): True, ("other", "last"): False}


def test_a_grid_of_one_rate_is_widened_on_both_sides() -> None:
    fake = Fake(gap=bowl(1.0))
    found = protocol.measure([cell((1.0,))], SETTINGS, fake)
    assert fake.rates(1) == [2.0**k for k in range(-3, 4)]
    assert picks(found) == [1.0]


# Divergence ----------------------------------------------------------------------------------------------------------


def test_a_rate_that_diverged_on_one_seed_is_infinitely_bad() -> None:
    def curve(lr: float, seed: int) -> float | None:
        return None if lr >= 1.0 and seed == 1001 else 1 / lr

    fake = Fake(gap=curve)
    found = protocol.measure([cell()], SETTINGS, fake)
    assert picks(found) == [0.5]
    assert fake.purposes() == ["tuning", "fresh seeds"], "no reason to widen the grid"
    assert not found.fresh.edge.any()
    values = found.tuning.set_index(["lr", "seed"]).value
    assert math.isinf(values[2.0, 1001])
    assert math.isinf(values[1.0, 1001])
    assert values[2.0, 1000] == 0.5


def test_when_every_rate_diverges_smaller_ones_are_tried() -> None:
    fake = Fake(gap=lambda lr, seed: None if lr > 0.02 else 0.1 + abs(math.log2(lr / 2**-7)))
    found = protocol.measure([cell()], SETTINGS, fake)
    assert picks(found) == [2.0**-7]
    assert not found.fresh.edge.any()


def test_fresh_runs_that_diverge_are_reported_as_infinite() -> None:
    fake = Fake(gap=lambda lr, seed: None if seed == 3 else bowl(0.5)(lr, seed))
    found = protocol.measure([cell()], SETTINGS, fake)
    assert found.fresh.value.map(math.isinf).tolist() == [False, False, False, True, False]
    assert found.fresh.lr.tolist() == [0.5] * 5, "reported at the rate that was picked, not replaced"


def test_a_metric_that_no_run_has_is_refused_and_not_taken_for_divergence() -> None:
    unknown = Cell({"method": "adagrad"}, WORDS, GRID, {"last": "gapp"})
    with pytest.raises(SettingError, match="gap"):
        protocol.measure([unknown], SETTINGS, Fake(gap=bowl(0.5)))


# Fairness ------------------------------------------------------------------------------------------------------------


def test_every_method_gets_the_same_tuning_budget_unless_it_is_widened() -> None:
    cells = [cell(method=m, words=[f"optimizer={m}", *WORDS[2:]]) for m in ("sgd", "adagrad", "adam")]
    fake = Fake(gap=bowl(0.5))
    found = protocol.measure(cells, SETTINGS, fake)
    assert fake.purposes() == ["tuning", "fresh seeds"], "all cells go to the planner at once"
    tried = found.tuning.groupby("method").run.nunique().to_dict()
    assert tried == {"sgd": 15, "adagrad": 15, "adam": 15}
    assert found.fresh.groupby("method").run.nunique().to_dict() == {"sgd": 5, "adagrad": 5, "adam": 5}
    for name in ("sgd", "adagrad", "adam"):
        assert fake.rates(0, optimizer=name) == list(GRID)


def test_only_the_cell_at_an_edge_is_widened() -> None:
    words = {m: [f"optimizer={m}", *WORDS[2:]] for m in ("sgd", "adagrad")}

    class ByMethod(Fake):
        def _final(self, run: Run) -> dict[str, float | None]:
            return {"gap": bowl(8.0 if run.columns()["optimizer"] == "sgd" else 0.5)(run.hyper["lr"], run.seed)}

    fake = ByMethod()
    found = protocol.measure([cell(method=m, words=w) for m, w in words.items()], SETTINGS, fake)
    assert fake.rates(1, optimizer="sgd") == [2.0**k for k in range(-3, 5)]
    assert fake.rates(1, optimizer="adagrad") == list(GRID)
    assert found.fresh.groupby("method").lr.first().to_dict() == {"sgd": 8.0, "adagrad": 0.5}


def test_comparisons_are_paired() -> None:
    """Runs of different methods with one seed see the same examples: they differ in the method alone."""
    cells = [cell(method=m, words=[f"optimizer={m}", *WORDS[2:]]) for m in ("sgd", "adagrad")]
    fake = Fake(gap=bowl(0.5))
    found = protocol.measure(cells, SETTINGS, fake)
    assert found.fresh[found.fresh.method == "sgd"].seed.tolist() == [0, 1, 2, 3, 4]
    assert found.fresh[found.fresh.method == "adagrad"].seed.tolist() == [0, 1, 2, 3, 4]
    assert len({run.experiment.sampling for _, runs in fake.rounds for run in runs}) == 1


@pytest.mark.parametrize(
    ("tuning", "fresh"), [((0, 1), (1, 2)), ((0,), (0,)), ((), (0,)), ((0,), ()), ((0, 0), (1,)), ((0,), (1, 1))]
)
def test_seeds_that_are_not_fresh_or_not_distinct_are_refused(tuning: tuple[int, ...], fresh: tuple[int, ...]) -> None:
    fake = Fake(gap=bowl(0.5))
    with pytest.raises(SettingError, match="seed"):
        protocol.measure([cell()], Protocol(tuning, fresh, 2.0), fake)
    assert not fake.rounds


@pytest.mark.parametrize(
    "words", [["optimizer=adagard"], ["batch_size.size=0"], ["budget.steps=2", "budget.examples=1"]]
)
def test_a_cell_that_cannot_be_run_is_refused_before_any_work(words: list[str]) -> None:
    fake = Fake(gap=bowl(0.5))
    with pytest.raises(SettingError):
        protocol.measure([cell(), cell(words=words)], SETTINGS, fake)
    assert not fake.rounds
