"""How long jobs take and how much disk they need, measured on a few of their own steps."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from experiments import recording
from experiments.job import Job
from experiments.loop import Loop

_WARM, _STEPS = 3, 30
_PATIENCE = 10.0  # seconds for measuring; jobs beyond it are taken to be like those before


@dataclass(frozen=True)
class Cost:
    """Seconds of wall clock and bytes of disk."""

    seconds: float
    bytes: float


class Nowhere:
    """A sink that counts and forgets."""

    def __init__(self) -> None:
        self.row_bytes, self.rows = 0, 0

    def append(self, row: dict[str, Any]) -> None:
        self.rows += 1
        self.row_bytes += len(json.dumps(row))

    def save(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Not called: an estimate is over before a checkpoint is due."""

    def load(self) -> None:
        return None


def cost(jobs: Sequence[Job]) -> Cost:
    """The cost of these jobs, one after another. Each is run for a few steps, and nothing is written."""
    started, seconds, disk = time.perf_counter(), 0.0, 0.0
    for done, job in enumerate(jobs):
        if time.perf_counter() - started > _PATIENCE:
            return Cost(seconds * len(jobs) / done, disk * len(jobs) / done)
        one = _measure(job)
        seconds, disk = seconds + one.seconds, disk + one.bytes
    return Cost(seconds, disk)


def _measure(job: Job) -> Cost:
    e = job.experiment
    sink = Nowhere()
    loop = Loop(job, sink)
    loop.advance(_WARM)
    began, before = time.perf_counter(), loop.state.examples
    steps = max(loop.advance(_STEPS), 1)
    seconds, examples = time.perf_counter() - began, loop.state.examples - before
    began = time.perf_counter()
    loop.record()
    per_row = time.perf_counter() - began
    training = {
        "steps": seconds / steps * e.budget.amount,
        "examples": seconds / max(examples, 1) * e.budget.amount,
        "seconds": e.budget.amount,
    }[e.budget.axis]
    rows = len(recording.points(e.record, e.budget)) + 1
    described = len(json.dumps(job.describe()))
    checkpoint = sum(t.nbytes for t in loop.tensors().values()) + 1000
    return Cost(training + per_row * rows, sink.row_bytes / sink.rows * rows + checkpoint + 2 * described)


def duration(seconds: float) -> str:
    """Seconds in words: "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in words."""
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"
