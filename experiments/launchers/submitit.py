"""Jobs of a SLURM cluster, one for each job of the multirun; or processes here that are treated in the same way."""

import contextlib
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.components import ROOT
from experiments.launcher import JobLost, Launcher, Words, Work
from optim.settings import SettingError, setting

# Submitit's own files, for each command: what it hands to a job and gets back (pickled), scripts and logs.
FOLDER = ROOT / ".cache" / "submitit"
_LARGEST_ARRAY = 1000  # jobs; SLURM's own limit is 1001 unless the cluster says otherwise
_LOOK_EVERY = {"slurm": 2.0, "local": 0.05}  # seconds


@dataclass(kw_only=True)
class Submitit(Launcher):
    """Jobs that submitit hands to SLURM. A job that runs out of time, or is pre-empted, is queued again and goes on."""

    executor: str = setting("slurm", choices=("slurm", "local"), doc="local: processes on this machine, to try it out")
    partition: str | None = setting(None, doc="SLURM's partition (default: the cluster's)")
    account: str | None = setting(None, doc="account that the time is charged to")
    hours: float = setting(1.0, above=0.0, doc="time limit of a job; it is queued again at most three times")
    gpus: int = setting(0, minimum=0, doc="GPUs of a job")
    cpus: int = setting(1, minimum=1, doc="cores of a job, and its number of threads")
    memory_gb: int | None = setting(None, minimum=1, doc="memory of a job, GB (default: the cluster's)")
    at_once: int | None = setting(None, minimum=1, doc="most jobs at once (default: 256; local: cores / launcher.cpus)")
    setup: str | None = setting(None, doc="shell commands before a job: 'module load cuda; export DATA_DIR=/data'")

    @property
    def remote(self) -> bool:
        return self.executor == "slurm"

    def refuse(self, device: str) -> None:
        if device.startswith("cuda") and not self.gpus:
            raise SettingError(f"device={device} needs a GPU: give launcher.gpus=1")
        if self.executor == "slurm" and shutil.which("sbatch") is None:
            raise SettingError(
                "launcher=submitit hands jobs to SLURM, and there is no sbatch on this machine: "
                "run it on a login node of a cluster, or give launcher.executor=local"
            )

    def launch(self, work: Work, jobs: Sequence[Words]) -> Iterator[tuple[int, Exception | None]]:
        import submitit

        folder = FOLDER / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        executor = submitit.AutoExecutor(folder / "%j", cluster=self.executor)
        executor.update_parameters(**self._parameters())
        waiting, failed = list(enumerate(jobs)), False
        running: dict[int, Any] = {}
        try:
            while waiting or running:
                room = _LARGEST_ARRAY if self.remote else self._at_once() - len(running)
                batch, waiting = waiting[:room], waiting[room:]
                if batch:
                    words = [words for _, words in batch]
                    submitted = executor.map_array(_Job(work), words)
                    running |= {number: job for (number, _), job in zip(batch, submitted, strict=True)}
                time.sleep(_LOOK_EVERY[self.executor])
                for number in [number for number, job in running.items() if job.done()]:
                    problem = _outcome(running.pop(number), self.remote, folder)
                    failed = failed or problem is not None
                    yield number, problem
        finally:
            self._end(list(running.values()))
            if not failed and not running and not waiting:
                shutil.rmtree(folder, ignore_errors=True)

    def _at_once(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.at_once or max(1, cores // self.cpus)

    def _parameters(self) -> dict[str, Any]:
        """The settings by submitit's names."""
        lines = [f"export OMP_NUM_THREADS={self.cpus}", *([self.setup] if self.setup else [])]
        parameters: dict[str, Any] = {"timeout_min": math.ceil(60 * self.hours), "gpus_per_node": self.gpus}
        parameters |= {"name": "anisotropy", "cpus_per_task": self.cpus, "stderr_to_stdout": True}
        if self.memory_gb is not None:
            parameters["mem_gb"] = self.memory_gb
        if self.executor == "local":
            return {**parameters, "local_setup": lines}
        named = {"slurm_partition": self.partition, "slurm_account": self.account, "slurm_setup": lines}
        parameters |= {name: value for name, value in named.items() if value}
        return {**parameters, "slurm_array_parallelism": self.at_once or 256}

    def _end(self, running: Sequence[Any]) -> None:
        """Cancel the jobs that still run."""
        for job in running:
            if self.remote:
                job.cancel(check=False)
            else:
                _kill(int(job.job_id))


def _outcome(job: Any, remote: bool, folder: Path) -> Exception | None:
    """What went wrong in a job that has ended."""
    import submitit

    try:
        if remote or job.paths.result_pickle.exists():  # files of another machine may take seconds to appear here
            problem: Exception | None = job.result()
            return problem
    except submitit.core.utils.UncompletedJobError:
        pass
    return JobLost(
        "a job of launcher=submitit ended before its runs did (killed, or out of memory or time); its log is in "
        f"{folder}, and the same command goes on from the last checkpoint"
    )


@dataclass
class _Job:
    """What submitit runs: a job that can be queued again, because it goes on from its own checkpoint."""

    work: Work

    def __call__(self, words: Words) -> Exception | None:
        return self.work(words)

    def checkpoint(self, words: Words) -> Any:
        """What to queue again when the time is up: the same."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, words)


def _kill(pid: int) -> None:
    """Kill a shell of submitit's local executor and what it has started, to which it would pass no signal on."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        shell = psutil.Process(pid)
        for process in (shell, *shell.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
