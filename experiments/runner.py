"""The runner: computes what a set of runs still needs, one job after another, alone or beside other processes."""

import contextlib
import sys
import time
import traceback
from collections.abc import Sequence

from data import DataError
from experiments import following, planner, provenance
from experiments.distributed import world
from experiments.job import Job
from experiments.logger import LiveSink, Logger, NotLogged, export, said
from experiments.loop import Loop
from experiments.progress import Bar
from experiments.spec import Run
from experiments.store import Claim, Store
from optim.settings import SettingError


class RunFailed(RuntimeError):
    """Some jobs failed; the store has the reasons, and the same command tries them again."""


def complete(
    runs: Sequence[Run],
    store: Store,
    *,
    checkpoint_seconds: float = 60.0,
    quiet: bool = False,
    logger: Logger | None = None,
) -> None:
    """Make sure that every run is in the store, finished or diverged, and shown by the logger if there is one.

    Under torchrun this is what process 0 does, and the others help it. There the first job that fails is the last.

    Raises SettingError or DataError for what the user can mend, RunFailed after everything else was tried, NotLogged
    if only the logger failed.
    """
    if world().rank:
        following.follow(runs)
        return
    store.require_writable()
    failed: dict[str, str] = {}
    with Bar(quiet=quiet) as bar:
        while True:
            plan = planner.plan((run for run in runs if run.id not in failed), store)
            if not plan.jobs:
                break
            bar.plan(plan.jobs)
            progressed = False
            for job in plan.jobs:
                claim = store.claim(job)
                if claim is None:
                    continue
                progressed = True
                try:
                    _run(job, claim, bar, checkpoint_seconds, LiveSink(claim, logger, store) if logger else None)
                except (SettingError, DataError, OSError, KeyboardInterrupt):
                    raise
                except Exception as problem:
                    with contextlib.suppress(OSError):  # a full disk, perhaps
                        claim.fail(traceback.format_exc())
                    failed |= {run.id: f"{type(problem).__name__}: {problem}" for run in job.runs}
                    if world().size > 1:  # the others are in the middle of it, and end when this process does
                        raise _failure(failed, len(runs), store) from problem
                finally:
                    claim.close()
            if not progressed:
                bar.say("waiting for another process that is computing the rest")
                following.tell("wait")
                time.sleep(1.0)
    if failed:
        raise _failure(failed, len(runs), store)
    following.tell("end")
    _warn_of_other_code(runs, store)
    if logger:  # what the store had before, or other processes computed
        try:
            export(logger, store, {run.id for run in runs}, quiet)
        except (SettingError, OSError) as problem:
            remedy = "the runs are in the store, and `python -m experiments.export` shows them later"
            raise NotLogged(f"{said(problem)}: {remedy}") from problem


def _failure(failed: dict[str, str], wanted: int, store: Store) -> RunFailed:
    first = next(iter(failed.values()))
    return RunFailed(f"{len(failed)} of {wanted} runs failed; the first: {first} (details: {store.jobs}/*/error.txt)")


def _run(job: Job, claim: Claim, bar: Bar, checkpoint_seconds: float, live: LiveSink | None) -> None:
    if claim.begun_by:
        bar.warn(f"note: job {job.id} was begun by other code ({', '.join(claim.begun_by)}), with the same versions")
    bar.start(job)
    with live or contextlib.nullcontext():
        following.tell("begin", job)
        loop = Loop(job, following.leading(live or claim))
        outcome = loop.run(checkpoint_seconds, bar.advance)
        claim.finish(job, outcome, loop.task.describe())
        if live:
            live.finish()
    bar.done(job)


def _warn_of_other_code(runs: Sequence[Run], store: Store) -> None:
    """Say so if runs came from the store that other code computed (their version numbers are the same)."""
    folders = {folder.path: folder for folder in store.find(run.id for run in runs).values()}
    origins = [folder.provenance() for folder in folders.values()]
    other = {code for o in origins for code in (o["code"], *o["before"])} - {provenance.code_digest()} - store.told
    if other:
        store.told |= other
        print(
            f"note: some of these runs were computed by other code ({', '.join(sorted(other))}; this is "
            f"{provenance.code_digest()}) with the same version numbers; use another store= to run them afresh",
            file=sys.stderr,
        )
