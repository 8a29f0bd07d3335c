"""How the processes of a distributed run keep together: process 0 tells, the others follow.

Process 0 does what a process alone does: it has the store, logs and prints. Before each job it tells the others which
runs it begins, and at last that there are no more. The others find these runs in what their own command line asks
for; they write and print nothing. What is told is JSON and safetensors, and nothing is unpickled.

A process that fails ends at once with an exit code, whatever the others wait for, so that torchrun ends them too.
"""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
from torch import Tensor

from data import DataError
from experiments.distributed import ProcessLost, world
from experiments.job import Job
from experiments.loop import Loop, Sink
from experiments.spec import Run
from optim.settings import SettingError

Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]
_GRACE = 2.0  # seconds


def tell(what: Literal["go", "begin", "wait", "end"], job: Job | None = None) -> None:
    """Process 0 finds nothing wrong, begins a job, waits for what others compute of the same runs, or has no more."""
    if world().size == 1:
        return
    world().tell(json.dumps({"do": what, "runs": [run.id for run in job.runs] if job else []}).encode())


def follow(runs: Sequence[Run]) -> None:
    """Compute this process's share of every job that process 0 begins, until it has no more.

    Raises SettingError if process 0 begins other runs than these, ProcessLost if it ends.
    """
    by_id = {run.id: run for run in runs}
    while (told := json.loads(world().tell(None)))["do"] != "end":
        if told["do"] == "begin":
            if not by_id.keys() >= set(told["runs"]):
                raise SettingError("process 0 runs something else: give all processes the same command and data")
            Loop(Job(tuple(by_id[name] for name in told["runs"])), _Follower()).run(checkpoint_seconds=math.inf)


def take_part(find: Callable[[], Sequence[Sequence[Run]]]) -> int:
    """All that a process other than 0 does in a command: follow in the runs it finds. Returns its exit code.

    Silent, unless something is wrong here that is not wrong in process 0 as well, which says it and ends.
    """
    try:
        with _silence():
            try:
                found = find()
            except Exception:
                world().tell(None)
                raise
            world().tell(None)
            for runs in found:
                follow(runs)
    except KeyboardInterrupt:
        return 130
    except ProcessLost:
        return 1
    except Exception as problem:
        time.sleep(_GRACE)  # torchrun ends this process meanwhile if process 0 has the same problem
        kind = "" if isinstance(problem, SettingError | DataError) else f"{type(problem).__name__}: "
        print(f"error: process {world().rank} of {world().size}: {kind}{problem}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with Path(os.devnull).open("w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        yield


def leading(sink: Sink) -> Sink:
    """The sink of process 0 for a job: its own, and what it loads the others are told."""
    return _Leader(sink) if world().size > 1 else sink


class _Leader:
    def __init__(self, sink: Sink) -> None:
        self.append, self.save, self._load = sink.append, sink.save, sink.load

    def load(self) -> Checkpoint | None:
        kept = self._load()
        world().tell(json.dumps(kept[1] if kept else None).encode())
        if kept:
            world().tell(safetensors.torch.save(kept[0]))
        return kept


class _Follower:
    """The sink of the other processes: process 0 keeps the rows and the checkpoints."""

    def append(self, row: dict[str, Any]) -> None:
        pass

    def save(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        pass

    def load(self) -> Checkpoint | None:
        """What process 0 has loaded, copied into memory of torch's own (why: see `files.read_checkpoint`)."""
        numbers = json.loads(world().tell(None))
        if numbers is None:
            return None
        return {name: t.clone() for name, t in safetensors.torch.load(world().tell(None)).items()}, numbers
