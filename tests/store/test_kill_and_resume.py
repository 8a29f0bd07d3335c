"""Real processes, killed with SIGKILL at every moment that matters: the same command then ends with the same bits."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kill_driver
import pytest
import torch
from killing import KILLED, ROOT, WHOLE, Driver, Life, environment, job_folders, numbers, rows, saved_step

from experiments import files

SCENARIOS = ("adam", "adagrad_norm", "nadam", "adaptive", "reductions", "reductions_lanes")
LAST = {"adaptive": 13}  # steps of a run; 14 in all others
EVERY = 4  # checkpoints are written after steps 4, 8, 12 and the last


@dataclass(frozen=True)
class Death:
    """Where a life ends, and what it must have done: its first step (None: none), and the checkpoint it leaves."""

    at: str
    n: int
    first: int | None
    leaves: int


# One life after another on the same store.
CHAIN = (
    Death("claim:before", 1, None, 0),
    Death("provenance.json:half", 1, None, 0),
    Death("job.json:before", 1, None, 0),
    Death("job.json:half", 1, None, 0),
    Death("claim:after", 1, None, 0),
    Death("append:half", 1, None, 0),
    Death("step:before", 3, 1, 0),
    Death("checkpoint.safetensors:half", 1, 1, 0),
    Death("checkpoint.safetensors:written", 1, 1, 0),
    Death("step:before", 7, 1, 4),
    Death("append:half", 1, 5, 4),
    Death("append:after", 1, 5, 4),
    Death("checkpoint.safetensors:replaced", 1, 5, 8),
    Death("provenance.json:written", 1, None, 8),
    Death("checkpoint.safetensors:half", 1, 9, 8),
    Death("checkpoint.safetensors:replaced", 2, 9, -1),
    Death("result.json:before", 1, None, -1),
    Death("result.json:half", 1, None, -1),
    Death("result.json:written", 1, None, -1),
    Death("result.json:replaced", 1, None, -1),
)


@dataclass(frozen=True)
class Story:
    """A store that processes died on one after another, and one on which nobody did."""

    scenario: str
    store: Path
    lives: list[Life]
    left: list[int]
    expected: dict[str, Any]

    @property
    def folder(self) -> Path:
        (folder,) = job_folders(self.store)
        return folder


@pytest.fixture(scope="module")
def reference(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Life, dict[str, Any]]]:
    """An uninterrupted life by scenario, and what it wrote."""
    known: dict[str, tuple[Life, dict[str, Any]]] = {}

    def find(scenario: str) -> tuple[Life, dict[str, Any]]:
        if scenario not in known:
            store = tmp_path_factory.mktemp("reference") / scenario
            known[scenario] = driver.live(scenario, store), numbers(store)
        return known[scenario]

    return find


@pytest.fixture(scope="module", params=SCENARIOS)
def story(
    request: pytest.FixtureRequest, driver: Driver, reference: Any, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    scenario, store = request.param, tmp_path_factory.mktemp("story")
    lives, left = [], []
    for death in CHAIN:
        lives.append(driver.live(scenario, store, at=death.at, n=death.n, every=EVERY))
        left.append(saved_step(store))
    lives.append(driver.live(scenario, store, every=EVERY))
    return Story(scenario, store, lives, left, reference(scenario)[1])


def test_a_process_killed_in_every_phase_ends_with_the_same_bits(story: Story) -> None:
    assert [life.code for life in story.lives] == [KILLED] * len(CHAIN) + [0]
    assert numbers(story.store) == story.expected


def test_every_life_goes_on_from_the_last_checkpoint(story: Story) -> None:
    last = LAST.get(story.scenario, 14)
    for death, life, left in zip(CHAIN, story.lives[:-1], story.left, strict=True):
        assert (death, life.ticks[-1]) == (death, death.at)
        assert (death, life.noted("step")[:1]) == (death, [death.first] if death.first else [])
        assert (death, left) == (death, death.leaves if death.leaves >= 0 else last)
    assert story.lives[-1].ticks == [], "a finished job is not touched again"


def test_rows_are_whole_and_written_once(story: Story) -> None:
    found = rows(story.folder)
    steps = [row["step"] for row in found if "metrics" in row]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == LAST.get(story.scenario, 14)
    notes = [row["step"] for row in found if "note" in row]
    assert notes == sorted(set(notes))
    assert bool(notes) == (story.scenario == "adaptive")


def test_the_clock_goes_on(story: Story) -> None:
    result = json.loads((story.folder / "result.json").read_text())
    seconds = [row["seconds"] for row in rows(story.folder) if "metrics" in row]
    if len(result["runs"]) > 1:
        assert set(seconds) == {None}
    else:
        assert seconds == sorted(seconds)
        assert 0 <= seconds[0] <= seconds[-1] <= result["seconds"]


def test_the_scenarios_are_what_they_are_meant_to_be(reference: Any) -> None:
    """Lanes of which some diverge in the middle; a rule and a probe with states of their own."""
    ends = {}
    for scenario in SCENARIOS:
        (job,) = reference(scenario)[1].values()
        ends[scenario] = [run["diverged_at"] for run in job["result"]["runs"].values()]
        assert len({tuple(v[2]) for k, v in job["tensors"].items() if k == "parameters"}) == 1
        if scenario == "adaptive":
            assert json.loads(job["checkpoint"])["rule"]["history"]
            assert {"probe/f/path", "probe/f/steps"} <= set(job["tensors"])
        elif scenario == "nadam":
            assert {"rule/state/0/mu_product", "rule/state/0/step"} <= set(job["tensors"])
        if scenario in ("adam", "adagrad_norm", "nadam"):
            assert "average/mean" in job["tensors"]
    assert ends == {
        "adam": [None, None, 5, None, None, 4],
        "adagrad_norm": [None, None, None, None, None, 1],
        "nadam": [None],
        "adaptive": [None],
        "reductions": [None],
        "reductions_lanes": [2, None, None],
    }


def test_nothing_else_is_left_behind(story: Story) -> None:
    """No half-written sibling of a file outlives the job: a checkpoint can be gigabytes."""
    assert {path.name for path in story.folder.iterdir()} == WHOLE
    assert {path.name for path in (story.store / "jobs").iterdir()} == {story.folder.name}


def _kill_once(driver: Driver, scenario: str, store: Path, n: int, every: int, expected: dict[str, Any]) -> None:
    """Die at the n-th moment of all, and be run again."""
    life = driver.live(scenario, store, n=n, every=every)
    if life.code == 0:
        assert len(life.ticks) < n, "with fewer checkpoints there are fewer moments"
        return
    saved = saved_step(store)
    again = driver.live(scenario, store, every=every)
    where = (n, life.ticks[-1])
    assert (where, again.code) == (where, 0)
    assert (where, again.noted("step")[:1]) in ((where, [saved + 1]), (where, []))
    assert (where, numbers(store)) == (where, expected)


@pytest.mark.parametrize("scenario", ["adam", "adaptive", "reductions"])
def test_killed_once_at_every_so_many_moments(
    driver: Driver, reference: Any, scenario: str, tmp_path: Path
) -> None:  # fmt: skip
    life, expected = reference(scenario)
    for n in range(1, len(life.ticks) + 1, 21):
        _kill_once(driver, scenario, tmp_path / str(n), n, 1, expected)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_once_at_every_moment(driver: Driver, reference: Any, scenario: str, tmp_path: Path) -> None:
    life, expected = reference(scenario)
    assert len(life.ticks) > 90
    for n in range(1, len(life.ticks) + 1):
        _kill_once(driver, scenario, tmp_path / str(n), n, 1 + n % 3, expected)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_again_and_again_at_random(driver: Driver, reference: Any, scenario: str, tmp_path: Path) -> None:
    expected = reference(scenario)[1]
    for seed in range(5):
        store, dice = tmp_path / str(seed), random.Random(seed)
        lives = 1
        while driver.live(scenario, store, n=dice.randint(1, 40), every=dice.randint(1, 3)).code == KILLED:
            lives += 1
            assert lives < 500
        assert lives > 3
        assert numbers(store) == expected


# From outside, with nothing changed inside -------------------------------------------------------------------------


def _command(store: Path) -> list[str]:
    words = [*kill_driver.LANES["honest"], "checkpoint_seconds=0", f"store={store}"]
    return [sys.executable, "-m", "experiments.run", *words]


def _honest(store: Path, delay: float, after_checkpoint: bool) -> None:
    """Start the command, and kill it from outside some time after its start, or after its first checkpoint."""
    process = subprocess.Popen(
        _command(store), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while after_checkpoint and not list(store.glob("jobs/*/checkpoint.safetensors")):
        assert process.poll() is None, "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _finish(store: Path) -> str:
    done = subprocess.run(_command(store), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _uninterrupted(driver: Driver, store: Path) -> dict[str, Any]:
    driver.live("honest", store, checkpoint_seconds=1e9)
    return numbers(store)


def test_the_command_killed_from_outside_at_a_random_time(driver: Driver, tmp_path: Path) -> None:
    delay = random.Random(time.time_ns()).uniform(0.0, 0.2)
    store = tmp_path / "killed"
    _honest(store, delay, after_checkpoint=True)
    before = saved_step(store)
    _finish(store)
    assert before > 0
    assert (delay, before, numbers(store)) == (
        delay,
        before,
        _uninterrupted(driver, tmp_path / "whole"),
    )


@pytest.mark.slow
def test_the_command_killed_from_outside_many_times(driver: Driver, tmp_path: Path) -> None:
    seed = time.time_ns()
    dice, store = random.Random(seed), tmp_path / "killed"
    for _ in range(12):
        _honest(store, dice.uniform(0.0, 5.0), after_checkpoint=False)
    first = _finish(store)
    assert (seed, numbers(store)) == (seed, _uninterrupted(driver, tmp_path / "whole"))
    assert _finish(store) == first


# What a checkpoint gives back ---------------------------------------------------------------------------------------


def test_restored_tensors_reduce_to_the_same_bits(tmp_path: Path) -> None:
    """Sums and products of a restored tensor equal those of the original.

    They depend on where in memory a tensor begins (the kernels work in blocks of 64 bytes), and a tensor that is a
    view into the file begins anywhere.
    """
    source = torch.Generator().manual_seed(0)
    kept = {f"{n}": torch.randn(n, generator=source) for n in range(1000, 1040)}
    files.write_checkpoint(tmp_path / "c.safetensors", kept, {})
    restored, _ = files.read_checkpoint(tmp_path / "c.safetensors")
    assert all(torch.equal(kept[name], restored[name]) for name in kept)
    wrong = [n for n, t in kept.items() if t.dot(t) != restored[n].dot(restored[n]) or t.sum() != restored[n].sum()]
    assert wrong == []
