"""What the identity of a run depends on, and what it does not."""

import bz2
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from data import cache, registry
from experiments import api, config, runner, spec
from experiments.components import ROOT
from experiments.job import Job
from experiments.measure.probes.gradient_norm import GradientNorm
from experiments.spec import Budget, Experiment, with_lanes
from experiments.store import Store
from experiments.tasks import optima
from experiments.tasks.logistic import LogisticRegression
from optim.averages.uniform import Uniform
from optim.batch_sizes.constant import Constant
from optim.foreign import TorchOptimizer
from optim.rules.adagrad import AdaGrad
from optim.schedules.inverse_sqrt import InverseSqrt

BASE = ("task=logistic/breast_cancer", "optimizer=adagrad", "optimizer.lr=0.1", "budget.steps=100")
NADAM = ("task=logistic/breast_cancer", "optimizer=torch.optim.NAdam", "budget.steps=100")
ROWS = "+1 1:0.5 2:1\n-1 2:-1 3:2\n+1 1:1.5\n-1 1:-1 3:1\n"
OTHER_ROWS = ROWS.replace("2:1", "2:3")


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "cache" / "data")
    monkeypatch.setattr(optima, "CACHE", tmp_path / "cache" / "optima")


def ids(*words: str, base: tuple[str, ...] = BASE) -> list[str]:
    return [run.id for run in config.request([*base, *words]).runs]


def experiment(*words: str, base: tuple[str, ...] = BASE) -> Experiment:
    return config.request([*base, *words]).runs[0].experiment


def rows_file(path: Path, text: str = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def file_words(path: Path, *more: str) -> list[str]:
    return ["task=logistic/libsvm", f"task.path={path}", "optimizer=sgd", "batch_size.size=2", "budget.steps=5", *more]


def of_file(path: Path, *more: str) -> str:
    return config.request(file_words(path, *more)).runs[0].id


# What it ignores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["store=/some/where/else", "plan=true", "checkpoint_seconds=0.5", "logger=none"])
def test_it_ignores_how_and_where_a_run_is_computed(word: str) -> None:
    assert ids(word) == ids()


def test_it_ignores_which_runs_share_a_job() -> None:
    alone = [ids(f"optimizer.lr={lr}", f"seed={seed}")[0] for seed in (3, 4) for lr in (0.1, 0.2, 0.4)]
    assert ids("lanes.lr=[0.1,0.2,0.4]", "lanes.seed=[3,4]") == alone
    assert sorted(ids("lanes.lr=[0.4,0.1,0.2]", "lanes.seed=[4,3]")) == sorted(alone)
    assert len(set(alone)) == 6
    runs = config.request([*BASE, "lanes.lr=[0.1,0.2]"]).runs
    assert Job(tuple(runs)).id != Job((runs[0],)).id, "but jobs of other shape are other folders"


def test_a_list_of_one_value_is_that_value() -> None:
    assert ids("lanes.lr=[0.1]") == ids("optimizer.lr=0.1") == ids("optimizer.lr=7", "lanes.lr=[0.1]")
    assert ids("lanes.seed=[5]") == ids("seed=5") == ids("seed=9", "lanes.seed=[5]")
    assert ids("optimizer.arguments.lr=0.1", base=NADAM) == ids("lanes.lr=[0.1]", base=NADAM)
    assert ids("optimizer.arguments.lr=0.5", "lanes.lr=[0.1]", base=NADAM) == ids("lanes.lr=[0.1]", base=NADAM)


def test_it_ignores_the_names_that_parts_were_chosen_by() -> None:
    renamed = dataclasses.replace(experiment(), choices={"task": "mine", "optimizer": "the good one"})
    assert [run.id for run in with_lanes(renamed, [0], [{}])] == ids()
    assert ids("task=logistic/a9a", "task.data=sklearn/breast_cancer", "task.scale=range") == ids()
    named = ("task=logistic/breast_cancer", "optimizer=torch", "optimizer.path=torch.optim.NAdam", "budget.steps=100")
    assert ids(base=named) == ids(base=NADAM)


def test_stating_a_default_changes_nothing() -> None:
    assert ids("seed=0", "record=log", "dtype=float32", "batch_size.size=256", "schedule=constant") == ids()
    assert ids("optimizer.eps=1e-10", "average=none", "device=cpu", "task.l2=0") == ids()


def test_a_whole_number_is_the_same_number() -> None:
    assert ids("optimizer.lr=1") == ids("optimizer.lr=1.0") == ids("lanes.lr=[1]") == ids("lanes.lr=[1e0]")
    assert ids("optimizer.eps=1") == ids("optimizer.eps=1.0")
    assert ids("task.l2=2") == ids("task.l2=2.0")
    assert ids("divergence_bound=100") == ids("divergence_bound=1e2")
    assert ids("budget.steps=100") == ids("budget.steps=100.0")
    assert ids("batch_size.size=16") == ids("batch_size.size=16.0")
    assert ids("seed=1") == ids("seed=1.0")
    assert ids("optimizer.arguments.lr=1", base=NADAM) == ids("optimizer.arguments.lr=1.0", base=NADAM)


def test_a_whole_number_is_the_same_number_in_python_too() -> None:
    e = experiment()
    assert with_lanes(e, [0], [{"lr": 1}])[0].id == with_lanes(e, [0], [{"lr": 1.0}])[0].id
    budgets = [dataclasses.replace(e, budget=Budget("steps", amount)) for amount in (100, 100.0)]
    assert budgets[0].key == budgets[1].key
    bounds = [dataclasses.replace(e, divergence_bound=bound) for bound in (1000, 1000.0)]
    assert bounds[0].key == bounds[1].key


# What it depends on --------------------------------------------------------------------------------------------------

CHANGES = (
    "seed=1", "optimizer.lr=0.2", "optimizer.eps=1e-8", "optimizer.lr_decay=0.1",
    "optimizer.initial_accumulator_value=1", "optimizer=adam", "optimizer=adagrad_norm",
    "optimizer=torch.optim.Adagrad", "dtype=float64", "budget.steps=101", "record=ends", "record=every:100",
    "divergence_bound=1e7", "sampling=reshuffled", "probe=gradient_norm", "average=uniform", "schedule=inverse_sqrt",
    "batch_size.size=255", "batch_size=full", "task.l2=1e-3", "task.scale=none",
)  # fmt: skip


def test_it_depends_on_everything_that_can_change_a_number() -> None:
    def changed(word: str) -> str:
        base = BASE if not word.startswith("optimizer=") else tuple(w for w in BASE if w != "optimizer.lr=0.1")
        return ids(word, base=base)[0]

    found = {word: changed(word) for word in CHANGES} | {"": ids()[0]}
    found["examples"] = ids("budget.examples=100", base=BASE[:-1])[0]
    found["seconds"] = ids("budget.seconds=100", base=BASE[:-1])[0]
    by_id: dict[str, list[str]] = {}
    for word, run in found.items():
        by_id.setdefault(run, []).append(word)
    assert [words for words in by_id.values() if len(words) > 1] == []


def test_it_depends_on_every_argument_of_a_torch_class() -> None:
    words = ("", "lr=0.1", "lr=0.2", "betas=[0.8,0.9]", "eps=1e-3", "weight_decay=0.1", "decoupled_weight_decay=true")
    found = [ids(*([f"optimizer.arguments.{word}"] if word else []), base=NADAM)[0] for word in words]
    assert len(set(found)) == len(words)


def test_the_order_of_sampling_means_nothing_to_whole_batches() -> None:
    assert ids("batch_size=full", "sampling=reshuffled") == ids("batch_size=full")


VERSIONED = {
    "rule": (AdaGrad, ()),
    "task": (LogisticRegression, ()),
    "probe": (GradientNorm, ("probe=gradient_norm",)),
    "batch size": (Constant, ()),
    "schedule": (InverseSqrt, ("schedule=inverse_sqrt",)),
    "average": (Uniform, ("average=uniform",)),
    "torch class": (TorchOptimizer, ("optimizer=torch.optim.Adagrad",)),
}


@pytest.mark.parametrize("part", sorted(VERSIONED))
def test_a_raised_version_is_another_run(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls, words = VERSIONED[part]
    base = BASE if part != "torch class" else (BASE[0], BASE[3])
    before = ids(*words, base=base)
    monkeypatch.setattr(cls, "version", cls.version + 1)
    assert ids(*words, base=base) != before


def test_a_raised_version_of_the_engine_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids()
    monkeypatch.setattr(spec, "ENGINE_VERSION", spec.ENGINE_VERSION + 1)
    assert ids() != before


def test_a_raised_version_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = file_words(rows_file(tmp_path / "rows"), "probe=gradient_norm", f"store={tmp_path / 'store'}")
    (first,) = api.run(words)
    for count, cls in enumerate((GradientNorm, Constant, LogisticRegression), start=2):
        monkeypatch.setattr(cls, "version", cls.version + 1)
        (again,) = api.run(words)
        assert again.id != first.id
        assert len(list((tmp_path / "store" / "jobs").iterdir())) == count
        assert again.metrics == first.metrics


# Data ----------------------------------------------------------------------------------------------------------------


def test_two_files_of_one_name_and_different_content_differ(tmp_path: Path) -> None:
    one, other = rows_file(tmp_path / "a" / "rows"), rows_file(tmp_path / "b" / "rows", OTHER_ROWS)
    assert of_file(one) != of_file(other)
    before = of_file(one)
    rows_file(one, OTHER_ROWS)
    assert of_file(one) == of_file(other) != before


def test_the_same_content_under_two_names_is_the_same_run(tmp_path: Path) -> None:
    one, other = rows_file(tmp_path / "a" / "rows"), rows_file(tmp_path / "b" / "renamed.txt")
    packed = tmp_path / "packed.bz2"
    packed.write_bytes(bz2.compress(ROWS.encode()))
    assert of_file(one) == of_file(other) == of_file(packed)


def test_a_file_that_changed_is_run_again_and_not_taken_for_the_old_one(tmp_path: Path) -> None:
    path, store = rows_file(tmp_path / "rows"), f"store={tmp_path / 'store'}"
    (before,) = api.run(file_words(path, store))
    rows_file(path, OTHER_ROWS)
    (after,) = api.run(file_words(path, store))
    rows_file(path)
    (back,) = api.run(file_words(path, store))
    assert before.metrics["loss"] != after.metrics["loss"]
    assert (back.id, back.metrics, back.folder) == (before.id, before.metrics, before.folder)


def test_the_number_of_columns_counts(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "rows")
    assert len({of_file(path), of_file(path, "task.features=5"), of_file(path, "task.features=6")}) == 3


def test_a_file_is_not_taken_for_a_registered_set_with_more_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a4a: 123 features are registered, and the largest index in the file is 122."""
    path = rows_file(tmp_path / "libsvm" / "tiny")
    known = dataclasses.replace(
        registry.ENTRIES["libsvm/a4a"], name="libsvm/tiny", file="libsvm/tiny", raw_sha256=None, raw_bytes=None,
        rows=4, features=5,
    )  # fmt: skip
    monkeypatch.setitem(registry.ENTRIES, "libsvm/tiny", known)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    words = ["task=logistic/a4a", "task.data=libsvm/tiny", "optimizer=sgd", "batch_size.size=2", "budget.steps=5"]
    registered, own = config.request(words).runs[0], config.request(file_words(path)).runs[0]
    columns = [run.experiment.task.init()["weight"].numel() for run in (registered, own)]
    assert columns == [5, 3]
    assert registered.id != own.id


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for k, v in value.items() for text in (*_texts(k), *_texts(v))]
    if isinstance(value, list | tuple):
        return [text for v in value for text in _texts(v)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("kind", ["file", "bundled", "torch"])
def test_no_path_of_this_machine_is_hashed(kind: str, tmp_path: Path) -> None:
    words = {"file": file_words(rows_file(tmp_path / "rows")), "bundled": list(BASE), "torch": list(NADAM)}[kind]
    e = config.request([*words, f"store={tmp_path / 'store'}", "probe=gradient_norm", "average=uniform"]).runs[0]
    hashed = _texts(e.experiment.canonical)
    assert hashed
    assert [text for text in hashed if "/" in text and (Path(text).is_absolute() or str(tmp_path) in text)] == []
    assert str(ROOT) not in json.dumps(e.experiment.canonical)


# One identity, one computation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "lane"),
    [("lr=0.5", "lr=[0.25]"), ("lr=1", "lr=[0.25]"), ("momentum=0", "momentum=[0.75]")],
)
def test_a_torch_class_takes_the_value_of_its_lane(stated: str, lane: str, tmp_path: Path) -> None:
    """Whatever value, of whatever type, the lane replaces."""
    base = ["optimizer=torch.optim.SGD", "batch_size.size=16", "budget.steps=4", "dtype=float64"]
    if not stated.startswith("lr"):
        base.append("optimizer.arguments.lr=0.5")
    alone = [f"optimizer.arguments.{lane.replace('[', '').replace(']', '')}", f"store={tmp_path / 'alone'}"]
    (expected,) = api.run([*base, *alone])
    (found,) = api.run([*base, f"optimizer.arguments.{stated}", f"lanes.{lane}", f"store={tmp_path / 'lane'}"])
    assert found.id == expected.id
    assert found.metrics == expected.metrics


@pytest.mark.parametrize("optimizer", ["sgd", "torch.optim.SGD"])
def test_a_whole_number_from_python_is_run_as_that_number(optimizer: str, tmp_path: Path) -> None:
    key = "optimizer.arguments.lr" if "." in optimizer else "optimizer.lr"
    base = [f"optimizer={optimizer}", f"{key}=2", "batch_size.size=16", "budget.steps=4", "dtype=float64"]
    e = config.request(base).runs[0].experiment
    (whole,) = with_lanes(e, [0], [{"lr": 1}])
    runner.complete([whole], Store(tmp_path / "whole"), quiet=True)
    (expected,) = api.run([*base, f"{key}=1.0", f"store={tmp_path / 'real'}"])
    (found,) = api.results([whole], Store(tmp_path / "whole"))
    assert (found.id, found.metrics) == (expected.id, expected.metrics)
