"""W&B runs against the store that they come from: live, exported later, interrupted, or in the way of the work."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import reading
from reading import SMALL, expected_history, folders, history, of_type, own, plain, records, summary

from experiments import api, components, dashboard, export, run
from experiments.api import Result
from experiments.loggers import _runs
from experiments.loggers.wandb import WandB

# One lane passes the bound in the middle of the run: Adam moves every weight by about lr per step.
LANES = [*SMALL, "optimizer=adam", "lanes.lr=[0.01,0.1,20]", "lanes.seed=[3,5]", "divergence_bound=28",
         "average=uniform", "probe=gradient_norm", "budget.steps=14", "record=every:5"]  # fmt: skip
ALONE = [*SMALL, "optimizer=adagrad", "optimizer.lr=0.5", "budget.examples=100", "record=every:30"]


@dataclass(frozen=True)
class Logged:
    """A store whose runs were logged live."""

    store: Path
    lanes: list[Result]
    alone: Result

    @property
    def place(self) -> Path:
        return self.store / "wandb"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    store = tmp_path_factory.mktemp("live")
    words = ["logger=wandb", f"store={store}"]
    return Logged(store, api.run([*LANES, *words]), *api.run([*ALONE, *words]))


def command(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m experiments.<first word>` with the other words, in a process of its own."""
    how: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL}
    return subprocess.run(process(*words), env=environment(**variables), check=False, **how)


def process(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"experiments.{module}", *words]


def environment(**more: str) -> dict[str, str]:
    """Without W&B's own variables: a child would share this process's W&B service, and not die with it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return {**kept, "PYTHONPATH": str(components.ROOT), "OMP_NUM_THREADS": "1", **more}


# The same as in the store --------------------------------------------------------------------------------------------


def test_live_runs_say_what_the_store_says(live: Logged) -> None:
    table = api.load_runs(live.store)
    found = folders(live.place)
    statuses = [each.status for each in live.lanes]
    assert sorted(set(statuses)) == ["diverged", "finished"], "the test needs both"
    for each in [live.lanes[0], live.lanes[statuses.index("diverged")], live.alone]:
        about, log = summary(found[each.id]), records(found[each.id])
        assert (about["run_id"], about["state"], about["exit_code"]) == (each.id, "finished", 0)
        assert about["config"] == plain(each.config)
        assert history(log) == expected_history(table, each.id), "to the bit, and ending where it diverged"
        rows = table[table.run == each.id]
        ended = {"status": each.status, "_step": rows.step.max(), "step": rows.step.max()} | each.metrics
        ended["examples"] = rows.examples.max()
        if each.status == "diverged":
            result = json.loads((each.folder / "result.json").read_text())
            ended["diverged_at"] = result["runs"][each.id]["diverged_at"]
            assert rows.step.max() < ended["diverged_at"] <= 14
        if each is live.alone:
            ended["seconds"] = rows.seconds.max()
        assert own(about["summary"]) == ended
        lr, seed = each.config["optimizer.lr"], each.config["seed"]
        assert about["name"] == f"{each.config['optimizer']} lr={lr:g} batch=16 seed={seed}"
        assert about["tags"] == ["logistic/breast_cancer", each.config["optimizer"], "constant"]
        begun = of_type(log, "run")[0]
        assert begun["job_type"] == "run"
        assert each.id in json.loads((live.store / "sweeps" / f"{begun['run_group']}.json").read_text())["runs"]


def test_curves_are_against_the_axis_of_the_budget(live: Logged) -> None:
    for each, axis, axes in ((live.lanes[0], "step", {"step", "examples"}),
                             (live.alone, "examples", {"step", "examples", "seconds"})):  # fmt: skip
        metrics = of_type(records(folders(live.place)[each.id]), "metric")
        assert {m["name"] for m in metrics if "name" in m} == axes
        assert [m["step_metric"] for m in metrics if m.get("glob_name") == "*"] == [axis]


def test_exported_later_is_the_same_as_live(live: Logged, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    for words in (LANES, ALONE):
        api.run([*words, f"store={store}"])
    assert not (store / "wandb").exists()
    assert export.main([f"store={store}"]) == 0
    assert "7 of 7 runs and 1 summaries written" in capsys.readouterr().out
    there, here = folders(live.place), folders(store / "wandb")
    assert set(here) == set(there)
    diverged = next(each.id for each in live.lanes if each.status == "diverged")
    for key in [live.lanes[0].id, diverged]:
        a, b = records(there[key]), records(here[key])
        assert history(a) == history(b)
        assert of_type(a, "metric") == of_type(b, "metric")
        (first,), (second,) = of_type(a, "run"), of_type(b, "run")
        for part in ("config", "display_name", "run_group", "job_type", "tags", "run_id", "project", "notes"):
            assert first[part] == second[part], part
    assert own(summary(there[key])["summary"]) == own(summary(here[key])["summary"])

    written = reading.files_of(store)
    assert export.main([f"store={store}"]) == 0
    assert "0 of 7 runs and 0 summaries written" in capsys.readouterr().out
    assert api.run([*LANES, f"store={store}", "logger=wandb"])
    assert reading.files_of(store) == written, "twice changes nothing"


def test_a_store_from_before_is_logged_when_asked_for_again(tmp_path: Path) -> None:
    words = [*ALONE, f"store={tmp_path}", "logger=wandb", f"logger.folder={tmp_path / 'elsewhere'}"]
    (each,) = api.run(words[:-2])
    api.run(words)
    assert list(folders(tmp_path / "elsewhere" / "wandb")) == [each.id]
    assert not (tmp_path / "wandb").exists()


# Interrupted ---------------------------------------------------------------------------------------------------------


def test_killed_and_resumed(tmp_path: Path) -> None:
    """Killed with rows beyond the checkpoint; the rows before it and after it are each there once."""
    words = [*ALONE[:-2], "budget.steps=20000", "record=every:50", f"store={tmp_path}", "logger=wandb"]
    doomed = subprocess.Popen(process("run", *words, "checkpoint_seconds=0.2"), env=environment())
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("jobs/*/checkpoint.safetensors")) or not list(tmp_path.glob("wandb/offline-run-*")):
        assert doomed.poll() is None, "it must not end before it is killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    assert not list(tmp_path.glob("jobs/*/result.json"))
    assert not (tmp_path / "wandb" / "ledger.json").exists()
    (left,) = folders(tmp_path / "wandb").values()

    (each,) = api.run(words)
    ((key, folder),) = folders(tmp_path / "wandb").items()
    assert key == each.id
    assert not left.exists() or left == folder, "what the killed process left is gone"
    steps = [row["step"] for row in history(records(folder))]
    assert steps == list(range(0, 20001, 50))
    assert summary(folder)["state"] == "finished"
    assert set(json.loads((tmp_path / "wandb" / "ledger.json").read_text())["offline"]) == {key}


def test_killed_when_the_store_was_done_and_the_log_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*ALONE, f"store={tmp_path}", "logger=wandb"]

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WandB, "done", killed)
        with pytest.raises(KeyboardInterrupt):
            api.run(words)
    assert len(list(tmp_path.glob("jobs/*/result.json"))) == 1
    (each,) = api.run(words)
    ((key, folder),) = folders(tmp_path / "wandb").items()
    assert key == each.id
    assert history(records(folder)) == expected_history(api.load_runs(tmp_path), each.id)


def test_a_failing_logger_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, calls = _runs.JobLog.row, []

    def failing(self: _runs.JobLog, row: dict[str, Any]) -> None:
        calls.append(row)
        if len(calls) == 2:
            raise OSError("made to fail")
        original(self, row)

    monkeypatch.setattr(_runs.JobLog, "row", failing)
    (each,) = api.run([*ALONE, f"store={tmp_path}", "logger=wandb"])
    assert "made to fail; the runs go on" in capsys.readouterr().err
    ((_, folder),) = folders(tmp_path / "wandb").items()
    assert history(records(folder)) == expected_history(api.load_runs(tmp_path), each.id)


@pytest.mark.slow
def test_two_exports_at_the_same_time(tmp_path: Path) -> None:
    made = [api.run([*ALONE, f"seed={seed}", f"store={tmp_path}"])[0] for seed in range(8)]
    both = [
        subprocess.Popen(process("export", f"store={tmp_path}"), env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=120)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert sum(int(text.partition(" ")[0]) for text in said) == 8, "each was written by one of them"
    found = folders(tmp_path / "wandb")
    assert set(found) == {each.id for each in made}
    assert set(json.loads((tmp_path / "wandb" / "ledger.json").read_text())["offline"]) == set(found)


# What is refused, and what is left alone -----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    words = [*ALONE, f"store={tmp_path / 'store'}", "logger=wandb", f"logger.folder={tmp_path / folder}"]
    assert run.main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: the W&B folder {tmp_path / folder}/wandb cannot be written (")
    assert said.err.count("\n") == 1
    assert not list((tmp_path / "store").glob("jobs/*"))
    assert export.main([f"store={tmp_path}", "mode=offlin"]) == 2
    assert "offlin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["logger=wandb", "logger.project=a/b"], "a/b"),
        (["logger=wandb", "logger.foder=x"], "'folder'"),
        (["logger=wandb", "logger.mode=onlin"], "'online'"),
        (["logger=wadb"], "'wandb'"),
        (["logger.project=x"], "logger=..."),
    ],
)
def test_bad_settings(tmp_path: Path, words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([*ALONE, *words, f"store={tmp_path / 'store'}"]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_wandb_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else original(name))
    assert run.main([*ALONE, "logger=wandb", f"store={tmp_path}"]) == 2
    assert "wandb, which is not installed" in capsys.readouterr().err
    assert not list(tmp_path.glob("jobs/*"))


def test_online_without_an_account_and_offline_without_a_network(tmp_path: Path, here: Path) -> None:
    """No prompt, no noise, and nobody is asked over the network: a server in W&B's place hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        words = [*ALONE, f"store={tmp_path / 'store'}", "logger=wandb"]
        for more, code in ((["logger.mode=online"], 2), ([], 0)):
            done = command("run", *words, *more, WANDB_BASE_URL=address, WANDB_MODE="online")
            assert done.returncode == code, done.stderr
            if code:
                assert done.stdout == ""
                assert done.stderr.startswith("error: logger.mode=online needs a W&B account and nobody is logged in: ")
                assert "wandb login" in done.stderr
                assert not list((tmp_path / "store").glob("jobs/*"))
            else:
                assert done.stderr == ""
                assert done.stdout.splitlines()[-1].startswith(f"W&B runs: {tmp_path / 'store' / 'wandb'} (")
        with pytest.raises(TimeoutError):
            server.accept()
    (folder,) = folders(tmp_path / "store" / "wandb").values()
    assert not list(folder.rglob("diff.patch")) + list(folder.rglob("*.py")), "no code"
    assert not list(here.iterdir()), "left in the current folder"


def test_wandb_is_imported_only_where_it_is_used() -> None:
    code = "import sys; from experiments import api, run, reproduce, export; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_the_dashboard_without_a_terminal(live: Logged, capfd: pytest.CaptureFixture[str]) -> None:
    written = reading.files_of(live.store)
    assert dashboard.main([f"store={live.store}"]) == 0
    assert f"needs a terminal, and this is none; there: {reading.WANDB} leet {live.place}" in capfd.readouterr().out
    assert reading.files_of(live.store) == written
    assert dashboard.main([f"store={live.store / 'none'}"]) == 2
    assert "has no finished runs" in capfd.readouterr().err


@pytest.mark.slow
def test_a_hundred_lanes_with_fifty_records_add_less_than_twenty_seconds(tmp_path: Path) -> None:
    rates = ",".join(str(0.001 * k) for k in range(1, 101))
    words = ["optimizer=adagrad", f"lanes.lr=[{rates}]", "budget.steps=49", "record=every:1"]
    spent = []
    for more in (["store=warm"], ["store=without"], ["store=with", "logger=wandb"]):
        since = time.perf_counter()
        api.run([*words, *more])
        spent.append(time.perf_counter() - since)
    assert spent[2] - spent[1] < 20
    found = folders(Path("with/wandb"))
    assert len([key for key in found if not key.startswith("summary-")]) == 100
    assert len(history(records(next(iter(found.values()))))) == 50
