"""Lanes that diverge: found, frozen, recorded as such, and without any effect on their neighbours."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.datasets import load_breast_cancer

from experiments import api, files
from experiments.loop import Loop
from experiments.order import Order

CPU = torch.device("cpu")
BASE = ["task=logistic/breast_cancer", "dtype=float64", "batch_size.size=32", "budget.steps=20", "record=every:1"]


def run(store, *words):
    results = api.run([*BASE, *words, f"store={store}"])
    assert len({r.folder for r in results}) == 1
    return results


def lane_of(result):
    """Where a run stands in its job."""
    runs = json.loads((result.folder / "job.json").read_text())["runs"]
    return [run["run"] for run in runs].index(result.id)


def ended(result):
    return json.loads((result.folder / "result.json").read_text())


def diverged_at(result):
    return ended(result)["runs"][result.id]["diverged_at"]


def lines(result):
    return [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]


def records(store):
    """{run: [(step, metric, value)]}"""
    found = {}
    for row in api.load_runs(store).itertuples():
        found.setdefault(row.run, []).append((row.step, row.metric, row.value))
    return found


def checkpoint(result):
    """The part of the checkpoint that belongs to a run."""
    tensors, _ = files.read_checkpoint(result.folder / "checkpoint.safetensors")
    lanes = len(json.loads((result.folder / "job.json").read_text())["runs"])
    assert all(t.shape[0] == lanes for t in tensors.values())
    return {k: t[lane_of(result)] for k, t in tensors.items()}


def signed_rows():
    rows, labels = load_breast_cancer(return_X_y=True)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return (2 * (rows - low) / (high - low) - 1) * np.where(labels == 1, 1.0, -1.0)[:, None]


def sgd(rate, seed, steps):
    """Points w_0, ..., w_steps; loss of each over all the data; loss of each on the batch of the next step."""
    signed, order, w = signed_rows(), Order(569, "replacement", [seed], CPU), np.zeros(30)
    points, full, of_batch = [], [], []
    for t in range(steps + 1):
        batch = signed[order.draws(32 * t, 32).numpy()]
        points.append(w)
        full.append(np.logaddexp(0, -(signed @ w)).mean())
        of_batch.append(np.logaddexp(0, -(batch @ w)).mean())
        w = w + rate * (batch.T @ expit(-(batch @ w))) / 32
    return points, full, of_batch


# Neighbours -----------------------------------------------------------------------------------------------------------

# (rates with an absurd one, the same with a harmless one in its place, both in the order in which the job sorts them)
FIRST, MIDDLE, LAST = (
    (["1e+30", 2.0, 3.0], [1.5, 2.0, 3.0]),
    ([0.1, "1e+30", 2.0], [0.1, 1.5, 2.0]),
    ([0.1, 1.0, "1e+30"], [0.1, 1.0, 1.5]),
)


MANY = ["dtype=float32", "average=uniform", "schedule=inverse_sqrt", "probe=[gradient_norm]"]
CASES = {"first": (FIRST, []), "middle": (MIDDLE, []), "last": (LAST, [])}
CASES |= {"seeds": (MIDDLE, ["lanes.seed=[0,1]"]), "float32": (MIDDLE, MANY)}


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adagrad_norm", "adam"])
@pytest.mark.parametrize(("place", "words"), CASES.values(), ids=CASES)
def test_neighbours_of_a_frozen_lane_do_not_change_by_a_bit(tmp_path, optimizer, place, words):
    stores, found = (tmp_path / "absurd", tmp_path / "harmless"), []
    for store, rates in zip(stores, place, strict=True):
        results = run(store, f"optimizer={optimizer}", f"lanes.lr=[{','.join(map(str, rates))}]", *words)
        found.append({(r.config["seed"], r.config["optimizer.lr"]): r for r in results})
    absurd, harmless = found
    neighbours = absurd.keys() & harmless.keys()
    others = absurd.keys() - neighbours
    assert len(neighbours) == 2 * len(others) > 0
    rows = [records(store) for store in stores]
    for key in neighbours:
        one, other = absurd[key], harmless[key]
        assert lane_of(one) == lane_of(other)
        assert (one.id, one.status, other.status) == (other.id, "finished", "finished")
        assert one.metrics == other.metrics
        assert rows[0][one.id] == rows[1][other.id]
        assert len({step for step, _, _ in rows[0][one.id]}) == 21
        actual, expected = checkpoint(one), checkpoint(other)
        assert actual.keys() == expected.keys() >= {"parameters"}
        for name in expected:
            assert torch.equal(actual[name], expected[name]), name
    for key in others:
        assert absurd[key].status == "diverged"
        assert absurd[key].metrics == {}
        assert diverged_at(absurd[key]) == 1  # the first point recorded after the first step
        assert {step for step, _, _ in rows[0][absurd[key].id]} == {0}


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adagrad_norm", "adam"])
def test_parameters_that_are_not_numbers_stay_in_their_lane(tmp_path, monkeypatch, optimizer, value):
    """As above, but the lane's own tensors are poisoned, whatever its rate."""
    words = [f"optimizer={optimizer}", "lanes.lr=[0.1,0.2,0.3]", "lanes.seed=[0,1]", "average=uniform"]
    clean = run(tmp_path / "clean", *words)
    step = Loop._step

    def poisoned(self):
        step(self)
        if self.state.step == 5:
            self.lanes.flat[1] = value

    monkeypatch.setattr(Loop, "_step", poisoned)
    results = run(tmp_path / "poisoned", *words)
    rows = [records(tmp_path / name) for name in ("poisoned", "clean")]
    for result, expected in zip(results, clean, strict=True):
        if lane_of(result) == 1:
            assert (result.status, diverged_at(result)) == ("diverged", 5)
            assert rows[0][result.id] == [row for row in rows[1][result.id] if row[0] < 5]
            if value == float("inf"):  # frozen in place: not even moved to NaN
                assert (checkpoint(result)["parameters"] == value).all()
        else:
            assert result.status == "finished"
            assert rows[0][result.id] == rows[1][result.id]
            for name, tensor in checkpoint(expected).items():
                assert torch.equal(checkpoint(result)[name], tensor)


# When a lane counts as diverged ---------------------------------------------------------------------------------------


def first_above(bound, values):
    return next((t for t, v in enumerate(values) if not v <= bound), None)


@pytest.mark.parametrize("bound", [0.75, 2.0, 4.0, 8.0])
def test_the_first_loss_above_the_bound_is_found_where_it_is_seen(tmp_path, bound):
    """On the batch of a step, or over all the data at a recording point."""
    rates = [0.5, 10.0, 30.0, 100.0]
    words = ["optimizer=sgd", f"divergence_bound={bound}", f"lanes.lr={rates}"]
    for record in ("every:1", "every:7", "ends"):
        results = run(tmp_path / record, *words, f"record={record}")
        recorded = {"every:1": range(21), "every:7": [0, 7, 14, 20], "ends": [0, 20]}[record]
        rows = records(tmp_path / record)
        states = set()
        for result, rate in zip(results, rates, strict=True):
            points, full, of_batch = sgd(rate, 0, 20)
            on_record = next((t for t in recorded if full[t] > bound), None)
            on_batch = first_above(bound, of_batch[:20])
            # The loss over all the data is taken at w_t after step t, that on a batch at w_{t-1} before step t.
            seen = min(
                [t for t in (on_record, None if on_batch is None else on_batch + 1) if t is not None], default=None
            )
            assert diverged_at(result) == seen
            assert result.status == ("finished" if seen is None else "diverged")
            states.add(result.status)
            steps = {step for step, _, _ in rows[result.id]}
            assert steps == {t for t in recorded if seen is None or t < seen}
            for step, metric, value in rows[result.id]:
                if metric == "loss":
                    assert value == pytest.approx(full[step], rel=1e-10)
            # Frozen where it was: a point found on a batch was not left, one found on record is w_t.
            stays = points[20 if seen is None else seen if seen == on_record else seen - 1]
            np.testing.assert_allclose(checkpoint(result)["parameters"], stays, rtol=1e-9, atol=1e-11)
        if bound == 4.0:
            assert states == {"finished", "diverged"}


def test_a_start_above_the_bound_has_diverged_before_the_first_step(tmp_path):
    results = run(tmp_path, "divergence_bound=0.69", "lanes.lr=[0.1,0.2]")
    assert [(r.status, diverged_at(r), r.metrics) for r in results] == [("diverged", 0, {})] * 2
    assert records(tmp_path) == {}
    for result in results:
        assert torch.equal(checkpoint(result)["parameters"], torch.zeros(30, dtype=torch.float64))


@pytest.mark.parametrize("record", ["every:1", "ends"])
@pytest.mark.parametrize(
    ("words", "how"),
    [
        (["optimizer=sgd", "optimizer.lr=1e30"], "large"),
        (["optimizer=sgd", "optimizer.lr=1e308", "dtype=float32"], "nan"),
        (["optimizer=adagrad", "optimizer.lr=1e308"], "nan"),
        (["optimizer=adagrad_norm", "optimizer.lr=1e308", "dtype=float32"], "nan"),
        (["optimizer=adam", "optimizer.lr=1e308"], "nan"),
        (["optimizer=torch.optim.SGD", "optimizer.arguments.lr=1e30"], "large"),
        (["optimizer=torch.optim.Adam", "optimizer.arguments.lr=1e308"], "nan"),
    ],
    ids=str,
)
def test_losses_that_are_large_and_losses_that_are_no_numbers_both_count(tmp_path, record, words, how):
    """The only lane of its job: which then ends early."""
    (result,) = run(tmp_path, *words, f"record={record}")
    dtype = torch.float32 if "dtype=float32" in words else torch.float64
    if "torch" not in words[0]:  # which moves on from the point that diverged
        weight = checkpoint(result)["parameters"]
        task = api.load_task("logistic/breast_cancer", [f"dtype={str(dtype)[6:]}"])
        loss = float(task.evaluate({"weight": weight})["loss"])
        assert np.isfinite(loss) == (how == "large")
        assert not loss <= 1e8
    assert result.status == "diverged"
    assert result.metrics == {}
    assert diverged_at(result) == {"every:1": 1, "ends": 2}[record]
    assert ended(result)["steps"] <= 2
    assert {row.step for row in api.load_runs(tmp_path).itertuples()} == {0}
    assert set(api.load_runs(tmp_path)["status"]) == {"diverged"}


def test_a_job_ends_when_all_its_lanes_have_diverged_and_not_before(tmp_path):
    gone = run(tmp_path / "all", "lanes.lr=[1e30,1e31]", "lanes.seed=[0,1]", "record=ends")
    assert [(r.status, diverged_at(r)) for r in gone] == [("diverged", 2)] * 4
    assert ended(gone[0])["steps"] == 2
    assert ended(gone[0])["examples"] == 64
    some = run(tmp_path / "some", "lanes.lr=[1e30,0.1]", "record=ends")
    assert [(r.status, diverged_at(r)) for r in some] == [("diverged", 2), ("finished", None)]
    assert ended(some[0])["steps"] == 20


def test_a_lane_that_diverges_in_the_last_step_has_diverged(tmp_path):
    results = run(tmp_path, "lanes.lr=[1e30,0.1]", "budget.steps=1", "record=ends")
    assert [(r.status, diverged_at(r), bool(r.metrics)) for r in results] == [
        ("diverged", 1, False),
        ("finished", None, True),
    ]


def test_rows_of_a_frozen_lane_are_empty_and_the_rest_stays(tmp_path):
    """In the file every lane keeps its place; the table has no rows from the divergence on."""
    results = run(tmp_path, "lanes.lr=[0.1,30.0,0.3]", "divergence_bound=4", "average=uniform", "probe=[gradient_norm]")
    at = [diverged_at(r) for r in results]
    assert at[0] is None is at[2]
    assert 1 <= at[1] < 20
    lane = lane_of(results[1])
    for row in lines(results[1]):
        for metric, values in row["metrics"].items():
            assert [v is None for v in values] == [k == lane and row["step"] >= at[1] for k in range(3)], metric
    table = api.load_runs(tmp_path)
    assert table[table["run"] == results[1].id]["step"].max() == at[1] - 1
    assert table[table["run"] != results[1].id]["step"].max() == 20
    statuses = table.groupby("run")["status"].first()
    assert statuses.to_dict() == {r.id: r.status for r in results}


def test_a_diverged_run_is_a_result_and_not_run_again(tmp_path):
    first = run(tmp_path, "lanes.lr=[1e30,0.1]")
    before = (first[0].folder / "metrics.jsonl").read_bytes(), (first[0].folder / "result.json").read_bytes()
    (again,) = run(tmp_path, "optimizer.lr=1e30")
    assert again == first[0]
    assert before == ((first[0].folder / "metrics.jsonl").read_bytes(), (first[0].folder / "result.json").read_bytes())
    assert len(list((tmp_path / "jobs").glob("*/job.json"))) == 1


def test_the_run_ends_with_its_last_lane(tmp_path: Path) -> None:
    """A lane that is found diverged while a row is written takes no further step."""
    (done,) = api.run(["optimizer=sgd", "optimizer.lr=1e30", "record=every:1", "budget.steps=50", f"store={tmp_path}"])
    rows = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert done.status == "diverged"
    assert [row["step"] for row in rows] == [0, 1]
