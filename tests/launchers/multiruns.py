"""What the tests of the launchers share: commands that have been started, and waiting for what they do."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

Start = Callable[..., "Command"]


@dataclass
class Command:
    """A multirun that has been started."""

    process: subprocess.Popen[str]

    def end(self, seconds: float = 120.0) -> tuple[int, str, str]:
        """Wait; the exit code and what it printed."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
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
