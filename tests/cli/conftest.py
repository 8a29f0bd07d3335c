"""The command line, called in this process (importing torch takes seconds) and, for a few tests, in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from data import cache
from experiments import components, run


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder and a cache of its own. The data that come with scikit-learn are all that is at hand."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "cache")
    monkeypatch.delenv("DATA_DIR", raising=False)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """`python -m experiments.run` with these words, in this process."""

    def call(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["experiments.run"])
        capsys.readouterr()
        try:
            code = run.main(list(words))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Ended(code, *capsys.readouterr())

    return call


@pytest.fixture
def process() -> Command:
    """`python -m experiments.<first word>` with the other words, in a process of its own in the current folder."""

    def call(module: str, *words: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", f"experiments.{module}", *words],
            env={**os.environ, "PYTHONPATH": str(components.ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return call
