"""`python -m experiments.reproduce` from end to end on the smallest scale, its settings, and what it refuses."""

import contextlib
import csv
import io
import itertools
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml

from data import cache
from experiments import api, figures, pages, provenance, reproduce, runner, spec
from experiments.components import CONFIGS
from experiments.papers.adagrad_anisotropic import claims as paper_claims
from experiments.papers.adagrad_anisotropic.studies import gap_by_batch_size
from experiments.protocol import Outcome
from optim import settings

PAPER = "adagrad-anisotropic"
SMOKE = [f"paper={PAPER}", "scale=smoke"]
STUDY = "gap_by_batch_size"
SCALES = sorted((CONFIGS / "paper").glob("*/*.yaml"))
EVERY_CLAIM = paper_claims.CLAIMS
TWO = tuple(claim for claim in EVERY_CLAIM if claim.id in ("A2", "A3"))  # enough for what is not about the others
NO_REFERENCE = "there is no committed reference to compare 2 verdicts with"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def closing(self) -> str:
        return self.out.splitlines()[-1]


def command(*words: str) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = reproduce.main(list(words))
    return Ended(code, out.getvalue(), err.getvalue())


def smoke(**others: str) -> list[str]:
    return [*SMOKE, *(f"{key}={value}" for key, value in others.items())]


def contents(folder: Path) -> dict[str, int]:
    """Files below a folder with the time they were written."""
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is written to the clone."""
    monkeypatch.setattr(paper_claims, "CLAIMS", TWO)
    monkeypatch.setattr(reproduce, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "cache")
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setattr(sys, "argv", ["experiments.reproduce"])
    return tmp_path / "results"


@dataclass(frozen=True)
class Done:
    """A reproduction at the scale smoke, run once for all tests that look at it."""

    results: Path
    store: Path
    ended: Ended

    @property
    def folder(self) -> Path:
        return self.results / "local" / PAPER / "smoke"

    @property
    def verdicts(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "verdicts.json").read_text())
        return content


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduce, "RESULTS", folder / "results")
        patch.setattr(cache, "FOLDER", folder / "cache")
        patch.setattr(paper_claims, "CLAIMS", TWO)
        yield Done(folder / "results", folder / "store", command(*smoke(store=str(folder / "store"))))


# From end to end -----------------------------------------------------------------------------------------------------


def test_it_ends_with_verdicts_and_the_comparison(done: Done) -> None:
    assert (done.ended.code, done.ended.err) == (0, "")
    lines = done.ended.out.splitlines()
    assert lines[0].startswith("AdaGrad under Anisotropic Smoothness (")
    assert lines[0].endswith("scale smoke: A2, A3")
    assert any(line.startswith("A2 inconclusive: ") for line in lines), "two seeds decide nothing"
    assert any(re.match("A3 (inconclusive|not testable at this scale): ", line) for line in lines)
    assert f"figures, tables and verdicts: {done.folder}" in lines
    assert done.ended.closing == NO_REFERENCE


def test_it_writes_a_page_a_figure_and_tables(done: Done) -> None:
    names = {"README.md", "verdicts.json"}
    names |= {f"{STUDY}.{kind}" for kind in ("pdf", "png", "txt", "runs.csv", "curves.csv")}
    names |= {f"{figure}.{kind}" for figure in ("picked_rates", "rates_tried") for kind in ("pdf", "png", "txt")}
    assert names <= {path.name for path in done.folder.iterdir()}
    assert all(path.stat().st_size < 1_000_000 for path in done.folder.iterdir())
    assert (done.folder / f"{STUDY}.png").read_bytes().startswith(b"\x89PNG")
    assert (done.folder / f"{STUDY}.pdf").read_bytes().startswith(b"%PDF")
    assert [path.name for path in done.results.iterdir()] == ["local"], "nothing but results/local/"
    page = (done.folder / "README.md").read_text()
    for verdict in done.verdicts["verdicts"]:
        assert f"| {verdict['claim']}: {verdict['sentence']} | **{verdict['answer']}** |" in page
    assert f"![{STUDY}]({STUDY}.png)" in page
    assert (done.folder / f"{STUDY}.txt").read_text().strip() in page


def test_verdicts_carry_their_provenance(done: Done) -> None:
    origin = done.verdicts["provenance"]
    assert origin["code"] == provenance.code_digest()
    assert {"commit", "python", "libraries", "processor", "threads", "device"} <= set(origin)
    assert set(origin["data"]) == {"logistic/breast_cancer"}
    assert re.fullmatch(r"[0-9a-f]{64}", origin["data"]["logistic/breast_cancer"])
    chosen = yaml.safe_load((CONFIGS / "paper" / PAPER / "smoke.yaml").read_text())
    assert origin["settings"] == {STUDY: chosen[STUDY]}, "every setting, with its value"
    table = api.load_runs(done.store)
    assert origin["runs"]["number"] == table.run.nunique()
    assert origin["runs"]["digest"] == spec.digest(sorted(table.run.unique()))[:20]


def test_one_row_for_each_run(done: Done) -> None:
    with (done.folder / f"{STUDY}.runs.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    table = api.load_runs(done.store)
    assert sorted(row["run"] for row in rows) == sorted(table.run.unique())
    last = table.sort_values("step").groupby(["run", "metric"]).value.last()
    for row in rows:
        assert row["purpose"] == ("tuning" if row["seed"] == "1000" else "fresh")
        for column, metric in (("last value", "gap"), ("average value", "average/gap")):
            if row[column]:
                assert float(row[column]) == pytest.approx(last[row["run"], metric], rel=1e-5)
    for method in ("sgd", "sgd, 1/sqrt(t)", "adagrad"):
        sizes = {row["batch_size"] for row in rows if row["method"] == method and row["purpose"] == "fresh"}
        assert sizes == {"64", "256", "569"}


def test_a_large_table_is_compressed(tmp_path: Path) -> None:
    table = pd.DataFrame({"value": np.arange(200_000)})
    for text in (table.to_csv(index=False), "value\n1\n", table.to_csv(index=False)):
        pages._save(text, tmp_path / "runs.csv")
        (made,) = tmp_path.iterdir()
        assert made.name == ("runs.csv.gz" if len(text) > 1_000_000 else "runs.csv")
        assert made.stat().st_size < 1_000_000
        assert pd.read_csv(made).to_csv(index=False) == text


def test_curves_end_where_the_runs_end(done: Done) -> None:
    curves = pd.read_csv(done.folder / f"{STUDY}.curves.csv")
    ends = curves.groupby(["method", "batch", "readout"]).agg(seen=("seen", "max"), step=("step", "max"))
    assert len(ends) == 3 * 3 * 2
    assert set(ends.seen) == {3 * 569}, "equal examples"
    steps = ends.reset_index().groupby("batch").step.unique().map(list).to_dict()
    assert steps == {"64": [27], "256": [7], "full": [3]}
    assert (curves.low <= curves.gap * 1.001).all()
    assert (curves.gap <= curves.high * 1.001).all()
    assert set(curves.seeds) == {2}


def test_again_it_computes_nothing(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproduce, "RESULTS", done.results)
    monkeypatch.setattr(runner, "_run", lambda *_: pytest.fail("a run was computed again"))
    before = contents(done.store)
    page = {p.name: p.read_bytes() for p in done.folder.iterdir()}
    ended = command(*smoke(store=str(done.store)))
    assert ended == done.ended
    assert contents(done.store) == before
    after = {p.name: p.read_bytes() for p in done.folder.iterdir()}
    assert [name for name in page if after[name] != page[name]] == [], "the same to the byte"


def test_all_claims_of_the_paper(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_claims, "CLAIMS", EVERY_CLAIM)
    ended = command(*smoke(store=str(tmp_path / "store")))
    assert (ended.code, ended.err) == (0, "")
    folder = results / "local" / PAPER / "smoke"
    verdicts = json.loads((folder / "verdicts.json").read_text())["verdicts"]
    assert [verdict["claim"] for verdict in verdicts] == [f"A{number}" for number in range(1, 11)]
    page = (folder / "README.md").read_text()
    pictures = re.findall(r"^!\[.*\]\((.+)\.png\)$", page, re.MULTILINE)
    assert sorted(pictures) == sorted(path.stem for path in folder.glob("*.png"))
    assert len(pictures) >= 12
    assert all(path.stat().st_size < 1_000_000 for path in folder.iterdir())
    for line in page.splitlines():
        assert not line.startswith("| A") or len(re.findall(r"(?<!\\)\|", line)) == 7, "six cells in every row"
    before = contents(tmp_path / "store")
    again = command(*smoke(store=str(tmp_path / "store")))
    assert again == ended
    assert contents(tmp_path / "store") == before, "nothing is computed again"


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time of a command that finds its runs."""
    monkeypatch.setattr(gap_by_batch_size, "draw", lambda *_: {"gap_by_batch_size": (None, "a caption")})
    monkeypatch.setattr(figures, "save", lambda *_: None)


@pytest.mark.usefixtures("no_drawing")
def test_a_report_computes_nothing(done: Done, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_run", lambda *_: pytest.fail("a run was computed"))
    ended = command(*smoke(store=str(done.store), report="true", claim="A3"))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0].endswith("scale smoke: A3")
    assert "A2" not in ended.out
    assert ended.closing == NO_REFERENCE.replace("2 verdicts", "1 verdicts")
    kept = json.loads((results / "local" / PAPER / "smoke" / "verdicts.json").read_text())["verdicts"]
    assert [verdict["claim"] for verdict in kept] == ["A3"]


@pytest.mark.usefixtures("no_drawing")
def test_the_comparison_with_a_reference(done: Done, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "commit", lambda: "0" * 40)
    words = smoke(store=str(done.store), report="true")
    made = command(*words, "reference=true")
    assert (made.code, made.err) == (0, "")
    assert "match the reference" not in made.out
    kept = results / PAPER / "smoke" / "verdicts.json"
    assert kept.exists()
    assert not (results / "local").exists()
    assert command(*words).closing == "2 of 2 verdicts match the reference"
    assert command(*words, "claim=A2").closing == "1 of 1 verdicts match the reference"
    content = json.loads(kept.read_text())
    content["verdicts"][0] |= {"answer": "holds", "value": 0.875}
    kept.write_text(json.dumps(content))
    assert command(*words).closing == (
        "1 of 2 verdicts match the reference; A2 differs: inconclusive here (0), holds there (0.875)"
    )


@pytest.mark.parametrize("commit", ["0" * 40 + "+changes", "unknown"])
def test_a_reference_needs_a_clean_commit_and_all_claims(
    results: Path, monkeypatch: pytest.MonkeyPatch, commit: str
) -> None:
    monkeypatch.setattr(provenance, "commit", lambda: commit)
    refused("clean commit", *smoke(reference="true"))
    monkeypatch.setattr(provenance, "commit", lambda: "0" * 40)
    refused("claim=", *smoke(reference="true", claim="A2"))
    assert not results.exists()


def test_figures_show_what_there_is_when_runs_diverged() -> None:
    rows = [
        {"set": "logistic/one", "examples": 100, "l2": "0", "batch": str(size), "batch_size": size, "steps": 40,
         "method": method, "readout": "last", "lr": 1.0, "seed": seed, "run": "r", "edge": False,
         "value": np.inf if method == "sgd" and (size == 8 or seed == 1) else 0.1 / (seed + 1)}
        for size in (8, 32) for method in ("sgd", "adagrad") for seed in range(3)
    ]  # fmt: skip
    chosen = yaml.safe_load((CONFIGS / "paper" / PAPER / "smoke.yaml").read_text())[STUDY]
    rows = [
        {**row, "eps": "1e-10", "sampling": "replacement", "grid": "factor 4", "set": "logistic/one"} for row in rows
    ]
    chosen |= {"l2": [0], "methods": {"sgd": [], "adagrad": []}, "readouts": {"last": "gap"}}
    figures.use()
    drawn = gap_by_batch_size.draw(
        Outcome(pd.DataFrame(rows), pd.DataFrame(rows)), settings.build(gap_by_batch_size.Settings, chosen, STUDY)
    )
    assert list(drawn) == ["gap_by_batch_size", "picked_rates", "rates_tried"]
    for figure, caption in drawn.values():
        figure.savefig(io.BytesIO())
        plt.close(figure)
        assert "learning rate" in caption or "Learning rate" in caption or "rates" in caption


# Plans and reports of what is not there ------------------------------------------------------------------------------


def test_a_plan_writes_nothing(results: Path, tmp_path: Path) -> None:
    ended = command(*smoke(store=str(tmp_path / "store"), plan="true"))
    assert (ended.code, ended.err) == (0, "")
    assert "tuning: 36 runs, 0 done, 36 to do in 9 jobs" in ended.out
    assert re.search(r"about .* on this machine, .* of disk", ended.out)
    assert not results.exists()
    assert not (tmp_path / "store").exists()


def test_a_plan_of_what_is_done_says_so_and_writes_nothing(done: Done, results: Path) -> None:
    before = contents(done.store)
    ended = command(*smoke(store=str(done.store), plan="true"))
    assert ended.code == 0
    assert re.search(r"tuning: (\d+) runs, \1 done, 0 to do in 0 jobs", ended.out)
    assert re.search(r"fresh seeds: (\d+) runs, \1 done, 0 to do in 0 jobs", ended.out)
    assert not results.exists(), "a plan judges nothing"
    assert contents(done.store) == before


def test_a_report_on_an_empty_store(results: Path, tmp_path: Path) -> None:
    ended = command(*smoke(store=str(tmp_path / "store"), report="true"))
    assert ended.code == 2
    assert ended.err == "error: 36 of 36 runs (tuning) are missing: run without report=true\n"
    assert not results.exists()
    assert not (tmp_path / "store").exists()


def test_where_runs_are_kept(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def no_session(store: str | Path, **_: bool) -> None:
        asked.append(Path(store))
        raise settings.SettingError("far enough")

    monkeypatch.setattr(reproduce, "Session", no_session)
    monkeypatch.setattr(provenance, "commit", lambda: "0" * 40)
    refused("far enough", *SMOKE)
    refused("far enough", *smoke(reference="true"))
    refused("far enough", *smoke(store="/elsewhere"))
    refused("far enough", *smoke(store="/elsewhere", reference="true"))
    fresh = results / "runs" / f"reference-{provenance.code_digest()}"
    assert asked == [results / "runs", fresh, Path("/elsewhere"), Path("/elsewhere")]


# Settings of the user ------------------------------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path: Path) -> Callable[[str], str]:
    """The word that names a file with this text."""

    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return f"settings={path}"

    return write


def refused(wanted: str, *words: str) -> None:
    ended = command(*words)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1, ended.err
    assert wanted in ended.err


def test_settings_of_the_user_replace_ours_and_no_others(mine: Callable[[str], str], results: Path) -> None:
    words = smoke(plan="true", settings=mine(f"{STUDY}: {{tuning_seeds: [7, 8], batch_sizes: [16]}}").partition("=")[2])
    assert "tuning: 24 runs, 0 done, 24 to do in 3 jobs" in command(*words).out
    options = reproduce.read([*SMOKE, mine(f"{STUDY}: {{passes: 5}}")])
    ours = yaml.safe_load((CONFIGS / "paper" / PAPER / "smoke.yaml").read_text())
    assert reproduce._settings(PAPER, options) == {**ours, STUDY: {**ours[STUDY], "passes": 5}}
    assert not results.exists()


@pytest.mark.usefixtures("no_drawing")
def test_a_plan_leads_to_those_runs(mine: Callable[[str], str], tmp_path: Path, results: Path) -> None:
    text = f"{STUDY}: {{passes: 1, batch_sizes: [128], seeds: [3, 4], readouts: {{average: average/gap}}}}"
    ended = command(*SMOKE, f"store={tmp_path / 'store'}", mine(text))
    assert (ended.code, ended.err) == (0, "")
    table = api.load_runs(tmp_path / "store")
    assert set(table["batch_size.size"]) == {128}
    assert set(table.seed) == {1000, 3, 4}
    assert set(table["budget.examples"]) == {569}
    origin = json.loads((results / "local" / PAPER / "smoke" / "verdicts.json").read_text())["provenance"]
    assert origin["settings"][STUDY]["passes"] == 1
    assert "A3 not testable at this scale" in ended.out, "one batch size is no trend"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("gap_by_batch_siz: {passes: 3}", "there is no study 'gap_by_batch_siz' in adagrad-anisotropic: did you mean"),
        (f"{STUDY}: {{passe: 3}}", "did you mean 'passes'?"),
        (f"{STUDY}: {{passes: x}}", "passes must be a whole number, not 'x'"),
        (f"{STUDY}: {{passes: 0}}", "passes must be at least 1, not 0"),
        (f"{STUDY}: {{factor: 1}}", "factor must be greater than 1"),
        (f"{STUDY}: {{sampling: shuffled}}", "did you mean 'reshuffled'?"),
        (f"{STUDY}: {{batch_sizes: 8}}", "batch_sizes must be"),
        (f"{STUDY}: 3", "must hold settings"),
        ("", "must hold settings"),
        ("[1]", "must hold settings"),
        ("a: [", "is not YAML"),
        (f"{STUDY}: {{sets: [logistic/nope]}}", "there is no task 'logistic/nope'"),
        (f"{STUDY}: {{batch_sizes: [4096]}}", "none of these batch sizes is at most the size of a set"),
        (f"{STUDY}: {{l2: [-1]}}", "l2"),
        (f"{STUDY}: {{methods: {{sgd: [optimizer=sgdd], adagrad: [optimizer=adagrad]}}}}", "did you mean 'sgd'?"),
    ],
)
def test_settings_that_cannot_be_used(mine: Callable[[str], str], results: Path, text: str, wanted: str) -> None:
    refused(wanted, *smoke(plan="true"), mine(text))
    assert not results.exists()


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stops what does not end, before it has filled the memory."""

    def stop(*_: object) -> None:
        raise AssertionError(f"not done after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def grid(sgd: str) -> str:
    return f"grid: {{sgd: {sgd}, 'sgd, 1/sqrt(t)': [1, 2], adagrad: [1, 2]}}"


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("batch_sizes: [8, x]", "batch_sizes"),
        ("batch_sizes: [0]", "batch_sizes"),
        ("batch_sizes: [8.5]", "batch_sizes"),
        ("batch_sizes: []", "batch_sizes"),
        ("batch_sizes: [64, 64]", "batch_sizes"),
        ("sets: []", "sets"),
        ("l2: [abc]", "l2"),
        ("l2: []", "l2"),
        ("seeds: []", "seeds"),
        ("seeds: [x]", "seeds"),
        ("seeds: [0, 1.5]", "seeds"),
        ("seeds: [0, 0]", "seeds"),
        ("seeds: [-1, 0]", "seeds"),
        ("tuning_seeds: []", "tuning_seeds"),
        ("tuning_seeds: [0]", "seeds"),
        ("readouts: {}", "readouts"),
        ("methods: {}", "methods"),
        ("methods: {sgd: optimizer=sgd, adagrad: [optimizer=adagrad]}", "methods"),
        ("methods: {sgd: [optimizer=sgd], adagrad: [optimizer=adagrad], new: [optimizer=adam]}", "new"),
        ("grid: {sgd: [1, 2]}", "grid"),
        (grid("3"), "grid"),
        (grid("[2, 1]"), "grid"),
        (grid("[1, 2, 3]"), "grid"),
        (grid("[a, b]"), "grid"),
        (grid("[0, 2]"), "grid"),
        (grid("[-2, -1]"), "grid"),
        (grid("[-1, 1]"), "grid"),
        (grid("[.nan, 1]"), "grid"),
        (grid("[1, .inf]"), "grid"),
    ],
)
def test_settings_of_the_study_that_cannot_be_used(
    mine: Callable[[str], str], results: Path, setting: str, wanted: str
) -> None:
    with at_most(2.0):
        refused(wanted, *smoke(plan="true"), mine(f"{STUDY}: {{{setting}}}"))
    assert not results.exists()


# Words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["paper=adagrad-anisotropy"], "there is no paper 'adagrad-anisotropy': did you mean 'adagrad-anisotropic'?"),
        (["paper=adagrad_anisotropic"], "did you mean 'adagrad-anisotropic'?"),
        (["paper="], "choose from: adadagrad, adagrad-anisotropic, practical-adam"),
        ([f"paper={PAPER}", "scale=smok"], f"{PAPER} has no scale 'smok': did you mean 'smoke'?"),
        ([f"paper={PAPER}", "scale=../smoke"], "has no scale '../smoke'"),
        ([*SMOKE, "claim=A22"], "there is no claim 'A22': did you mean 'A2'?"),
        ([*SMOKE, "claim=B7"], "choose from: A2, A3"),
        ([*SMOKE, "clam=A2"], "there is no option 'clam': did you mean 'claim'?"),
        ([*SMOKE, "plan"], "'plan' is not an option"),
        ([*SMOKE, "plan=yes please"], "plan must be true or false"),
        ([*SMOKE, "settings=/none.yaml"], "settings=/none.yaml cannot be read"),
        ([*SMOKE, "settings=/"], "settings=/ cannot be read"),
        (["-m"], "'-m' is not an option"),
    ],
)
def test_words_that_cannot_be_used(results: Path, words: list[str], wanted: str) -> None:
    refused(wanted, *words)
    assert not results.exists()


def test_a_store_that_cannot_be_written(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused("cannot be written", *smoke(store=str(tmp_path / "file" / "store")))
    assert not results.exists()


def test_data_that_are_not_here(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "nothing"))
    refused("is missing: no ", f"paper={PAPER}", "scale=workstation", "plan=true")
    assert not results.exists()


def test_sets_that_are_not_here_are_left_out(
    results: Path, mine: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "nothing"))
    sets = mine(f"{STUDY}: {{sets: [logistic/a4a, logistic/breast_cancer]}}")
    ended = command(*smoke(store=str(tmp_path / "store"), plan="true"), sets)
    assert ended.code == 0
    assert ended.err.startswith("skipped: the data set libsvm/a4a is missing")
    assert ended.err.count("\n") == 1
    assert "tuning: 36 runs" in ended.out
    assert not results.exists()


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(word: str) -> None:
    ended = command(word)
    assert (ended.code, ended.err) == (0, "")
    for part in ("paper=", "scale=", "claim=", "settings=", "plan=true", "report=true", f"papers: adadagrad, {PAPER}"):
        assert part in ended.out


# Marks ---------------------------------------------------------------------------------------------------------------


def leaves(text: str) -> dict[str, str]:
    """The settings of a YAML file (plain values and lists, by their path) with the comment that follows each."""
    lines = text.splitlines()
    found: dict[str, str] = {}

    def visit(node: yaml.Node, path: str) -> None:
        if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
            for key, value in node.value:
                visit(value, f"{path}.{key.value}".lstrip("."))
        elif isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
            for place, value in enumerate(node.value):
                visit(value, f"{path}[{place}]")
        else:
            end = node.end_mark
            rest = lines[end.line][end.column :] if end.line < len(lines) else ""
            found[path] = rest.partition("#")[2].strip()

    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if root is not None:
        visit(root, "")
    return found


def unmarked(text: str) -> list[str]:
    """Settings whose comment says not where they come from: [S] seen, [R] recalled, [D] derived, [O] ours."""
    return [path for path, comment in leaves(text).items() if not re.search(r"\[[SRDO]\]", comment)]


@pytest.mark.parametrize("path", SCALES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_setting_says_where_it_comes_from(path: Path) -> None:
    assert unmarked(path.read_text()) == []


@pytest.mark.parametrize("path", SCALES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_mark_that_is_taken_away_is_missed(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    marked = [i for i, line in enumerate(lines) if not line.startswith("#") and re.search(r"#.*\[[SRDO]\]", line)]
    assert len(marked) == len(leaves(text)) > 10
    for i in marked:
        bare = [*lines[:i], re.sub(r"\s+#.*", "", lines[i]), *lines[i + 1 :]]
        assert len(unmarked("\n".join(bare))) == 1, lines[i]


def test_the_check_itself() -> None:
    assert unmarked("a: 1  # [O]\nb:\n  c: [1, 2]  # why [S]\n  d: x # [R]\n") == []
    assert unmarked("a: 1\nb: {c: 1, d: 2}  # [D] both\nc: []\n") == ["a", "c"]
    assert unmarked("# [O] a title\na: 1  # ours\n") == ["a"]
    assert unmarked("a: '[O]'\nb: [O]\nc: '# [O]'\n") == ["a", "b", "c"], "a value is no comment"
    assert unmarked("a:\n  - 1  # [O]\n  - 2\n") == ["a[1]"]
    assert unmarked("a: 1  # [X]\nb: 2  # O\nc: 3 # []\n") == ["a", "b", "c"]
    assert unmarked("a:\n") == ["a"]


@pytest.mark.parametrize("path", SCALES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_setting_of_a_study_is_stated(path: Path) -> None:
    """None is left to a default in the code, where it would have no mark."""
    package = f"experiments.papers.{path.parent.name.replace('-', '_')}.studies"
    for study, chosen in yaml.safe_load(path.read_text()).items():
        module = __import__(f"{package}.{study}", fromlist=["Settings"])
        assert sorted(chosen) == sorted(settings.names(module.Settings))


@pytest.mark.parametrize("path", SCALES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_seeds_and_grids_are_fair(path: Path) -> None:
    for chosen in yaml.safe_load(path.read_text()).values():
        if "tuning_seeds" not in chosen:
            continue
        assert not set(chosen["tuning_seeds"]) & set(chosen["seeds"]), "fresh seeds were never tuned on"
        tried = [sorted(part["rates"]) for part in chosen.get("networks", {}).values()]
        steps = [later / earlier for rates in tried for earlier, later in itertools.pairwise(rates)]
        factor = np.atleast_1d(chosen["factor"])[0] if "factor" in chosen else max(steps, default=1.0)
        if path.stem != "smoke":
            assert len(chosen["seeds"]) >= 5
            assert factor <= (2.0 if "methods" in chosen else 4.0), "grids that widen themselves are finer"
        for part in (chosen, *chosen.get("families", {}).values()):
            if "grid" not in part:
                continue
            assert list(part["grid"]) == list(chosen["methods"])
            rates = {m: round(np.log(high / low) / np.log(factor)) + 1 for m, (low, high) in part["grid"].items()}
            assert len(set(rates.values())) == 1, f"the same tuning budget for every method, not {rates}"
