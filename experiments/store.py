"""The store: one folder per job, with its runs indexed inside; nothing in it is ever unpickled.

<store>/jobs/<job>/job.json           the runs of the job and their configuration
                  /provenance.json    code, libraries, hardware, of the process that ran it last
                  /metrics.jsonl      rows, appended as the job goes; one value per lane and metric
                  /checkpoint.safetensors
                  /result.json        how each run ended; its presence means that the job is finished
                  /error.txt          why the last attempt failed, if it did
                  /lock               held by the process that runs the job
"""

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from experiments import files, provenance
from experiments.job import Job
from experiments.locks import locked
from experiments.loop import Outcome
from optim.settings import SettingError


class JobFolder:
    """The folder of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._result: dict[str, Any] | None = None

    @property
    def finished(self) -> bool:
        """Whether the job has a result."""
        return (self.path / "result.json").exists()

    @property
    def started(self) -> bool:
        """Whether the job has a checkpoint to resume from."""
        return (self.path / "checkpoint.safetensors").exists()

    def describe(self) -> dict[str, Any]:
        """What `Job.describe` wrote."""
        return self._read("job.json")

    def result(self) -> dict[str, Any]:
        """How the job ended, which is read once: it does not change any more."""
        if self._result is None:
            self._result = self._read("result.json")
        return self._result

    def provenance(self) -> dict[str, Any]:
        """Where its numbers come from."""
        return self._read("provenance.json")

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows so far, up to the first that is torn: it was being written when the process died."""
        try:
            with (self.path / "metrics.jsonl").open(encoding="utf-8") as lines:
                for line in lines:
                    if not line.endswith("\n"):
                        return
                    yield json.loads(line)
        except (FileNotFoundError, ValueError):
            return

    def _read(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.path / name).read_text())
        return value


class Claim:
    """A job that this process holds: the sink of its loop. Released by `close`, or when the process dies."""

    def __init__(self, folder: JobFolder, lock: int, begun_by: Sequence[str] = ()) -> None:
        """begun_by: digests of other code that a part of the job was computed by."""
        self.folder, self._lock, self.begun_by = folder, lock, begun_by
        self._digest = hashlib.sha256()  # of the rows so far
        self._rows = (folder.path / "metrics.jsonl").open("ab")

    def append(self, row: dict[str, Any]) -> None:
        """Add a row and hand it to the system, so that a reader sees it."""
        line = json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        self._digest.update(line)
        self._rows.write(line)
        self._rows.flush()

    def save(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Keep a checkpoint that goes with the rows so far."""
        os.fsync(self._rows.fileno())
        numbers = {"loop": numbers, "rows": self._rows.tell(), "rows_digest": self._digest.hexdigest()}
        files.write_checkpoint(self.folder.path / "checkpoint.safetensors", tensors, numbers)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last checkpoint, after cutting the rows back to it; None, and no rows, if it or they are damaged."""
        kept = files.read_checkpoint(self.folder.path / "checkpoint.safetensors")
        rows = (self.folder.path / "metrics.jsonl").read_bytes()[: kept[1]["rows"]] if kept else b""
        self._digest = hashlib.sha256(rows)
        if kept and self._digest.hexdigest() != kept[1]["rows_digest"]:
            kept, rows, self._digest = None, b"", hashlib.sha256()
        if kept is None and self.folder.started:
            print(f"note: the checkpoint or the rows of job {self.folder.path.name} are damaged", file=sys.stderr)
        self._rows.truncate(len(rows))
        self._rows.seek(0, os.SEEK_END)
        return (kept[0], kept[1]["loop"]) if kept else None

    def finish(self, job: Job, outcome: Outcome, facts: dict[str, Any]) -> None:
        """Write down how the job ended, with facts about its task. From here on its runs are never run again."""
        last: dict[str, Any] = {}
        for row in self.folder.rows():
            last = row if "metrics" in row else last
        if last.get("step") != outcome.steps:
            raise RuntimeError(f"the rows of job {job.id} end at step {last.get('step')}, not at {outcome.steps}")
        runs = {}
        for lane, (run, at) in enumerate(zip(job.runs, outcome.diverged_at, strict=True)):
            final = {k: v[lane] for k, v in last.get("metrics", {}).items()} if at is None else {}
            runs[run.id] = {"status": "finished" if at is None else "diverged", "diverged_at": at, "metrics": final}
        result: dict[str, Any] = {"steps": outcome.steps, "examples": outcome.examples, "seconds": outcome.seconds}
        result |= {"runs": runs, "task": facts}
        files.write_json(self.folder.path / "result.json", result)
        (self.folder.path / "error.txt").unlink(missing_ok=True)

    def fail(self, reason: str) -> None:
        """Write down why the job failed; it will be tried again."""
        files.write_text(self.folder.path / "error.txt", reason + "\n")

    def close(self) -> None:
        """Let the job go."""
        self._rows.close()
        os.close(self._lock)


class Store:
    """All jobs under one folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.jobs = self.folder / "jobs"
        self.told: set[str] = set()  # other code that computed runs, and that was said
        self._known: dict[str, dict[str, Any]] = {}
        self._finished: dict[str, JobFolder] = {}  # by name of the job, as far as this object has looked
        self._of_run: dict[str, JobFolder] = {}  # the same, by run

    def require_writable(self) -> None:
        """Raise SettingError if nothing can be written here."""
        try:
            self.jobs.mkdir(parents=True, exist_ok=True)
            probe = self.jobs / f".writable.{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as problem:
            raise SettingError(f"store={self.folder} cannot be written ({problem.strerror}): choose another") from None

    def folders(self) -> list[JobFolder]:
        """Every job in the store, finished or not, in order of name."""
        if not self.jobs.is_dir():
            return []
        return [JobFolder(p) for p in sorted(self.jobs.iterdir()) if (p / "job.json").exists()]

    def find(self, ids: Iterable[str]) -> dict[str, JobFolder]:
        """The finished jobs that hold these runs, by run."""
        self._look()
        return {run: self._of_run[run] for run in ids if run in self._of_run}

    def _look(self) -> None:
        """Take note of what was finished since the last look: what is finished stays as it is, unless it is removed."""
        names = self._names()
        if not names >= self._finished.keys():
            self._finished, self._of_run = {}, {}
        for name in sorted(names - self._finished.keys()):
            folder = JobFolder(self.jobs / name)
            if folder.finished and (folder.path / "job.json").exists():
                self._finished[name] = folder
                self._of_run |= {run["run"]: folder for run in self._describe(folder)["runs"]}

    def _names(self) -> set[str]:
        return {path.name for path in self.jobs.iterdir()} if self.jobs.is_dir() else set()

    def _others(self) -> list[JobFolder]:
        """The jobs that were not finished when last looked, in order of name."""
        others = [JobFolder(self.jobs / name) for name in sorted(self._names() - self._finished.keys())]
        return [folder for folder in others if (folder.path / "job.json").exists()]

    def unfinished(self) -> list[tuple[JobFolder, list[str]]]:
        """Jobs that were begun and have a checkpoint, with the identities of their runs in order."""
        self._look()
        begun = [folder for folder in self._others() if folder.started and not folder.finished]
        return [(f, [run["run"] for run in self._describe(f)["runs"]]) for f in begun]

    def _describe(self, folder: JobFolder) -> dict[str, Any]:
        name = folder.path.name
        if name not in self._known:
            self._known[name] = folder.describe()
        return self._known[name]

    def claim(self, job: Job) -> Claim | None:
        """Take a job for this process.

        None if another process holds it, or holds or has finished any of its runs in a job of another shape: look at
        the store again then.
        """
        mine = {run.id for run in job.runs}
        with locked(self.folder / "lock"):
            if self.find(mine):
                return None
            for folder in self._others():
                overlaps = any(run["run"] in mine for run in self._describe(folder)["runs"])
                # in this order: a job that is not held any more may just have been finished
                if overlaps and ((folder.path.name != job.id and _held(folder.path / "lock")) or folder.finished):
                    return None
            folder = JobFolder(self.jobs / job.id)
            folder.path.mkdir(parents=True, exist_ok=True)
            lock = _try_lock(folder.path / "lock")
            if lock is None:
                return None
            if folder.finished:  # by a process that has just let it go
                os.close(lock)
                return None
            for remains in folder.path.glob("*.part"):  # of a process that was killed while it wrote
                remains.unlink()
            origin = provenance.describe(job.experiment.device)
            if folder.started:
                before = folder.provenance()
                origin["before"] = sorted({*before["before"], before["code"]} - {origin["code"]})
            claim = Claim(folder, lock, begun_by=origin["before"])
            files.write_json(folder.path / "provenance.json", origin, indent=1)
            files.write_json(folder.path / "job.json", job.describe())
            return claim


def _try_lock(path: Path) -> int | None:
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _held(path: Path) -> bool:
    """Whether a living process holds this lock."""
    handle = _try_lock(path)
    if handle is None:
        return True
    os.close(handle)
    return False
