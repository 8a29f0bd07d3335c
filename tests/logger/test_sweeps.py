"""Sweeps: what one command asked for, as a group of W&B runs with a summary; a paper's with verdicts and figures."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import reading
from reading import SMALL, folders, history, of_type, records, summary, table_of
from scipy import stats

from experiments import api, config, export, reproduce, run, spec, sweeps
from experiments.papers.adagrad_anisotropic import claims
from experiments.store import Store

WORDS = [*SMALL, "optimizer=sgd,adagrad", "lanes.lr=[0.1,1]", "lanes.seed=[0,1,2]", "budget.steps=4", "record=ends"]


def group_of(run: Path) -> str:
    group: str = of_type(records(run), "run")[0]["run_group"]
    return group


def test_a_multirun_is_one_sweep_with_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WORDS, "logger=wandb", f"store={tmp_path}"]
    assert run.main(["-m", *words]) == 0
    assert capsys.readouterr().err == ""
    table = api.load_runs(tmp_path)
    ids = sorted(table.run.unique())
    assert len(ids) == 12
    sweep = spec.digest(ids)[:20]
    (path,) = (tmp_path / "sweeps").glob("*.json")
    written = json.loads(path.read_text())
    assert (path.stem, written["runs"], written["words"]) == (sweep, ids, words)

    found = folders(tmp_path / "wandb")
    assert set(found) == {*ids, f"summary-{sweep}"}
    shown = found[f"summary-{sweep}"]
    assert {group_of(found[ids[0]]), group_of(found[ids[-1]]), group_of(shown)} == {sweep}
    assert of_type(records(shown), "run")[0]["job_type"] == "summary"
    about = summary(shown)
    assert about["name"].startswith("summary: task=logistic/breast_cancer ")
    assert {k: about["summary"][k] for k in ("number_of_runs", "finished", "diverged")} == {
        "number_of_runs": 12, "finished": 12, "diverged": 0,
    }  # fmt: skip

    last = table[table.step == 4].pivot(index="run", columns="metric", values="value")
    rows = table_of(shown, "runs").set_index("run")
    assert set(rows.index) == set(ids)
    varying = ["optimizer", "optimizer.eps", "optimizer.initial_accumulator_value", "optimizer.lr", "seed"]
    assert set(varying) <= set(rows.columns)
    assert "budget.steps" not in rows.columns, "the same for all"
    for metric in last.columns:
        assert rows[f"final/{metric}"].to_dict() == last[metric].to_dict()
    means = table_of(shown, "statistics")
    cell = means[(means.optimizer == "adagrad") & (means["optimizer.lr"] == 1) & (means.metric == "gap")]
    of_cell = rows[(rows.optimizer == "adagrad") & (rows["optimizer.lr"] == 1)]["final/gap"].to_numpy()
    low, high = stats.t.interval(0.95, 2, np.mean(of_cell), stats.sem(of_cell))
    assert cell[["n", "diverged"]].to_numpy().tolist() == [[3, 0]]
    np.testing.assert_allclose(cell[["mean", "low", "high"]].to_numpy()[0], [np.mean(of_cell), low, high], rtol=1e-12)

    before = reading.files_of(tmp_path)
    assert run.main(["-m", *words]) == 0
    assert reading.files_of(tmp_path) == before, "the same command again changes nothing"
    wider = [word.replace("[0.1,1]", "[0.1,1,2]") for word in words]
    assert run.main(["-m", *wider]) == 0
    groups = sweeps.groups(Store(tmp_path))
    assert [groups[each] for each in ids] == [sweep] * 12, "a run keeps the first sweep that it was in"
    assert len(set(groups.values())) == 2
    assert {key for key in folders(tmp_path / "wandb") if key.startswith("summary-")} == {
        f"summary-{each.id}" for each in sweeps.all_of(Store(tmp_path))
    }


def test_no_mean_where_a_run_diverged(tmp_path: Path) -> None:
    words = [
        *SMALL,
        "optimizer=adam",
        "divergence_bound=28",
        "lanes.seed=[3,5]",
        "lanes.lr=[0.1,20]",
        "budget.steps=14",
    ]
    runs = api.run([*words, f"store={tmp_path}"])
    assert {each.status for each in runs} == {"finished", "diverged"}
    store = Store(tmp_path)
    (sweep,) = sweeps.all_of(store)
    rows = sweeps.statistics_rows(sweeps.run_rows(store, sweep))
    by_rate = {row["optimizer.lr"]: row for row in rows if row["metric"] == "gap"}
    assert (by_rate[20.0]["n"], by_rate[20.0]["mean"], by_rate[20.0]["low"]) == (2, None, None)
    assert by_rate[20.0]["diverged"] == sum(each.status == "diverged" for each in runs)
    gaps = [each.metrics["gap"] for each in runs if each.config["optimizer.lr"] == 0.1]
    assert by_rate[0.1]["mean"] == pytest.approx(math.fsum(g for g in gaps if g is not None) / 2, rel=1e-15)


def test_plans_are_no_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([*SMALL, "plan=true", "logger=wandb", f"store={tmp_path / 'store'}"]) == 0
    assert not (tmp_path / "store").exists()


def test_the_identity_of_a_run_does_not_know_its_logger(tmp_path: Path) -> None:
    (plain,) = config.request(SMALL).runs
    (logged,) = config.request([*SMALL, "logger=wandb", "logger.project=x", f"logger.folder={tmp_path}"]).runs
    assert plain.id == logged.id
    assert plain.columns() == logged.columns()


def test_a_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is reported: the runs on fresh seeds, the verdicts, the figure. Exported later it is the same."""
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["experiments.reproduce"])
    monkeypatch.setattr(claims, "CLAIMS", tuple(claim for claim in claims.CLAIMS if claim.id in ("A2", "A10")))
    store = tmp_path / "store"
    paper = ["paper=adagrad-anisotropic", "scale=smoke", f"store={store}"]
    assert reproduce.main([*paper, "logger=wandb", f"logger.folder={tmp_path / 'live'}"]) == 0
    closing = capsys.readouterr().out.splitlines()
    assert closing[-1] == "there is no committed reference to compare 2 verdicts with", "still the last line"
    assert closing[-2].startswith(f"W&B runs: {tmp_path / 'live' / 'wandb'} (")

    pages = tmp_path / "results" / "local" / "adagrad-anisotropic" / "smoke"
    table = api.load_runs(store)
    fresh = set(table[table.seed < 1000].run)
    assert 0 < len(fresh) < table.run.nunique()
    found = folders(tmp_path / "live" / "wandb")
    (key,) = set(found) - fresh
    assert set(found) == {*fresh, key}
    shown = summary(found[key])
    assert shown["config"]["paper"] == {
        "paper": "adagrad-anisotropic", "scale": "smoke", "studies": ["gap_by_batch_size", "nonconvex"],
    }  # fmt: skip
    assert shown["name"] == "summary: adagrad-anisotropic, smoke"
    kept = json.loads((pages / "verdicts.json").read_text())["verdicts"]
    verdicts = table_of(found[key], "verdicts")
    assert verdicts[["claim", "answer", "n"]].to_numpy().tolist() == [[v["claim"], v["answer"], v["n"]] for v in kept]
    images = {p.read_bytes() for p in (found[key] / "files" / "media" / "images" / "figures").glob("*.png")}
    assert images == {p.read_bytes() for p in pages.glob("*.png")}
    assert len(images) >= 3
    assert set(table_of(found[key], "runs").run) == fresh
    assert len(history(records(found[key]))) == 1

    assert export.main([f"store={store}"]) == 0
    assert f"{len(fresh)} of {len(fresh)} runs and 1 summaries written" in capsys.readouterr().out
    assert set(folders(store / "wandb")) == set(found)
    assert reproduce.main([*paper, "logger=wandb"]) == 0
    assert reproduce.main([*paper, "logger=wadb"]) == 2
    assert reproduce.main([*paper, "logger.mode=offline"]) == 2
    assert reproduce.main([*paper, "logger=wandb", "logger.mode=onlin"]) == 2
    assert [line[:27] for line in capsys.readouterr().err.splitlines()] == [
        "error: there is no logger '", "error: 'logger.mode=offline", "error: logger.mode=onlin is"]  # fmt: skip
