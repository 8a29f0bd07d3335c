"""The store and the runner: nothing twice, nothing lost, nothing wrong."""

import contextlib
import copy
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from killing import WHOLE, job_folders, numbers, rows, runs_held

from experiments import api, config, loop, planner, provenance, run, runner, store
from experiments.spec import Experiment, Run, with_lanes
from experiments.store import Claim, JobFolder, Store
from optim.batch_size import BatchSizeRule, Context
from optim.schedule import Progress, Schedule
from optim.settings import SettingError, setting

SMALL = ("task=logistic/breast_cancer", "optimizer=adam", "batch_size.size=16", "budget.steps=12", "record=every:4")
THREE = (*SMALL, "lanes.lr=[0.1,0.2,0.3]")


def words(folder: Path, *more: str, base: tuple[str, ...] = SMALL) -> list[str]:
    return [*base, f"store={folder}", *more]


def runs(*more: str, base: tuple[str, ...] = SMALL) -> list[Run]:
    return config.request([*base, *more]).runs


def files_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file: its inode, when it was last changed, and its content."""
    found = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in found}


class Broken(Exception):
    """A failure of the computation."""


def break_at(monkeypatch: pytest.MonkeyPatch, step: int, problem: BaseException, concerns: str = "") -> None:
    """Let every job with such an optimizer fail when it is about to take this step."""
    original = loop.Loop._step

    def broken(self: loop.Loop) -> None:
        if self.state.step + 1 == step and concerns in self.job.experiment.choices.get("optimizer", ""):
            raise problem
        original(self)

    monkeypatch.setattr(loop.Loop, "_step", broken)


def first_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that takes the number of every step from here on."""
    taken: list[int] = []
    original = loop.Loop._step

    def noted(self: loop.Loop) -> None:
        original(self)
        taken.append(self.state.step)

    monkeypatch.setattr(loop.Loop, "_step", noted)
    return taken


def interrupted(folder: Path, *more: str, base: tuple[str, ...] = SMALL, step: int = 10, saved: int = 8) -> Path:
    """A job that stopped before this step, with a checkpoint of the step `saved` (0: none)."""
    with pytest.MonkeyPatch.context() as patch:
        break_at(patch, step, Broken())
        save = Claim.save
        patch.setattr(
            Claim, "save", lambda self, tensors, about: save(self, tensors, about) if about["step"] == saved else None
        )
        with pytest.raises(runner.RunFailed):
            api.run(words(folder, "checkpoint_seconds=0", *more, base=base))
    (left,) = job_folders(folder)
    assert (left / "checkpoint.safetensors").exists() == (saved > 0)
    return left


# Nothing twice -------------------------------------------------------------------------------------------------------


def test_the_same_command_twice_does_nothing_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = api.run(words(tmp_path, base=THREE))
    before = files_of(tmp_path)
    monkeypatch.setattr(loop.Loop, "__init__", lambda *a: pytest.fail("computed again"))
    monkeypatch.setattr(Store, "claim", lambda *a: pytest.fail("claimed again"))
    assert api.run(words(tmp_path, base=THREE)) == first
    assert files_of(tmp_path) == before
    assert {p.name for p in job_folders(tmp_path)[0].iterdir()} == WHOLE


def test_only_the_missing_lane_is_run(tmp_path: Path) -> None:
    old = api.run(words(tmp_path, base=THREE))
    before = files_of(tmp_path / "jobs")
    new = api.run(words(tmp_path, "lanes.lr=[0.1,0.2,0.4,0.3]"))
    assert {k: v for k, v in files_of(tmp_path / "jobs").items() if k in before} == before
    assert [new[k] for k in (0, 1, 3)] == old
    added = json.loads((new[2].folder / "job.json").read_text())["runs"]
    assert [r["hyper"]["lr"] for r in added] == [0.4]
    assert len(job_folders(tmp_path)) == 2
    assert set(runs_held(tmp_path).values()) == {1}


def test_a_diverged_run_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = words(tmp_path, "lanes.lr=[0.1,1e300]", "dtype=float64")
    fine, diverged = api.run(request)
    assert (fine.status, diverged.status, diverged.metrics) == ("finished", "diverged", {})
    before = files_of(tmp_path)
    monkeypatch.setattr(loop.Loop, "__init__", lambda *a: pytest.fail("computed again"))
    assert api.run(request) == [fine, diverged]
    assert files_of(tmp_path) == before


def test_a_run_asked_for_twice_is_one_run(tmp_path: Path) -> None:
    runner.complete([*runs(), *runs(), *runs("lanes.lr=[0.001,0.1]")], Store(tmp_path), quiet=True)
    assert sorted(runs_held(tmp_path).values()) == [1, 1]


def test_a_finished_job_cannot_be_claimed(tmp_path: Path) -> None:
    """Though a process planned it before another one finished it."""
    (job,) = planner.plan(runs(base=THREE), Store(tmp_path)).jobs
    api.run(words(tmp_path, base=THREE))
    before = files_of(tmp_path)
    assert Store(tmp_path).claim(job) is None
    assert files_of(tmp_path) == before


def test_two_jobs_of_a_plan_that_another_process_overtook_are_both_refused(tmp_path: Path) -> None:
    """One finished job elsewhere can hold runs of several jobs of the same plan."""
    mine = Store(tmp_path)
    mine.require_writable()
    plan = planner.plan(runs("lanes.seed=[0,1,2,3,4,5,6]"), mine)
    assert [len(job.seeds) for job in plan.jobs] == [5, 2]
    api.run(words(tmp_path, "lanes.seed=[4,5]"))
    claims = [mine.claim(job) for job in plan.jobs]
    for claim in claims:
        if claim is not None:
            claim.close()
    assert claims == [None, None]


@pytest.mark.parametrize("same", [True, False], ids=["the same job", "a job of another shape"])
def test_a_job_that_ends_while_it_is_looked_at_is_not_run_again(
    same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process writes its result and lets go between two looks at its folder."""
    other, mine = Store(tmp_path), Store(tmp_path)
    other.require_writable()
    (theirs,) = planner.plan(runs(base=THREE), other).jobs
    (job,) = planner.plan(runs(base=THREE) if same else runs("lanes.lr=[0.3,0.4]"), mine).jobs
    held = other.claim(theirs)
    assert held is not None
    outcome = loop.Loop(theirs, held).run()
    looks = []
    finished = JobFolder.finished.fget  # type: ignore[attr-defined]

    def look(self: JobFolder) -> bool:
        found: bool = finished(self)
        if not looks:
            looks.append(found)
            held.finish(theirs, outcome, {})
            held.close()
        return found

    monkeypatch.setattr(JobFolder, "finished", property(look))
    claim = mine.claim(job)
    if claim is not None:
        claim.close()
    assert claim is None


# Failing -------------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_tried_again_and_the_others_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = [*runs(base=THREE), *runs("optimizer=sgd"), *runs("optimizer=adagrad")]
    with monkeypatch.context() as patch:
        break_at(patch, 6, Broken("no luck"), "sgd")
        with pytest.raises(runner.RunFailed, match=r"1 of 5 runs failed; the first: Broken: no luck"):
            runner.complete(sweep, Store(tmp_path), quiet=True)
    assert len(runs_held(tmp_path)) == 4
    (failed,) = [f for f in job_folders(tmp_path) if not (f / "result.json").exists()]
    assert "Broken: no luck" in (failed / "error.txt").read_text()
    assert [p for p in job_folders(tmp_path) if (p / "error.txt").exists()] == [failed]
    before = {k: v for k, v in files_of(tmp_path / "jobs").items() if failed.name not in k}
    runner.complete(sweep, Store(tmp_path), quiet=True)
    assert {k: v for k, v in files_of(tmp_path / "jobs").items() if failed.name not in k} == before
    assert set(runs_held(tmp_path).values()) == {1}
    assert len(runs_held(tmp_path)) == 5
    assert {p.name for p in failed.iterdir()} == WHOLE


def test_the_command_says_that_a_run_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        break_at(patch, 6, Broken("no luck"))
        request = config.request(words(tmp_path))
        assert run.guarded(lambda: run.execute(request)) == 1
    assert "Broken: no luck" in capsys.readouterr().err
    assert run.guarded(lambda: run.execute(request)) == 0


def test_a_failed_job_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(tmp_path / "a", base=THREE)
    steps = first_steps(monkeypatch)
    api.run(words(tmp_path / "a", base=THREE))
    assert steps == [9, 10, 11, 12]
    api.run(words(tmp_path / "b", base=THREE))
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")


def test_a_begun_job_is_finished_as_it_was_within_a_larger_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = interrupted(tmp_path, base=THREE)
    steps = first_steps(monkeypatch)
    api.run(words(tmp_path, "lanes.lr=[0.05,0.1,0.2,0.3]"))
    assert steps == [9, 10, 11, 12, *range(1, 13)]
    assert (left / "result.json").exists()
    assert sorted(runs_held(tmp_path).values()) == [1] * 4


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), SettingError("impossible")], ids=["ctrl-c", "refused"])
def test_what_stops_a_sweep_lets_its_job_go(
    problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        break_at(patch, 6, problem)
        with pytest.raises(type(problem)):
            api.run(words(tmp_path, "checkpoint_seconds=0"))
    steps = first_steps(monkeypatch)
    api.run(words(tmp_path))
    assert steps[0] == 6


# Tables --------------------------------------------------------------------------------------------------------------

COLUMNS = ["run", "status", "seed", "step", "examples", "seconds", "metric", "value", "task", "optimizer",
           "optimizer.lr", "optimizer.beta1", "batch_size", "batch_size.size", "schedule", "dtype", "budget.steps",
           "record", "sampling", "task.l2", "device", "divergence_bound"]  # fmt: skip


def test_the_table_of_a_store(tmp_path: Path) -> None:
    ran = api.run(words(tmp_path, "lanes.lr=[0.1,1e300]", "lanes.seed=[0,1]", "dtype=float64", "average=uniform"))
    table = api.load_runs(tmp_path)
    assert set(COLUMNS) <= set(table.columns)
    assert table.columns.is_unique
    assert set(table["run"]) == {r.id for r in ran}
    assert set(table["task"]) == {"logistic/breast_cancer"}
    assert set(table["optimizer"]) == {"adam"}
    assert table["seconds"].isna().all(), "lanes of a shared job have no seconds of their own"
    assert not table.duplicated(["run", "step", "metric"]).any()
    for result in ran:
        own = table[table["run"] == result.id]
        assert set(own["optimizer.lr"]) == {result.config["optimizer.lr"]}
        assert set(own["seed"]) == {result.config["seed"]}
        assert set(own["status"]) == {result.status}
        assert (own["examples"] == 16 * own["step"]).all()
        losses = own[own["metric"] == "loss"]
        if result.status == "diverged":
            assert losses["step"].tolist() == [0]
            assert set(own["step"]) == {0}
        else:
            assert losses["step"].tolist() == [0, 4, 8, 12]
            last = own[own["step"] == 12].set_index("metric")["value"].to_dict()
            assert last == result.metrics
            assert "average/loss" in last


def test_a_run_that_was_alone_has_seconds(tmp_path: Path) -> None:
    (ran,) = api.run(words(tmp_path))
    seconds = api.load_runs(tmp_path).drop_duplicates("step")["seconds"]
    assert seconds.notna().all()
    assert seconds.is_monotonic_increasing
    assert 0.0 <= seconds.min() <= seconds.max() <= ran.seconds


def test_the_table_has_runs_that_are_not_finished(tmp_path: Path) -> None:
    interrupted(tmp_path, base=THREE)
    (done,) = api.run(words(tmp_path, "optimizer=sgd"))
    table = api.load_runs(tmp_path)
    by_status = table.groupby("status")["run"].nunique().to_dict()
    assert by_status == {"finished": 1, "unfinished": 3}
    assert set(table[table["run"] == done.id]["step"]) == {0, 4, 8, 12}
    assert set(table[table["run"] != done.id]["step"]) == {0, 4, 8}


def test_the_table_of_nothing(tmp_path: Path) -> None:
    assert api.load_runs(tmp_path / "none").empty
    interrupted(tmp_path, base=THREE, step=1, saved=0)
    (folder,) = job_folders(tmp_path)
    (folder / "metrics.jsonl").write_text("")
    table = api.load_runs(tmp_path)
    assert table.empty
    assert {"run", "status", "seed", "step", "metric", "value"} <= set(table.columns)


def test_the_table_leaves_out_a_line_that_is_being_written(tmp_path: Path) -> None:
    folder = interrupted(tmp_path, base=THREE)
    before = api.load_runs(tmp_path)
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write('{"step":9,"examples":144,"seconds":null,"metr')
    assert api.load_runs(tmp_path).equals(before)


def test_a_run_is_in_the_table_once(tmp_path: Path) -> None:
    """A job that was left behind, because its runs were then computed in jobs of another shape, does not count."""
    interrupted(tmp_path, base=THREE)
    api.run(words(tmp_path, "lanes.lr=[0.2,0.3,0.4]"))
    api.run(words(tmp_path, base=THREE))
    assert sorted(runs_held(tmp_path).values()) == [1] * 4
    table = api.load_runs(tmp_path)
    assert set(table["status"]) == {"finished"}
    assert not table.duplicated(["run", "step", "metric"]).any()


def test_the_table_tells_runs_of_a_torch_class_apart(tmp_path: Path) -> None:
    base = ["optimizer=torch.optim.SGD", "optimizer.arguments.lr=0.1", "optimizer.arguments.momentum=0.9"]
    for nesterov in ("true", "false"):
        api.run(words(tmp_path, *base, f"optimizer.arguments.nesterov={nesterov}"))
    table = api.load_runs(tmp_path)
    assert table["run"].nunique() == 2
    settings = table.drop(columns=["run", "status", "step", "examples", "seconds", "metric", "value"])
    assert len(settings.astype(str).drop_duplicates()) == 2


@dataclass(frozen=True, kw_only=True)
class Milestones(Schedule):
    """A component with a setting that is a list."""

    steps: tuple[int, ...] = setting((), doc="where the rate is halved")

    def factor(self, progress: Progress) -> float:
        return 0.5 ** sum(progress.step > step for step in self.steps)


@pytest.mark.parametrize("steps", [(), (5,), tuple(range(21))])
def test_a_setting_may_be_a_list(steps: tuple[int, ...], tmp_path: Path) -> None:
    base = runs()[0].experiment
    e = Experiment(
        task=base.task, optimizer=base.optimizer, batch_size=base.batch_size, schedule=Milestones(steps=steps),
        budget=base.budget, record="every:4",
    )  # fmt: skip
    runner.complete(with_lanes(e, [0], [{}]), Store(tmp_path), quiet=True)
    table = api.load_runs(tmp_path)
    rates = table[table["metric"] == "learning_rate"].set_index("step")["value"].to_dict()
    assert rates == {step: 0.001 * 0.5 ** sum(step > s for s in steps) for step in (4, 8, 12)}
    shown = {str(value).strip("()[],") for value in table["schedule.steps"]}
    assert (len(table), shown) == (21, {str(steps).strip("()[],")})


# Provenance ----------------------------------------------------------------------------------------------------------


def test_every_result_says_where_it_comes_from(tmp_path: Path) -> None:
    (ran,) = api.run(words(tmp_path))
    about = JobFolder(ran.folder).provenance()
    assert about["code"] == provenance.code_digest()
    assert about["commit"].removesuffix("+changes") == provenance.commit().removesuffix("+changes")
    assert {"torch", "numpy", "hydra-core", "safetensors"} <= set(about["libraries"])
    assert about["python"] == ".".join(map(str, sys.version_info[:3]))
    assert about["threads"] >= 1
    assert about["cores"] == os.cpu_count()
    assert about["processor"]
    assert about["system"]
    assert about["device"] == "cpu"
    job = JobFolder(ran.folder).describe()
    assert job["canonical"]["task"]["data"] == ran_data_digest(job)
    assert (job["runs"], job["hyper_prefix"]) == (
        [{"run": ran.id, "seed": 0, "hyper": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "lr": 0.001}}],
        "optimizer.",
    )
    assert JobFolder(ran.folder).result()["task"]["examples"] == 569


def ran_data_digest(job: dict[str, Any]) -> str:
    import data

    return data.digest(job["columns"]["task.data"])


def test_results_of_other_code_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = api.run(words(tmp_path))[0], api.run(words(tmp_path, "optimizer=sgd"))[0]
    api.run(words(tmp_path))
    assert capsys.readouterr().err == ""
    path = theirs.folder / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "code": "0123456789ab"}))
    assert api.run(words(tmp_path)) == [ours]
    assert capsys.readouterr().err == "", "it concerns another run"
    assert api.run(words(tmp_path, "optimizer=sgd")) == [theirs]
    said = capsys.readouterr().err
    assert "0123456789ab" in said
    assert provenance.code_digest() in said


def test_a_job_that_other_code_began_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of its numbers come from that code."""
    folder = interrupted(tmp_path)
    path = folder / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "code": "0123456789ab"}))
    capsys.readouterr()
    api.run(words(tmp_path))
    assert "0123456789ab" in capsys.readouterr().err
    api.run(words(tmp_path))
    assert "0123456789ab" in capsys.readouterr().err, "nor is it forgotten when the job has ended"


# Plans and refusals --------------------------------------------------------------------------------------------------


def test_a_plan_writes_nothing_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def planned(*more: str) -> str:
        assert run.guarded(lambda: run.execute(config.request(words(tmp_path / "s", "plan=true", *more)))) == 0
        return capsys.readouterr().out

    assert planned("lanes.lr=[0.1,0.2,0.3]").startswith("3 runs: 0 done, 3 to do in 1 jobs\n")
    assert not (tmp_path / "s").exists()
    api.run(words(tmp_path / "s", "lanes.lr=[0.1,0.2]"))
    before = files_of(tmp_path)
    assert planned("lanes.lr=[0.1,0.2,0.3]").startswith("3 runs: 2 done, 1 to do in 1 jobs\n")
    assert planned("lanes.lr=[0.1,0.2]").startswith("2 runs: 2 done, 0 to do in 0 jobs\n")
    text = planned("lanes.lr=[0.1,0.2,0.3]", "lanes.seed=[0,1]")
    assert text.startswith("6 runs: 2 done, 4 to do in 2 jobs\n")
    assert files_of(tmp_path) == before


def test_a_plan_counts_a_begun_job(tmp_path: Path) -> None:
    interrupted(tmp_path, base=THREE)
    plan = planner.plan(runs("lanes.lr=[0.1,0.2,0.3,0.4]"), Store(tmp_path))
    assert (len(plan.done), plan.missing, [job.lanes for job in plan.jobs]) == (0, 4, [3, 1])


@pytest.mark.parametrize("how", ["below a file", "no permission"])
def test_a_store_that_cannot_be_written_is_refused_before_any_work(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    if how == "below a file":
        place.write_text("")
    else:
        place.mkdir(mode=0o500)
        if os.access(place, os.W_OK):
            pytest.skip("this user may write everywhere")
    monkeypatch.setattr(loop.Loop, "__init__", lambda *a: pytest.fail("work was done"))
    with pytest.raises(SettingError, match="cannot be written"):
        api.run(words(place / "store"))
    assert run.main(words(place / "store")) == 2
    assert capsys.readouterr().err.count("\n") == 1


# Damage: there may be an error, but never a wrong number -------------------------------------------------------------


def _append(text: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / "metrics.jsonl").open("ab") as lines:
            lines.write(text)

    return damage


def _shorten_rows(folder: Path) -> None:
    path = folder / "metrics.jsonl"
    os.truncate(path, path.stat().st_size * 2 // 3)


def _garble_rows(folder: Path) -> None:
    """As long as before, with zeros in the second row: what a file system can leave after a loss of power."""
    path = folder / "metrics.jsonl"
    content = bytearray(path.read_bytes())
    second = content.index(b"\n") + 1
    content[second + 20 : second + 60] = bytes(40)
    path.write_bytes(content)


def _write_checkpoint(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "checkpoint.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return damage


def _flip(content: bytes) -> bytes:
    """One bit of the last tensor."""
    return content[:-3] + bytes([content[-3] ^ 64]) + content[-2:]


HARMLESS = {
    "torn line": _append(b'{"step":9,"exa'),
    "torn line in the middle of a character": _append('{"note":"é'.encode()[:-1]),
    "whole lines after the checkpoint": _append(b'{"step":9,"examples":1,"seconds":null,"metrics":{"loss":[1,2,3]}}\n'),
    "zeros": _append(bytes(100)),
}
DAMAGE = {
    "checkpoint cut": _write_checkpoint(lambda c: c[:-100]),
    "checkpoint cut in its header": _write_checkpoint(lambda c: c[:50]),
    "checkpoint empty": _write_checkpoint(lambda c: b""),
    "checkpoint of zeros": _write_checkpoint(lambda c: bytes(len(c))),
    "checkpoint with a flipped bit": _write_checkpoint(_flip),
    "rows cut": _shorten_rows,
    "rows garbled": _garble_rows,
    "rows lost": lambda folder: (folder / "metrics.jsonl").unlink(),
}


@pytest.mark.parametrize("how", sorted(HARMLESS))
def test_what_a_killed_process_leaves_in_the_rows_is_cut_off(how: str, tmp_path: Path) -> None:
    HARMLESS[how](interrupted(tmp_path / "a", base=THREE))
    api.run(words(tmp_path / "a", base=THREE))
    api.run(words(tmp_path / "b", base=THREE))
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")


@pytest.mark.parametrize("how", sorted(DAMAGE))
def test_damage_gives_no_wrong_number(how: str, tmp_path: Path) -> None:
    DAMAGE[how](interrupted(tmp_path / "a", base=THREE))
    try:
        api.run(words(tmp_path / "a", base=THREE))
    except runner.RunFailed:
        (folder,) = job_folders(tmp_path / "a")
        assert not (folder / "result.json").exists()
        return
    api.run(words(tmp_path / "b", base=THREE))
    assert numbers(tmp_path / "a") == numbers(tmp_path / "b")


@pytest.mark.parametrize("how", sorted(DAMAGE))
def test_damage_to_one_job_leaves_the_others_alone(how: str, tmp_path: Path) -> None:
    """They can be run and read, whether the damaged one can or not."""
    DAMAGE[how](interrupted(tmp_path, base=THREE))
    with contextlib.suppress(runner.RunFailed):
        api.run(words(tmp_path, base=THREE))
    (done,) = api.run(words(tmp_path, "optimizer=sgd"))
    assert done.id in set(api.load_runs(tmp_path)["run"])


# The rest of the contract of a checkpoint ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Keeping(BatchSizeRule):
    """Keeps every plain value that JSON can hold in its state."""

    shared: ClassVar[bool] = False
    seen: ClassVar[list[dict[str, Any]]] = []

    def init(self) -> dict[str, Any]:
        return {
            "whole": 1,
            "real": 0.1,
            "text": "é",
            "none": None,
            "yes": True,
            "list": [1, [2.5]],
            "nested": {"a": []},
        }

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        self.seen.append(copy.deepcopy(state))
        grown = {
            **state,
            "whole": state["whole"] * 10,
            "real": state["real"] / 3,
            "nested": {"a": [context.loss and 1]},
        }
        return 8, grown, None


def test_a_batch_size_rule_gets_its_state_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = runs()[0].experiment
    e = Experiment(
        task=base.task, optimizer=base.optimizer, batch_size=Keeping(), schedule=base.schedule, budget=base.budget,
        record="ends",
    )  # fmt: skip
    wanted = with_lanes(e, [0], [{}])
    runner.complete(wanted, Store(tmp_path / "whole"), quiet=True)
    expected = Keeping.seen.copy()
    Keeping.seen.clear()
    with monkeypatch.context() as patch:
        break_at(patch, 7, Broken())
        with pytest.raises(runner.RunFailed):
            runner.complete(wanted, Store(tmp_path / "broken"), checkpoint_seconds=0.0, quiet=True)
    assert Keeping.seen == expected[:6]
    Keeping.seen.clear()
    runner.complete(wanted, Store(tmp_path / "broken"), quiet=True)
    assert Keeping.seen == expected[6:]
    assert numbers(tmp_path / "whole") == numbers(tmp_path / "broken")


def test_rows_are_strict_json(tmp_path: Path) -> None:
    """No NaN: other programs read them."""
    api.run(words(tmp_path, "lanes.lr=[0.1,1e300]", "dtype=float64", "probe=gradient_norm"))
    (folder,) = job_folders(tmp_path)
    for name in ("metrics.jsonl", "result.json", "job.json", "provenance.json"):
        text = (folder / name).read_text()
        assert "NaN" not in text
        assert "Infinity" not in text
    assert [row["metrics"]["loss"][1] for row in rows(folder)] == [pytest.approx(0.6931, abs=1e-4), None, None, None]


def test_the_store_has_one_lock_that_nobody_holds_for_long(tmp_path: Path) -> None:
    """While a job runs, another one can be claimed."""
    mine, other = Store(tmp_path), Store(tmp_path)
    mine.require_writable()
    (first,) = planner.plan(runs(), mine).jobs
    (second,) = planner.plan(runs("optimizer=sgd"), other).jobs
    one = mine.claim(first)
    two = other.claim(second)
    assert one is not None
    assert two is not None
    assert other.claim(first) is None
    one.close()
    again = other.claim(first)
    assert again is not None
    again.close()
    two.close()
    assert not store._held(one.folder.path / "lock")
