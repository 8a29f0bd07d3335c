"""The logger contract: a place where the runs of a store can be looked at, written from the store alone.

Rows go to the store first. What a logger shows of a run is made from the folder of its job, so that a run logged while
it goes and one exported later look the same.
"""

import contextlib
import sys
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from torch import Tensor
from tqdm import tqdm

from experiments import locks
from experiments.store import Claim, JobFolder, Store
from experiments.sweeps import Sweep
from optim.settings import SettingError


class NotLogged(SettingError):
    """The runs are in the store, and a logger could not show them."""


def said(problem: SettingError | OSError) -> str:
    """What went wrong, without numbers of errors."""
    if isinstance(problem, OSError):
        return f"{problem.filename} cannot be used ({problem.strerror})" if problem.filename else str(problem)
    return str(problem)


class Log(Protocol):
    """The runs of one job while they are written."""

    def row(self, row: dict[str, Any]) -> None:
        """Show a row of metrics.jsonl."""

    def finish(self, result: dict[str, Any]) -> int:
        """Show how the runs ended; from here on they are complete. Returns how many runs were written."""

    def close(self) -> None:
        """Leave runs that are not complete as they are: they are written afresh next time."""


class Logger(Protocol):
    """Its methods raise SettingError or OSError."""

    def where(self, store: Store) -> str:
        """Where the runs are, in a sentence."""

    def require(self, store: Store) -> None:
        """Raise SettingError if runs cannot be logged; called before any work."""

    def shown(self, store: Store) -> set[str]:
        """Runs that are complete where they are shown."""

    def open(self, store: Store, folder: JobFolder, only: Collection[str] | None = None) -> Log:
        """Begin to show the runs of a job (or `only` these) that are not shown yet.

        What an interrupted attempt left of them is replaced. The caller holds the lock of the job.
        """

    def summarise(self, store: Store, sweep: Sweep) -> bool:
        """Show a summary of a sweep whose runs are all in the store; False if it was there already."""


class LiveSink:
    """A claimed job whose rows are shown as they come: the sink of its loop.

    A logger that fails is left alone until the runs have ended: hours of training must not end with it.
    """

    def __init__(self, claim: Claim, logger: Logger, store: Store) -> None:
        self._claim, self._logger, self._store = claim, logger, store
        self._log: Log | None = None

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last checkpoint; the rows that go with it are shown again."""
        kept = self._claim.load()
        with self._forgiving():
            self._log = self._logger.open(self._store, self._claim.folder)
            for row in self._claim.folder.rows():
                self._log.row(row)
        return kept

    def append(self, row: dict[str, Any]) -> None:
        """Keep a row, then show it."""
        self._claim.append(row)
        if self._log:
            with self._forgiving():
                self._log.row(row)

    def save(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Keep a checkpoint."""
        self._claim.save(tensors, numbers)

    def finish(self) -> None:
        """Show how the runs ended; the store must have it."""
        if self._log:
            with self._forgiving():
                self._log.finish(self._claim.folder.result())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except (SettingError, OSError) as problem:
            print(f"note: {said(problem)}; the runs go on, and are logged when they have ended", file=sys.stderr)
            self._close()

    def _close(self) -> None:
        """Let go of runs that are not complete."""
        log, self._log = self._log, None
        if log:
            log.close()


def export(logger: Logger, store: Store, only: Collection[str] | None = None, quiet: bool = True) -> int:
    """Show the finished runs of a store (or `only` these) that are not shown yet; returns how many there were.

    Jobs that another process holds are left to that process.
    """
    shown = logger.shown(store)
    folders = [folder for folder in store.folders() if folder.finished]
    count = 0
    for folder in tqdm(folders, disable=quiet or not sys.stderr.isatty(), delay=3.0, leave=False, desc="jobs"):
        runs = {run["run"] for run in folder.describe()["runs"]}
        wanted = runs if only is None else runs.intersection(only)
        if wanted <= shown:
            continue
        with locks.if_free(folder.path / "lock") as free:
            if not free:
                continue
            log = logger.open(store, folder, wanted)
            try:
                for row in folder.rows():
                    log.row(row)
                count += log.finish(folder.result())
            finally:
                log.close()
    return count
