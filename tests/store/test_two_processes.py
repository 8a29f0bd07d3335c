"""Processes that work on one store at the same time: no run lost, repeated or mixed up."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import kill_driver
import pytest
from killing import KILLED, ROOT, WHOLE, Driver, environment, job_folders, rows, runs_held

from experiments import api, config

REQUESTS = ("left", "right", "both", "seeds")


def ids(*scenarios: str) -> set[str]:
    return {run.id for name in scenarios for run in config.request(kill_driver.LANES[name]).runs}


def finals(store: Path) -> dict[str, dict[str, Any]]:
    """The last metrics of every run."""
    found = {}
    for folder in job_folders(store):
        if (folder / "result.json").exists():
            for run, ended in json.loads((folder / "result.json").read_text())["runs"].items():
                found[run] = ended["metrics"]
    return found


@pytest.fixture(scope="module")
def alone(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every run ends with when one process has a store to itself."""
    store = tmp_path_factory.mktemp("alone")
    for name in ("both", "seeds"):
        driver.live(name, store, checkpoint_seconds=1e9)
    return finals(store)


def check(store: Path, wanted: set[str], alone: dict[str, dict[str, Any]]) -> None:
    """Each wanted run is there once, with the numbers it has alone (to rounding: jobs differ in their lanes)."""
    held = runs_held(store)
    assert set(held) == wanted
    assert set(held.values()) == {1}
    found = finals(store)
    for run in wanted:
        assert found[run] == pytest.approx(alone[run], rel=1e-12, abs=1e-13)
    for folder in job_folders(store):
        if (folder / "result.json").exists():
            assert [row["step"] for row in rows(folder)] == [0, 20, 40, 60]
    table = api.load_runs(store)
    finished = table[table["status"] == "finished"]
    assert set(finished["run"]) == wanted
    assert not finished.duplicated(["run", "step", "metric"]).any()


def until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_two_overlapping_requests_at_the_same_time(
    driver: Driver, tmp_path: Path, alone: dict[str, dict[str, Any]]
) -> None:
    first = driver.start("left", tmp_path, slow=0.005, checkpoint_seconds=1e9)
    until(lambda: first.noted("step"))
    second = driver.start("right", tmp_path, checkpoint_seconds=1e9)
    driver.wait(first)
    driver.wait(second)
    assert (first.code, second.code) == (0, 0)
    check(tmp_path, ids("left", "right"), alone)
    shapes = sorted(len(json.loads((f / "job.json").read_text())["runs"]) for f in job_folders(tmp_path))
    assert shapes == [1, 3], "the second waited for the first, and ran what it did not have"
    assert len(first.noted("step")) == len(second.noted("step")) == 60
    assert all({p.name for p in folder.iterdir()} == WHOLE for folder in job_folders(tmp_path))


def test_two_different_requests_do_not_wait_for_each_other(driver: Driver, tmp_path: Path) -> None:
    slow = driver.start("left", tmp_path, slow=0.2)
    until(lambda: slow.noted("step"))
    quick = driver.live("adaptive", tmp_path)
    assert quick.code == 0
    assert len(slow.noted("step")) < 60
    os.kill(slow.pid, signal.SIGKILL)
    driver.wait(slow)


def test_the_same_request_twice_at_the_same_time(
    driver: Driver, tmp_path: Path, alone: dict[str, dict[str, Any]]
) -> None:
    lives = [driver.start("left", tmp_path, slow=0.001, checkpoint_seconds=1e9) for _ in range(3)]
    for life in lives:
        driver.wait(life)
    check(tmp_path, ids("left"), alone)
    assert sorted(len(life.noted("step")) for life in lives) == [0, 0, 60]


def test_one_of_two_is_killed_and_the_other_completes_its_own(
    driver: Driver, tmp_path: Path, alone: dict[str, dict[str, Any]]
) -> None:
    first = driver.start("left", tmp_path, slow=0.04)
    until(lambda: len(first.noted("saved")) >= 5)
    second = driver.start("right", tmp_path, checkpoint_seconds=1e9)
    until(lambda: second.ticks.count("claim:after") >= 2)  # it waits
    assert not second.noted("step")
    os.kill(first.pid, signal.SIGKILL)
    assert driver.wait(first).code == KILLED
    assert driver.wait(second).code == 0
    check(tmp_path, ids("right"), alone)
    driver.live("left", tmp_path)
    check(tmp_path, ids("left", "right"), alone)


def test_the_same_request_takes_over_from_a_killed_process(
    driver: Driver, tmp_path: Path, alone: dict[str, dict[str, Any]]
) -> None:
    first = driver.start("left", tmp_path, slow=0.04)
    until(lambda: len(first.noted("saved")) >= 5)
    second = driver.start("left", tmp_path)
    until(lambda: second.ticks.count("claim:after") >= 2)
    os.kill(first.pid, signal.SIGKILL)
    driver.wait(first)
    driver.wait(second)
    check(tmp_path, ids("left"), alone)
    taken, saved = second.noted("step"), first.noted("saved")[-1]
    assert taken == list(range(taken[0], 61))
    assert taken[0] - 1 in (saved, saved + 1), "it died before or after it could write down that it had saved"


def test_four_processes_of_different_shape(driver: Driver, tmp_path: Path, alone: dict[str, dict[str, Any]]) -> None:
    for life in [driver.start(name, tmp_path, checkpoint_seconds=1e9) for name in REQUESTS]:
        assert driver.wait(life).code == 0
    check(tmp_path, ids(*REQUESTS), alone)


@pytest.mark.slow
def test_many_processes_that_die_at_random(driver: Driver, tmp_path: Path, alone: dict[str, dict[str, Any]]) -> None:
    for seed in range(15):
        dice, store = random.Random(seed), tmp_path / str(seed)
        lives = []
        for _ in range(12):
            name, n = dice.choice(REQUESTS), dice.randint(1, 100)
            lives.append(driver.start(name, store, n=n, every=dice.randint(1, 5), slow=0.001))
            time.sleep(dice.uniform(0.0, 0.1))
        codes = {driver.wait(life).code for life in lives}
        assert KILLED in codes
        held = runs_held(store) if (store / "jobs").exists() else {}
        assert set(held.values()) <= {1}
        for life in [driver.start(name, store, checkpoint_seconds=1e9) for name in REQUESTS]:
            assert driver.wait(life).code == 0
        check(store, ids(*REQUESTS), alone)


@pytest.mark.slow
def test_commands_at_the_same_time(tmp_path: Path, alone: dict[str, dict[str, Any]]) -> None:
    """Nothing changed inside: the command line, four at once, two of them killed from outside, then all again."""

    def start(name: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "experiments.run", *kill_driver.LANES[name], "checkpoint_seconds=0"]
        return subprocess.Popen([*line, f"store={tmp_path}"], cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)

    commands = {name: start(name) for name in REQUESTS}
    until(lambda: list(tmp_path.glob("jobs/*/checkpoint.safetensors")))
    for name in ("left", "seeds"):
        commands[name].send_signal(signal.SIGKILL)
    ended = {name: command.wait(120) for name, command in commands.items()}
    assert (ended["right"], ended["both"]) == (0, 0)
    assert {ended["left"], ended["seeds"]} <= {KILLED, 0}
    assert set(runs_held(tmp_path).values()) == {1}
    assert [command.wait(120) for command in [start(name) for name in REQUESTS]] == [0] * 4
    check(tmp_path, ids(*REQUESTS), alone)
