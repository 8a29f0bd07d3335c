"""What the tests of the store share: the driver of mortal processes, and what there is to compare in a store."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import files

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9
WHOLE = {"job.json", "provenance.json", "metrics.jsonl", "checkpoint.safetensors", "result.json", "lock"}


def environment() -> dict[str, str]:
    """Of a process that computes the same bits as the driver's."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass
class Life:
    """One process: how it ended, the moments it passed, and where its output is."""

    pid: int
    trace: Path
    log: Path
    code: int | None = None

    @property
    def ticks(self) -> list[str]:
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [line for line in lines if " " not in line]

    def noted(self, what: str) -> list[int]:
        """Steps taken ("step") or saved ("saved"), in order."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [int(line.partition(" ")[2]) for line in lines if line.startswith(what + " ")]


@dataclass
class Driver:
    """The driver: starts processes that carry out a scenario on a store."""

    folder: Path
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kill_driver.py"))],
            cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._numbers = itertools.count()

    def _ask(self, order: dict[str, Any]) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(
        self, scenario: str, store: Path, at: str | None = None, n: int | None = None, every: int = 1,
        slow: float = 0.0, checkpoint_seconds: float = 0.0,
    ) -> Life:  # fmt: skip
        """A process that dies at the n-th tick `at` (None: of any name), or never; `every`: which checkpoints it
        writes, beside the last; `slow`: seconds added to a step.
        """
        number = next(self._numbers)
        trace, log = self.folder / f"{number}.trace", self.folder / f"{number}.log"
        order = {"do": "start", "scenario": scenario, "store": str(store), "at": at, "n": n, "every": every}
        order |= {"slow": slow, "checkpoint_seconds": checkpoint_seconds, "trace": str(trace), "log": str(log)}
        return Life(self._ask(order), trace, log)

    def wait(self, life: Life) -> Life:
        life.code = self._ask({"do": "wait", "pid": life.pid})
        assert life.code in (0, KILLED), life.log.read_text()
        return life

    def live(self, scenario: str, store: Path, **how: Any) -> Life:
        """Start and wait."""
        return self.wait(self.start(scenario, store, **how))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def driver(folder: Path) -> Iterator[Driver]:
    made = Driver(folder)
    try:
        yield made
    finally:
        made.close()


def job_folders(store: Path) -> list[Path]:
    return sorted(p for p in (store / "jobs").iterdir() if p.is_dir())


def rows(folder: Path) -> list[dict[str, Any]]:
    """Every line of metrics.jsonl, which must be whole."""
    text = (folder / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def numbers(store: Path) -> dict[str, Any]:
    """All that a store says of its finished jobs, apart from seconds: to be equal to the bit."""
    return {folder.name: job_numbers(folder) for folder in job_folders(store) if (folder / "result.json").exists()}


def job_numbers(folder: Path) -> dict[str, Any]:
    tensors, about = files.read_checkpoint(folder / "checkpoint.safetensors")
    result = json.loads((folder / "result.json").read_text())
    seconds = result.pop("seconds")
    assert about["loop"].pop("seconds") <= seconds
    assert about["rows"] == (folder / "metrics.jsonl").stat().st_size
    return {
        "job": json.loads((folder / "job.json").read_text()),
        "rows": [{k: v for k, v in row.items() if k != "seconds"} for row in rows(folder)],
        "result": result,
        "checkpoint": json.dumps(about["loop"]),  # as text, in which NaN equals NaN
        "tensors": {k: (v.dtype, tuple(v.shape), v.numpy().tobytes().hex()) for k, v in tensors.items()},
    }


def runs_held(store: Path) -> Counter[str]:
    """How often each run is in a finished job."""
    held: Counter[str] = Counter()
    for folder in job_folders(store):
        if (folder / "result.json").exists():
            result = json.loads((folder / "result.json").read_text())
            assert list(result["runs"]) == [run["run"] for run in json.loads((folder / "job.json").read_text())["runs"]]
            held.update(list(result["runs"]))
    return held


def saved_step(store: Path) -> int:
    """The step of the one checkpoint of a store with one job; 0 without."""
    found = list((store / "jobs").glob("*/checkpoint.safetensors")) if (store / "jobs").exists() else []
    return int(files.read_checkpoint(found[0])[1]["loop"]["step"]) if found else 0
