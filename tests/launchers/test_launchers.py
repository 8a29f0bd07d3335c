"""Multiruns in other processes: the numbers of one process, errors and interruptions that reach the user."""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from multiruns import Start, group_is_empty, kill_group, until

from experiments import api, components, config, run
from experiments.launchers import submitit
from optim.settings import SettingError

LOCAL = ["launcher=submitit", "launcher.executor=local"]
JOBLIB = ["launcher=joblib", "launcher.processes=2"]
SWEEP = ["optimizer=sgd,adagrad", "batch_size.size=8,16", "lanes.lr=[0.1,1]", "dtype=float64", "record=every:10"]
LONG = ["seed=0,1,2", "budget.steps=100000000", "record=ends", "checkpoint_seconds=0"]


def numbers(store: Path) -> dict[tuple[Any, ...], float | None]:
    """Every number in a store, with what says which one it is; raises if one is there twice."""
    table = api.load_runs(store)
    assert set(table.status) == {"finished"}
    keys = list(table[["run", "step", "examples", "metric"]].itertuples(index=False, name=None))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, table.value, strict=True))


def left_by_submitit() -> set[Path]:
    return set(submitit.FOLDER.glob("*"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[Any, ...], float | None]]:
    """The sweep in this process."""
    store = tmp_path_factory.mktemp("alone") / "store"
    for words, _ in run._preflight([*SWEEP, "budget.steps=60", f"store={store}"], several=True):
        api.run(words)
    return store, numbers(store)


@pytest.mark.parametrize("launcher", [JOBLIB, LOCAL])
def test_a_launcher_computes_the_same_to_the_bit(
    start: Start, tmp_path: Path, alone: tuple[Path, dict[tuple[Any, ...], float | None]], launcher: list[str]
) -> None:
    before = left_by_submitit()
    fewer = ["batch_size.size=8"] if launcher == LOCAL else []  # each job takes seconds to start
    words = [*launcher, *SWEEP, *fewer, "budget.steps=60", "store=a b,(c"]  # a folder below the current one
    code, out, err = start(*words, OMP_NUM_THREADS="").end()
    assert (code, err) == (0, "")
    store = tmp_path / "here" / "a b,(c"
    assert len({key[0] for key in numbers(store)}) == (4 if fewer else 8)
    assert numbers(store).items() <= alone[1].items()
    assert out.count("2 runs in") == (2 if fewer else 4)
    assert [p.name for p in (tmp_path / "here").iterdir()] == ["a b,(c"]
    assert left_by_submitit() == before, "a multirun that ended well leaves nothing"
    cores = len(os.sched_getaffinity(0))
    each = 1 if launcher == LOCAL else max(1, cores // 2)
    threads = {folder.provenance()["threads"] for folder in run.Store(store).folders()}
    assert threads == {each}
    if launcher == JOBLIB:
        assert start(*words).end()[:2] == (0, out), "there is nothing left to launch"


def test_what_is_wrong_in_another_process_reaches_the_user(start: Start, tmp_path: Path) -> None:
    before, data = left_by_submitit(), tmp_path / "data.txt"
    data.write_text("1 1:1 2:0.5\n-1 1:0.5 2:1\n" * 8)
    words = [*LOCAL, f"launcher.setup=rm -f '{data}'", "task=logistic/libsvm", f"task.path={data}", "budget.steps=2"]
    code, out, err = start(*words, "seed=0,1", f"store={tmp_path / 'store'}").end()
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert str(data) in err
    (kept,) = left_by_submitit() - before
    assert len(list(kept.glob("*/*_log.out"))) == 2, "both jobs were tried"
    submitit.shutil.rmtree(kept)


def test_a_job_that_never_starts_is_one_sentence(start: Start, tmp_path: Path) -> None:
    before = left_by_submitit()
    code, out, err = start(*LOCAL, "launcher.setup=exit 3", "seed=0,1", f"store={tmp_path / 'store'}").end()
    assert (code, out) == (1, "")
    assert err.startswith("error: a job of launcher=submitit ended before its runs did")
    assert err.count("\n") == 1, err
    (kept,) = left_by_submitit() - before
    assert str(kept) in err
    submitit.shutil.rmtree(kept)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [JOBLIB, LOCAL])
def test_an_interruption_ends_all_processes(start: Start, tmp_path: Path, launcher: list[str]) -> None:
    store, before = tmp_path / "store", left_by_submitit()
    command = start(*launcher, *LONG, f"store={store}")
    until(lambda: list(store.glob("jobs/*/checkpoint.safetensors")))
    command.process.send_signal(signal.SIGINT)
    code, out, err = command.end(30)
    assert (code, out) == (130, "")
    assert err.endswith("interrupted; the same command goes on from the last checkpoint\n")
    assert "Traceback" not in err
    until(lambda: group_is_empty(command.process.pid), 10)
    for kept in left_by_submitit() - before:
        submitit.shutil.rmtree(kept)


@pytest.mark.slow
def test_two_multiruns_on_one_store_one_of_them_killed(start: Start, tmp_path: Path) -> None:
    """Two commands with the same sweep, two processes each; one is killed with its processes, then runs again."""
    common = [*SWEEP[:-1], "record=every:10000", "budget.steps=30000", "checkpoint_seconds=0.05"]
    for words, _ in run._preflight([*common, f"store={tmp_path / 'alone'}"], several=True):
        api.run(words)
    store = tmp_path / "store"

    def begun() -> int:
        """How many jobs are being computed; three of them need both commands."""
        saved = {path.parent for path in store.glob("jobs/*/checkpoint.safetensors")}
        return len(saved - {path.parent for path in store.glob("jobs/*/result.json")})

    words = [*JOBLIB, *common, f"store={store}"]
    turned = ["optimizer=adagrad,sgd", "batch_size.size=16,8"]  # begins with the jobs that the first one ends with
    first, second = start(*words), start(*words, *turned)
    until(lambda: begun() >= 3)
    kill_group(first.process.pid)
    first.process.wait()
    for command in (second, start(*words)):
        code, _, err = command.end()
        assert (code, err) == (0, "")
    assert numbers(store) == numbers(tmp_path / "alone")
    held = [described["run"] for folder in run.Store(store).folders() for described in folder.describe()["runs"]]
    assert len(held) == len(set(held)) == 8
    assert all(folder.finished for folder in run.Store(store).folders())


@pytest.mark.slow
def test_a_process_that_is_killed_is_one_sentence(start: Start, tmp_path: Path) -> None:
    import psutil

    store = tmp_path / "store"
    command = start(*JOBLIB, *LONG, f"store={store}")
    until(lambda: list(store.glob("jobs/*/checkpoint.safetensors")))
    workers = [
        p for p in psutil.Process(command.process.pid).children(recursive=True) if "loky" in " ".join(p.cmdline())
    ]
    max(workers, key=lambda p: p.cpu_times().user).kill()
    code, _, err = command.end(30)
    assert code == 1
    assert err.startswith("error: a process of launcher=joblib was killed")
    assert err.count("\n") == 1, err
    until(lambda: group_is_empty(command.process.pid), 10)


SBATCH = """#!{python}
import os, re, subprocess, sys
script = sys.argv[-1]
text = open(script).read()
open({seen!r}, "w").write(text)
last = int(re.search(r"--array=0-(\\d+)", text)[1])
for task in range(last + 1):
    slurm = dict(SLURM_JOB_ID=str(70 + task), SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID=str(task), SLURM_NTASKS="1")
    slurm.update(SLURM_JOB_NUM_NODES="1", SLURM_NODEID="0", SLURM_PROCID="0", SLURM_LOCALID="0")
    silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.Popen(["bash", script], env={{**os.environ, **slurm}}, **silent)
print("Submitted batch job 7")
"""
SRUN = """#!/bin/sh
while [ "$1" != "{python}" ]; do shift; done
exec "$@"
"""


def test_what_slurm_is_asked_for(start: Start, tmp_path: Path) -> None:
    """Programs that stand in for SLURM's: one notes the script and runs its tasks, the other is transparent."""
    programs = tmp_path / "bin"
    programs.mkdir()
    seen = tmp_path / "script"
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": "#!/bin/sh\n"}.items():
        (programs / name).write_text(text.format(python=sys.executable, seen=str(seen)))
        (programs / name).chmod(0o755)
    words = ["launcher=submitit", "launcher.partition=short", "launcher.account=opt", "launcher.hours=1.5"]
    words += ["launcher.gpus=2", "launcher.cpus=1", "launcher.memory_gb=8", "launcher.at_once=5"]
    words += [f"launcher.setup=echo 'it runs' >> '{tmp_path / 'setup'}'", "seed=0,1", "budget.steps=2"]
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    code, out, err = start(*words, f"store={tmp_path / 'store'}", PATH=path, OMP_NUM_THREADS="").end()
    assert (code, err) == (0, "")
    assert out.count("1 run in") == 2
    asked = dict(line[len("#SBATCH --") :].split("=", 1) for line in seen.read_text().splitlines() if "SBATCH" in line)
    wanted = {"partition": "short", "account": "opt", "time": "90", "gpus-per-node": "2", "cpus-per-task": "1"}
    wanted |= {"mem": "8GB", "array": "0-1%2", "job-name": "anisotropy", "nodes": "1"}
    assert {key: asked[key] for key in wanted} == wanted
    assert (tmp_path / "setup").read_text() == "it runs\n" * 2
    threads = [folder.provenance()["threads"] for folder in run.Store(tmp_path / "store").folders()]
    assert threads == [1, 1]


def test_a_login_node_without_gpus_launches_jobs_that_need_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(submitit.shutil, "which", lambda name: f"/bin/{name}")
    words = ["device=cuda", f"store={tmp_path}", "launcher=submitit"]
    with pytest.raises(SettingError, match=r"needs a GPU: give launcher\.gpus=1"):
        config.request(words, several=True)
    asked = config.request([*words, "launcher.gpus=1"], several=True)
    assert asked.runs[0].experiment.device == "cuda"
    with pytest.raises(SettingError, match="torch finds 0 GPUs"):
        config.request([*words, "launcher.gpus=1", "launcher.executor=local"], several=True)
    with pytest.raises(SettingError, match="torch finds 0 GPUs"):
        config.request(["device=cuda", f"store={tmp_path}"])


# Refused before any work ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["launcher=jobli"], "there is no launcher 'jobli': did you mean 'joblib'?"),
        (["launcher=joblib", "launcher.procesess=2"], "launcher has no setting 'procesess'.*did you mean 'processes'"),
        (["launcher=joblib", "launcher.processes=0"], "launcher.processes must be at least 1, not 0"),
        (["launcher=joblib", "launcher.processes=2.5"], "launcher.processes must be a whole number, not 2.5"),
        (["launcher=joblib", "launcher.processes=1,2"], "a multirun has one launcher"),
        ([*LOCAL, "launcher.hours=0"], "launcher.hours must be greater than 0"),
        ([*LOCAL, "launcher.partiton=x"], "did you mean 'partition'"),
        (["launcher=submitit", "launcher.executor=slrum"], "did you mean 'slurm'"),
        (["launcher=submitit"], "no sbatch on this machine.*launcher.executor=local"),
        (["launcher.processes=2"], "no launcher is chosen: give launcher=... with one of joblib, none, submitit"),
        (["launcher=joblib", "hydra.verbose=true"], "two ways to launch"),
        (["launcher=joblib", "hydra/launcher=joblib"], "two ways to launch"),
    ],
)
def test_bad_settings_are_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without SLURM
    monkeypatch.setattr("sys.argv", ["experiments.run"])
    monkeypatch.setattr(run, "_run_all" if "1,2" not in words[-1] else "work", lambda *_: pytest.fail("it ran"))
    assert run.main(["-m", "seed=0,1", f"store={tmp_path / 'store'}", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert re.search(sentence, err), err
    assert not list((tmp_path / "store").glob("jobs/*"))


@pytest.mark.parametrize("call", [config.request, api.run])
def test_a_launcher_without_a_multirun(call: Callable[[list[str]], object]) -> None:
    with pytest.raises(ValueError, match="add -m"):
        call(["launcher=joblib"])


def test_launchers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    import experiments.list

    assert components.choices("launcher") == ["joblib", "none", "submitit"]
    assert experiments.list.main(["--settings"]) == 0
    shown = capsys.readouterr().out
    assert "launcher.partition=None  (SLURM's partition" in shown
    assert "launcher.processes=None" in shown
