"""Commands in processes of their own, in an empty folder, as a user runs them."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from multiruns import Command, Start

from experiments import components


@pytest.fixture(autouse=True)
def one_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What submitit leaves lies in one folder of the clone: tests that look at it wait for each other."""
    with (tmp_path_factory.getbasetemp().parent / "launchers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start `python -m experiments.run -m` with these words, below tmp_path/here and with one thread each."""
    here = tmp_path / "here"
    here.mkdir()

    def call(*words: str, **environment: str) -> Command:
        own = {"PYTHONPATH": str(components.ROOT), "OMP_NUM_THREADS": "1", **environment}
        merged = {k: v for k, v in {**os.environ, **own}.items() if v}
        line = [sys.executable, "-m", "experiments.run", "-m", *words]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # in a group of its own: an interruption reaches the command alone, and what it leaves can be found
        return Command(subprocess.Popen(line, cwd=here, env=merged, start_new_session=True, **pipes))

    return call
