"""What the commands do when all is well, and that they leave nothing where it does not belong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize

import experiments.list
from experiments import api, components, papers
from experiments.components import ROOT
from optim.settings import SettingError

Command = Callable[..., Any]

LITTER = ("outputs", "multirun", ".hydra", "multirun.yaml", "hydra.log", "run.log")
FAST = ["budget.steps=2", "record=ends"]


def litter(*folders: Path) -> list[Path]:
    return [folder / name for folder in folders for name in LITTER if (folder / name).exists()]


def configurations(table: pd.DataFrame, *columns: str) -> set[tuple[Any, ...]]:
    return set(table[list(columns)].itertuples(index=False, name=None))


# Running -------------------------------------------------------------------------------------------------------------


def test_a_run_of_defaults(command: Command, tmp_path: Path) -> None:
    ended = command(f"store={tmp_path / 'store'}")
    assert (ended.code, ended.err) == (0, "")
    assert "logistic/breast_cancer, sgd: 1 run" in ended.out
    table = api.load_runs(tmp_path / "store")
    defaults = {
        "task": "logistic/breast_cancer",
        "optimizer": "sgd",
        "batch_size": "constant",
        "batch_size.size": 256,
        "schedule": "constant",
        "seed": 0,
        "budget.steps": 1000,
        "sampling": "replacement",
        "record": "log",
        "device": "cpu",
        "dtype": "float32",
        "status": "finished",
    }
    for name, value in defaults.items():
        assert table[name].unique().tolist() == [value], name
    assert (table.step.min(), table.step.max(), table.examples.max()) == (0, 1000, 256_000)
    assert table.run.nunique() == 1
    assert table.run[0] in ended.out
    assert not list((tmp_path / "here").iterdir()), "left in the current folder"
    assert not litter(ROOT)


def test_a_multirun_in_a_process_of_its_own(process: Command, tmp_path: Path) -> None:
    store = tmp_path / "store"
    words = [
        "optimizer=sgd,adagrad",
        "batch_size.size=8,32",
        "lanes.lr=[0.1,1]",
        "lanes.seed=[0,1,2]",
        f"store={store}",
    ]
    ended = process("run", "-m", *words, *FAST)
    assert (ended.code, ended.err) == (0, "")
    table = api.load_runs(store)
    wanted = {(o, b, lr, s) for o in ("sgd", "adagrad") for b in (8, 32) for lr in (0.1, 1.0) for s in (0, 1, 2)}
    assert configurations(table, "optimizer", "batch_size.size", "optimizer.lr", "seed") == wanted
    assert table.run.nunique() == 24
    assert set(table.status) == {"finished"}
    assert len(list(store.glob("jobs/*/result.json"))) == 4, "lanes of one method share a job"
    assert ended.out.count("6 runs in") == 4
    assert not list((tmp_path / "here").iterdir()), "left in the current folder"
    assert not litter(ROOT, ROOT / "experiments", ROOT / "configs")


def test_the_same_again_computes_nothing_and_says_the_same(command: Command, tmp_path: Path) -> None:
    words = ["-m", "optimizer=sgd,adam", "lanes.lr=[0.1,1]", f"store={tmp_path / 'store'}", *FAST]
    first = command(*words)
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "store").glob("jobs/*/*")}
    second = command(*words)
    assert (first.code, second.code) == (0, 0)
    assert second.out == first.out
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "store").glob("jobs/*/*")} == written
    assert not litter(ROOT, tmp_path / "here")


def test_the_command_line_and_python_mean_the_same_runs(command: Command, tmp_path: Path) -> None:
    words = ["optimizer=adagrad", "optimizer.eps=1e-8", "lanes.lr=[0.1,1.0]", f"store={tmp_path / 'store'}", *FAST]
    ended = command(*words)
    runs = api.run(words)
    assert [run.config["optimizer.lr"] for run in runs] == [0.1, 1.0]
    assert all(run.id in ended.out for run in runs)
    assert len(list((tmp_path / "store" / "jobs").iterdir())) == 1
    assert {run.status for run in runs} == {"finished"}
    for run in runs:
        assert run.folder.parent == tmp_path / "store" / "jobs"
        assert run.metrics["gap"] > 0
        assert run.seconds > 0
        assert run.config["optimizer.eps"] == 1e-8


def test_torch_classes_in_a_sweep(command: Command, tmp_path: Path) -> None:
    store = f"store={tmp_path / 'store'}"
    torch_words = ["optimizer=torch.optim.Adagrad,torch.optim.NAdam,torch.optim.SGD", "lanes.lr=[0.1,0.5]"]
    assert command("-m", *torch_words, "dtype=float64", store, *FAST).code == 0
    assert command("optimizer=adagrad", "lanes.lr=[0.1,0.5]", "dtype=float64", store, *FAST).code == 0
    assert command("-m", "optimizer=sgd,torch.optim.NAdam", store, *FAST).code == 0
    table = api.load_runs(tmp_path / "store")
    last = table[(table.metric == "loss") & (table.step == 2) & (table.dtype == "float64")]
    theirs = last[last.optimizer == "torch.optim.Adagrad"].sort_values("optimizer.arguments.lr").value.to_numpy()
    ours = last[last.optimizer == "adagrad"].sort_values("optimizer.lr").value.to_numpy()
    assert len(theirs) == 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert set(table.optimizer) == {"sgd", "adagrad", "torch.optim.Adagrad", "torch.optim.NAdam", "torch.optim.SGD"}


def test_a_multirun_in_which_the_same_run_comes_twice(command: Command, tmp_path: Path) -> None:
    assert command("-m", "seed=0,0,1", f"store={tmp_path / 'store'}", *FAST).code == 0
    assert api.load_runs(tmp_path / "store").run.nunique() == 2


def test_sweeps_in_the_other_forms_of_hydra(command: Command, tmp_path: Path) -> None:
    store = f"store={tmp_path / 'store'}"
    assert command("-m", "optimizer.lr=choice(0.1,0.2)", "seed=range(1,3)", store, *FAST).code == 0
    assert command("--multirun", "optimizer=choice(sgd,adam)", "lanes.lr=[0.4,0.5]", store, *FAST).code == 0
    table = api.load_runs(tmp_path / "store")
    wanted = {("sgd", lr, s) for lr in (0.1, 0.2) for s in (1, 2)}
    wanted |= {(o, lr, 0) for o in ("sgd", "adam") for lr in (0.4, 0.5)}
    assert configurations(table, "optimizer", "optimizer.lr", "seed") == wanted


def test_diverged_runs_are_results(command: Command, tmp_path: Path) -> None:
    ended = command("lanes.lr=[0.1,1e30]", f"store={tmp_path / 'store'}", "budget.steps=5", "record=ends")
    assert ended.code == 0
    assert "diverged at step" in ended.out
    assert set(api.load_runs(tmp_path / "store").status) == {"finished", "diverged"}


# Planning ------------------------------------------------------------------------------------------------------------


def test_a_plan_runs_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    words = ["optimizer=adagrad", "lanes.lr=[0.1,1]", "lanes.seed=[0,1,2]", f"store={tmp_path / 'store'}", *FAST]
    ended = command(*words, "plan=true")
    assert ended.code == 0
    assert ended.out.startswith("6 runs: 0 done, 6 to do in 1 jobs\n")
    assert "6 lanes, 3 seeds" in ended.out
    assert "on this machine" in ended.out
    assert "of disk" in ended.out
    assert not (tmp_path / "store").exists()
    assert command(*words).code == 0
    assert command(*words, "plan=true").out.startswith("6 runs: 6 done, 0 to do in 0 jobs\n")
    more = command(*[w.replace("[0,1,2]", "[0,1,2,3]") for w in words], "plan=true")
    assert more.out.startswith("8 runs: 6 done, 2 to do in 1 jobs\n")


def test_a_plan_says_what_cannot_share_a_job(command: Command, tmp_path: Path) -> None:
    words = ["optimizer=torch.optim.SGD", "lanes.lr=[0.1,1]", "plan=true", f"store={tmp_path / 'store'}", *FAST]
    ended = command(*words)
    assert "2 to do in 2 jobs" in ended.out
    assert "one lane at a time" in ended.out


def test_plans_of_a_multirun(command: Command, tmp_path: Path) -> None:
    ended = command("-m", "seed=0,1", "plan=true", f"store={tmp_path / 'store'}", *FAST)
    assert ended.code == 0
    assert ended.out.count("1 runs: 0 done, 1 to do in 1 jobs") == 2
    assert not (tmp_path / "store").exists()


# Paths ---------------------------------------------------------------------------------------------------------------

ODD = [
    "a b", "a=b", "a,b", "(=,{", "a)b}c]", "a[b]", "a:b#c%d@e+f", "it's o'clock", 'a"b', "a&b;c!d|e", "a$b${c}d",
    "${seed}", "~a~b", "-a", "a*b?<c>^d", "a\\b", "größe 日本", "null", "1", " a",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_paths_with_odd_characters(command: Command, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "data.txt").write_text("1 1:1 2:0.5\n-1 1:0.5 2:1\n" * 8)
    words = ["task=logistic/libsvm", f"task.path={folder / 'data.txt'}", f"store={folder / 'store'}", *FAST]
    ended = command(*words)
    assert (ended.code, ended.err) == (0, "")
    assert [p.name for p in folder.iterdir() if p.is_dir()] == ["store"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == sorted(["here", name])
    assert len(list((folder / "store" / "jobs").iterdir())) == 1
    assert len(api.run(words)) == 1
    assert len(list((folder / "store" / "jobs").iterdir())) == 1, "the same run from Python"


def test_paths_with_odd_characters_in_a_multirun(command: Command, tmp_path: Path) -> None:
    store = tmp_path / "a b,(c)=d"
    assert command("-m", "seed=0,1", f"store={store}", *FAST).code == 0
    assert api.load_runs(store).run.nunique() == 2


def test_paths_that_are_quoted_for_hydra(command: Command, tmp_path: Path) -> None:
    assert command(f"store='{tmp_path}/a b'", *FAST).code == 0
    assert (tmp_path / "a b" / "jobs").is_dir()


def test_a_path_below_the_home_of_the_user(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert command("store=~/runs", *FAST).code == 0
    assert (tmp_path / "home" / "runs" / "jobs").is_dir()


def test_relative_paths_are_below_the_current_folder(command: Command, tmp_path: Path) -> None:
    assert command("store=runs", *FAST).code == 0
    assert [p.name for p in (tmp_path / "here").iterdir()] == ["runs"]


# Looking -------------------------------------------------------------------------------------------------------------


def test_help(command: Command) -> None:
    ended = command("--help")
    assert (ended.code, ended.err) == (0, "")
    for part in ("python -m experiments.run", "optimizer: ", "adagrad_norm", "lanes.", "budget.steps", "plan=true"):
        assert part in ended.out, part


@pytest.mark.parametrize("words", [["--cfg", "job"], ["-c", "job"], ["--cfg=job"]])
def test_every_setting_with_its_value(command: Command, tmp_path: Path, words: list[str]) -> None:
    ended = command(*words, "optimizer=adam", "seed=7", f"store={tmp_path / 'store'}")
    assert (ended.code, ended.err) == (0, "")
    for line in ("seed: 7", "sampling: replacement", "record: log", "  steps: null", "  data: sklearn/breast_cancer"):
        assert line in ended.out.splitlines()
    assert "optim.rules.adam" in ended.out
    assert not (tmp_path / "store").exists(), "only looking"


def test_what_there_is_to_choose_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert experiments.list.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"tasks", "optimizers", "batch_sizes", "probes", "papers"} <= set(found)
    assert set(found["tasks"]) >= {"logistic/a4a", "logistic/a9a", "logistic/breast_cancer", "logistic/libsvm"}
    assert set(found["optimizers"]) >= {"sgd", "adagrad", "adagrad_norm", "adam"}
    assert set(found["batch_sizes"]) >= {"constant", "full"}
    assert "gradient_norm" in found["probes"]
    assert found["papers"] == papers.names()
    assert "adagrad-anisotropic" in found["papers"]
    for title, group in (("tasks", "task"), ("optimizers", "optimizer"), ("batch_sizes", "batch_size")):
        assert found[title] == components.choices(group)
    assert experiments.list.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}\n" in shown for names in found.values() for name in names)


# From Python ---------------------------------------------------------------------------------------------------------


def test_a_task_from_python() -> None:
    task = api.load_task("logistic/breast_cancer", ["task.l2=1e-2"])
    assert task.size == 569
    params = task.init(torch.Generator().manual_seed(0))
    assert all(not p.any() for p in params.values()), "w_0 = 0"
    batch = task.batch(torch.tensor([0, 5, 5]))
    losses = task.losses(params, batch)
    assert losses.dtype == torch.float64
    torch.testing.assert_close(losses, torch.full((3,), np.log(2), dtype=torch.float64), rtol=1e-15, atol=0)
    assert task.evaluate(params)["loss"].item() == pytest.approx(np.log(2), rel=1e-14)

    (name,) = params
    whole = task.batch(torch.arange(569))

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(w).requires_grad_()
        value = task.losses({name: point}, whole).mean()
        value.backward()
        return value.item(), point.grad.numpy()

    found = minimize(objective, np.zeros(30), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
    assert task.optimum == pytest.approx(found.fun, rel=1e-9)
    assert task.optimum <= found.fun + 1e-15


def test_runs_as_a_table(tmp_path: Path) -> None:
    store = tmp_path / "store"
    runs = api.run(["optimizer=adagrad", "lanes.lr=[0.1,1.0]", "budget.steps=4", "record=every:2", f"store={store}"])
    (alone,) = api.run(["optimizer=adagrad", "optimizer.lr=0.5", "budget.steps=4", "record=ends", f"store={store}"])
    table = api.load_runs(store)
    assert {"run", "status", "task", "optimizer", "optimizer.lr", "seed", "step", "examples", "seconds", "metric",
            "value"} <= set(table.columns)  # fmt: skip
    assert set(table.run) == {run.id for run in [*runs, alone]}
    loss = table[(table.metric == "loss") & (table.run == runs[1].id)]
    assert loss.step.tolist() == [0, 2, 4]
    assert loss.examples.tolist() == [0, 512, 1024]
    assert loss.value.iloc[-1] == runs[1].metrics["loss"]
    assert loss.seconds.isna().all(), "lanes that shared a job carry no seconds"
    own = table[(table.metric == "loss") & (table.run == alone.id)].seconds
    assert own.notna().all()
    assert own.iloc[-1] > 0

    (alone.folder / "result.json").unlink()
    table = api.load_runs(store)
    assert set(table[table.run == alone.id].status) == {"unfinished"}
    assert set(table[table.run != alone.id].status) == {"finished"}


def test_a_store_with_nothing_in_it(tmp_path: Path) -> None:
    table = api.load_runs(tmp_path / "none")
    assert table.empty
    assert {"run", "status", "seed", "step", "examples", "seconds", "metric", "value"} <= set(table.columns)
    assert not (tmp_path / "none").exists()


def test_no_litter_from_python(tmp_path: Path) -> None:
    api.run([f"store={tmp_path / 'store'}", *FAST])
    with pytest.raises(SettingError):
        api.run(["optimizer.lr=-1"])
    assert not list((tmp_path / "here").iterdir())
    assert not litter(ROOT)
