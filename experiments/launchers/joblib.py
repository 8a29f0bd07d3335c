"""Processes on this machine, each of which computes jobs of the multirun, one after another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.launcher import JobLost, Launcher, Words, Work
from optim.settings import setting


@dataclass(kw_only=True)
class Joblib(Launcher):
    """Processes of joblib. They share out the cores as threads, unless OMP_NUM_THREADS says how many each one has."""

    processes: int | None = setting(None, minimum=1, maximum=1024, doc="how many at once (default: one for each core)")

    def launch(self, work: Work, jobs: Sequence[Words]) -> Iterator[tuple[int, Exception | None]]:
        import joblib
        from joblib.externals.loky import get_reusable_executor
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        processes = min(self.processes or joblib.cpu_count(), len(jobs))
        # loky, joblib's default, sets the number of threads in the environment that its processes start with
        parallel = joblib.Parallel(processes, batch_size=1, return_as="generator_unordered")
        results = parallel(joblib.delayed(_numbered)(work, number, words) for number, words in enumerate(jobs))
        try:
            yield from results
        except TerminatedWorkerError:
            raise JobLost(
                "a process of launcher=joblib was killed, by hand or for want of memory (launcher.processes= gives "
                "fewer); the same command goes on from the last checkpoints"
            ) from None
        finally:
            results.close()
            get_reusable_executor(reuse=True).shutdown(kill_workers=True)  # interrupted ones leave semaphores else


def _numbered(work: Work, number: int, words: Words) -> tuple[int, Exception | None]:
    return number, work(words)
