"""A progress bar with the time left, for anything that takes more than a few seconds."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from experiments.job import Job

_SHOW_AFTER = 3.0  # seconds


class Bar:
    """Progress over the jobs of a plan, in shares of a job weighted by the work it has to do."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet or not sys.stderr.isatty()
        self._bar: Any = None
        self._weights: dict[str, float] = {}
        self._base = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def plan(self, jobs: Sequence[Job]) -> None:
        """Announce the jobs to come."""
        self._weights = {job.id: _work(job) for job in jobs}
        self._base = 0.0
        self._current = next(iter(self._weights.values()), 0.0)
        if self._bar is not None:
            self._bar.close()
        self._bar = tqdm(
            total=sum(self._weights.values()),
            disable=self._quiet,
            delay=_SHOW_AFTER,
            miniters=0,
            leave=False,
            bar_format="{desc}{percentage:3.0f}% |{bar}| {elapsed} spent, {remaining} left",
            desc=f"{sum(job.lanes for job in jobs)} runs in {len(jobs)} jobs ",
        )

    def start(self, job: Job) -> None:
        """A job begins."""
        self._current = self._weights.get(job.id, 0.0)

    def advance(self, share: float) -> None:
        """The current job has done this share of its budget."""
        if self._bar is not None:
            self._bar.update(self._base + share * self._current - self._bar.n)

    def done(self, job: Job) -> None:
        """The current job is finished."""
        self._base += self._current
        if self._bar is not None:
            self._bar.update(self._base - self._bar.n)

    def say(self, text: str) -> None:
        """A line above the bar, for who is watching."""
        if not self._quiet:
            tqdm.write(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        """A line above the bar that is written in any case."""
        tqdm.write(text, file=sys.stderr)


def _work(job: Job) -> float:
    """A rough measure of the work: steps, each with a fixed cost and one per example and lane."""
    e = job.experiment
    size = getattr(e.batch_size, "size", 1)
    steps = e.budget.amount / size if e.budget.axis == "examples" else e.budget.amount
    return steps * (1.0 + size * job.lanes / 5000)
