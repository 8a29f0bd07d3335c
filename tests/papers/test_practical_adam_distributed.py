"""The study `distributed`, with real processes, and P6 on its table and on made-up ones."""

import copy
import subprocess
import types

import numpy as np
import pandas as pd
import pytest
import torch

from experiments import claims, figures
from experiments.papers.practical_adam import distributed_runs
from experiments.papers.practical_adam.claims import p6
from experiments.papers.practical_adam.studies import distributed
from experiments.session import Session
from experiments.study import Found
from optim import settings as declared
from optim.settings import SettingError

SMALL = {
    "tasks": ["images/digits_lenet"],
    "processes": [2],
    "batch": 24,
    "steps": [1, 5],
    "device": "cpu",
    "common": ["optimizer=generic_adam", "optimizer.lr=0.01", "record=every:2", "dtype=float64"],
}


def configured(**changes):
    return declared.build(distributed.Settings, {**copy.deepcopy(SMALL), **changes}, "distributed")


# Real processes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """In a store whose name needs quotes."""
    folder = tmp_path_factory.mktemp("it's a ${store}")
    session = Session(folder / "store")
    found = distributed.measure(configured(), session)
    return types.SimpleNamespace(folder=folder, session=session, found=found, errors=found.tables["errors"])


def test_two_processes_are_one(done):
    assert list(done.errors.processes) == [1, 1, 2, 2]
    assert list(done.errors.steps) == [1, 5, 1, 5]
    two = done.errors[done.errors.processes == 2]
    assert two.parameters.max() <= 1e-12
    assert two.metrics.max() <= 1e-12
    assert two.control.min() > 1e-3, "half of the batch is something else"
    assert (done.errors.seconds_per_step > 0).all()
    assert done.errors[done.errors.processes == 1].parameters.isna().all()


def test_nothing_is_left_but_the_rows(done):
    store = done.folder / "store"
    assert sorted(path.name for path in store.iterdir()) == ["calculations", "jobs"]
    assert not list((store / "jobs").iterdir())
    assert len(list((store / "calculations").iterdir())) == 1


def test_a_second_time_no_process_is_started(done, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    again = distributed.measure(configured(), Session(done.folder / "store", only_report=True))
    pd.testing.assert_frame_equal(again.tables["errors"], done.errors)


def test_the_claim_and_the_figure(done, tmp_path):
    verdict = claims.judge(p6.CLAIM, {"distributed": done.found})
    assert (verdict.answer, verdict.n) == ("holds", 2)
    assert verdict.value <= 1e-12
    assert [arm["task"] for arm in verdict.arms] == ["all", "images/digits_lenet"]
    figures.use()
    ((name, (figure, caption)),) = distributed.draw(done.found, configured()).items()
    assert name == "distributed"
    assert "torchrun, gloo" in caption
    left, right = figure.axes
    solid, dotted = left.lines[:2]
    two = done.errors[done.errors.processes == 2]
    np.testing.assert_array_equal(solid.get_ydata(), two.parameters.clip(lower=1e-17))
    np.testing.assert_array_equal(dotted.get_ydata(), two.control)
    assert len(right.lines) == 1
    figures.save(figure, caption, tmp_path / name)
    assert (tmp_path / "distributed.png").stat().st_size > 10_000


# Without processes ---------------------------------------------------------------------------------------------------


def table(error=1e-16, metrics=0.0, control=0.1, tasks=("a", "b")):
    """The error is that of the last row; the others have none."""
    rows = [{"task": task, "processes": 1, "steps": 10, "seconds_per_step": 0.1} for task in tasks]
    for task in tasks:
        for n in (2, 3):
            row = {"task": task, "processes": n, "steps": 10, "seconds_per_step": 0.1}
            rows.append({**row, "parameters": 0.0, "metrics": 0.0, "control": 0.5})
    rows[-1] |= {"parameters": error, "metrics": metrics, "control": control}
    return {"distributed": Found({"errors": pd.DataFrame(rows)})}


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({}, ["holds", "holds", "holds"]),
        ({"error": 1e-12}, ["holds", "holds", "holds"]),
        ({"error": 1.1e-12}, ["fails", "holds", "fails"]),
        ({"error": float("nan")}, ["fails", "holds", "fails"]),
        ({"metrics": 1e-9}, ["fails", "holds", "fails"]),
        ({"control": 1e-7}, ["inconclusive", "holds", "inconclusive"]),
    ],
)
def test_made_up_errors(changes, answers):
    verdict = claims.judge(p6.CLAIM, table(**changes))
    assert [arm["answer"] for arm in verdict.arms] == answers
    assert (len(verdict.cells), verdict.n) == (4, 4)


def test_relative_differences():
    assert distributed_runs.relative(2.0, 2.0) == distributed_runs.relative(None, None) == 0
    assert distributed_runs.relative(0.0, 1e-20) == distributed_runs.relative(None, 1.0) == 1
    assert distributed_runs.relative(-4.0, -3.0) == 0.25
    reference = torch.tensor([[-8.0, 0.0]])
    assert distributed_runs.distance(reference + torch.tensor([[0.0, 2.0]]), reference) == 0.25


def test_only_as_many_processes_as_gpus(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    chosen = configured(processes=[2, 3, 4, 6], device="cuda")
    assert distributed._possible(chosen) == [2, 3]
    assert capsys.readouterr().err == "skipped: [4, 6] processes with a GPU each, as torch finds 3\n"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    found = distributed.measure(chosen, Session(tmp_path / "store"))
    assert distributed.draw(found, chosen) == {}
    verdict = claims.judge(p6.CLAIM, {"distributed": found})
    assert verdict.answer == "not testable at this scale"


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("W1121 noise\nerror: there is no optimizer 'adagrat'\nTraceback\n", "there is no optimizer 'adagrat'"),
        ("", "exit code 2"),
    ],
)
def test_processes_that_fail(stderr, said, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 2, "", stderr))
    with pytest.raises(SettingError, match=f"torchrun with 3 processes failed: {said}$"):
        distributed_runs.torchrun(3, ["optimizer=adagrat"])


def test_processes_that_do_not_end(monkeypatch):
    def hang(words, timeout, **_):
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(SettingError, match="2 processes did not end in 600 s"):
        distributed_runs.torchrun(2, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processes": [2, 5]}, "processes: 5 must be at least 2 and divide batch=24"),
        ({"processes": [1, 2]}, "processes: 1 must be at least 2"),
        ({"processes": [2, 2]}, "processes must name at least one thing, and none twice"),
        ({"tasks": []}, "tasks must name at least one thing"),
        ({"steps": [0, 3]}, "steps must be numbers from 1"),
        ({"tasks": ["images/digits_lenet", "nope/nope"]}, "tasks: there is no task 'nope/nope'"),
        ({"common": ["optimizer=adam"]}, "common must hold dtype=float64, as the tolerance is 1e-12"),
        ({"common": ["dtype=float64", "dtype=float32"]}, "common must hold dtype=float64"),
        ({"device": "tpu"}, "distributed.device=tpu is not one of"),
    ],
)
def test_settings_that_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        configured(**changes)
