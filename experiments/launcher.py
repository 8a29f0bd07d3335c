"""The contract of launchers: they run the jobs of a multirun in other processes, here or on a cluster."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from optim.settings import SettingError

Words = list[str]  # the command line of one job
Work = Callable[[Words], Exception | None]  # computes the job; returns what went wrong


class JobLost(RuntimeError):
    """A process ended before its job did; the same command goes on from the job's last checkpoint."""


@dataclass(kw_only=True)
class Launcher:
    """Base of launchers: a dataclass whose fields are its settings."""

    @property
    def remote(self) -> bool:
        """Whether the jobs run on other machines, so that this one may lack their GPUs."""
        return False

    def refuse(self, device: str) -> None:
        """Raise SettingError if jobs for this device cannot be launched from here."""

    def launch(self, work: Work, jobs: Sequence[Words]) -> Iterator[tuple[int, Exception | None]]:
        """Run `work` on every job in a process of its own; yields, as they end, a job's number and what went wrong.

        Ends all processes when it is closed or interrupted.
        """
        raise NotImplementedError


def run(launcher: Launcher, work: Work, jobs: Sequence[Words], runs: Sequence[int]) -> list[Exception]:
    """Launch the jobs, with a progress bar over their runs (`runs`: how many each has) on a terminal.

    Returns what went wrong, in order of the jobs.
    """
    if not jobs:
        return []
    problems: dict[int, Exception] = {}
    shown = "{n_fmt} of {total_fmt} runs are done |{bar}| {elapsed} spent, {remaining} left"
    with tqdm(total=sum(runs), disable=not sys.stderr.isatty(), leave=False, bar_format=shown) as bar:
        ended = launcher.launch(work, jobs)
        try:
            for number, problem in ended:
                bar.update(runs[number])
                if problem is not None:
                    problems[number] = problem
        finally:
            ended.close()  # type: ignore[attr-defined] # an interruption here must reach the processes at once
    return [problems[number] for number in sorted(problems)]


def require_one(jobs: Sequence[Words]) -> None:
    """Raise SettingError unless all jobs of a multirun have the same launcher and settings of it."""
    if len({tuple(word for word in words if chooses(word)) for words in jobs}) > 1:
        raise SettingError("a multirun has one launcher: give launcher and its settings one value each")


def chooses(word: str) -> bool:
    """Whether a word of the command line is about the launcher."""
    return re.match(r"[+~]*launcher\b", word) is not None
