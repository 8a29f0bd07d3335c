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


def test_an_optimizer_is_added_in_one_file(tmp_path: Path) -> None:
    block = next(b for b in code_blocks("python") if b.startswith("# optim/rules/"))
    command = re.search(r"-m (experiments\.run optimizer=root_sgd .*)", README)
    assert command is not None
    copy_of_the_clone(tmp_path)
    (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    words = command[1].replace("'", "").split()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-m", *words, f"store={store}"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in next(store.glob("jobs/*/metrics.jsonl")).read_text().splitlines()]
    first, last = rows[0]["metrics"]["loss"], rows[-1]["metrics"]["loss"]
    assert rows[-1]["step"] == 200
    assert len(last) == 3
    assert last[0] < first[0], "a small rate must make the loss fall"
    listed = subprocess.run(
        [sys.executable, "-m", "experiments.list", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "root_sgd" in json.loads(listed.stdout)["optimizers"]


def test_the_python_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = next(b for b in code_blocks("python") if b.startswith("from experiments import api"))
    names: dict[str, object] = {}
    exec(block.replace("/tmp/anisotropy", str(tmp_path)), names)
    assert len(names["table"]) > 0  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    assert "finished" in shown
    assert "569" in shown


@pytest.mark.parametrize(("column", "scale"), [(2, "laptop"), (3, "workstation")])
def test_the_verdicts_are_those_of_the_reference(column: int, scale: str) -> None:
    kept = json.loads((ROOT / "results" / "adagrad-anisotropic" / scale / "verdicts.json").read_text())["verdicts"]
    shown = {row.split("|")[1].split("**")[1]: row for row in README.splitlines() if row.startswith("| **")}
    assert set(shown) == {v["claim"] for v in kept}
    for verdict in kept:
        assert shown[verdict["claim"]].split("|")[column].strip() == verdict["answer"]


@pytest.mark.parametrize("scale", ["laptop", "workstation"])
def test_references_come_from_committed_code(scale: str) -> None:
    origin = json.loads((ROOT / "results" / "adagrad-anisotropic" / scale / "verdicts.json").read_text())["provenance"]
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
