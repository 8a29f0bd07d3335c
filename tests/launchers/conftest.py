"""Commands in processes of their own, in an empty folder, as a user runs them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from experiments import components

Start = Callable[..., "Command"]


@dataclass
class Command:
    """A multirun that has been started."""

    process: subprocess.Popen[str]

    def end(self, seconds: float = 120.0) -> tuple[int, str, str]:
        """Wait; the exit code and what it printed."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


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


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def group_is_empty(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def kill_group(group: int) -> None:
    """Kill a command with all its processes, in one go."""
    os.killpg(group, signal.SIGKILL)
