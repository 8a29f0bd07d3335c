"""What the README says is what happens: its examples are run, its verdicts are those of the committed references."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def copy_of_the_clone(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "optim", "experiments", "data", "configs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


DRIVER = """
import json, shlex, sys
from experiments import check_schedule, list as listing, reproduce, run

codes = {}
for command in json.load(sys.stdin):
    module, *words = shlex.split(command)
    main = {"run": run.main, "reproduce": reproduce.main, "check_schedule": check_schedule.main}[module.split(".")[1]]
    codes[command] = main(words if main is check_schedule.main else [*words, f"store={sys.argv[1]}"])
print("codes", json.dumps(codes))
listing.main(["--json"])
"""


def test_what_the_readme_adds_works(tmp_path: Path) -> None:
    """Every file of the section is written into a copy of the clone, then every command of it is run there."""
    section = README.split("## Add your own")[1].split("\n## ")[0]
    files = re.findall(r"```(?:python|yaml)\n# (\S+\.(?:py|yaml))\n(.*?)```", section, re.DOTALL)
    commands = re.findall(r"^\.venv/bin/python -m (experiments\..*)$", section, re.MULTILINE)
    assert len(files) == 10
    assert len(commands) == 7
    copy_of_the_clone(tmp_path)
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(store)],
        input=json.dumps(commands),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    codes, _, listed = done.stdout.partition("codes ")[2].partition("\n")
    assert set(json.loads(codes).values()) == {0}, done.stderr
    names = json.loads(listed)
    assert {"root_sgd"} <= set(names["optimizers"])
    assert {"hyperbolic"} <= set(names["sequences"])
    assert {"as_loss_falls"} <= set(names["batch_sizes"])
    assert {"huber"} <= set(names["tasks"])
    assert {"distance"} <= set(names["probes"])
    assert {"signs"} <= set(names["papers"])
    jobs: dict[object, list[dict[str, list[float]]]] = {}
    for folder in store.glob("jobs/*"):
        columns = json.loads((folder / "job.json").read_text())["columns"]
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        metrics = [row["metrics"] for row in rows]
        if "distance" in metrics[-1]:
            jobs["probed"] = metrics
        else:
            jobs[columns["optimizer"], columns["batch_size"], columns["task"]] = metrics
    rates = jobs["root_sgd", "constant", "logistic/breast_cancer"]
    assert len(rates[-1]["loss"]) == 3
    assert rates[-1]["loss"][0] < rates[0]["loss"][0], "a small rate must make the loss fall"
    sizes = [row["batch_size"][0] for row in jobs["adagrad", "as_loss_falls", "logistic/breast_cancer"][1:]]
    assert sizes[0] == 8
    assert sizes[-1] > 16
    decays = jobs["generic_adam", "constant", "logistic/breast_cancer"]
    assert len(decays[-1]["loss"]) == 6
    assert max(decays[-1]["loss"]) < decays[0]["loss"][0]
    huber = jobs["adam", "constant", "huber"]
    assert len(huber[-1]["loss"]) == 4
    assert max(huber[-1]["loss"]) < huber[0]["loss"][0]
    assert jobs["probed"][0]["distance"] == [0.0, 0.0]
    assert jobs["probed"][-1]["distance"][1] > jobs["probed"][-1]["distance"][0] > 0
    verdicts = json.loads((tmp_path / "results/local/signs/laptop/verdicts.json").read_text())["verdicts"]
    assert [v["claim"] for v in verdicts] == ["S1"]
    assert verdicts[0]["answer"] in ("holds", "fails", "inconclusive")
    assert verdicts[0]["n"] == 5
    assert (tmp_path / "results/local/signs/laptop/sign_against_sgd.png").stat().st_size > 5000


def test_the_python_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    third, first, second = (b for b in code_blocks("python") if "from experiments import api" in b)
    exec(first.replace("/tmp/anisotropy", str(tmp_path)), names)
    assert len(names["table"]) > 0  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    assert "finished" in shown
    assert "569" in shown
    exec(second.replace("/tmp/anisotropy", str(tmp_path)), names)
    assert len(names["runs"]) == 2  # type: ignore[arg-type]
    capsys.readouterr()
    exec(third, names)
    shown = capsys.readouterr().out
    assert "Eigenvalue(value=" in shown
    assert "variance_trace" in shown


PAPERS = {"adagrad-anisotropic": "A", "adadagrad": "B", "practical-adam": "P"}


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize(("column", "scale"), [(2, "laptop"), (3, "workstation")])
def test_the_verdicts_are_those_of_the_reference(paper: str, column: int, scale: str) -> None:
    kept = json.loads((ROOT / "results" / paper / scale / "verdicts.json").read_text())["verdicts"]
    rows = [row for row in README.splitlines() if row.startswith(f"| **{PAPERS[paper]}")]
    shown = {row.split("|")[1].split("**")[1]: row for row in rows}
    assert set(shown) == {v["claim"] for v in kept}
    for verdict in kept:
        assert shown[verdict["claim"]].split("|")[column].strip() == verdict["answer"]


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("scale", ["laptop", "workstation"])
def test_references_come_from_committed_code(paper: str, scale: str) -> None:
    origin = json.loads((ROOT / "results" / paper / scale / "verdicts.json").read_text())["provenance"]
    assert re.fullmatch(r"[0-9a-f]{40}", origin["commit"])
    assert origin["data"]
    assert origin["libraries"]["torch"]


def test_committed_results_are_small() -> None:
    for path in (ROOT / "results").glob("*/*/*"):
        if path.parts[-3] not in ("local", "runs"):
            assert path.stat().st_size < 1_000_000, path


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_lists_every_target() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = "setup reproduce-paper sweep test test-all lint data report dashboard reference bench clean"
    for target in wanted.split():
        assert re.search(rf"make {target}\s", shown), target
