"""Run what the command line describes; see `--help`."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from tqdm import tqdm

from data import DataError
from experiments import components, config, distributed, following, launcher, report, runner, sweeps
from experiments.logger import NotLogged
from experiments.overrides import one_sentence
from experiments.spec import Run
from experiments.store import Store
from optim.settings import SettingError

_ONLY_SHOW = ("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")
_WITH_A_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i")
_EXPECTED = (SettingError, DataError, OSError, runner.RunFailed, launcher.JobLost)
_problems: list[Exception] = []  # of the jobs of this command
_HYDRAS_OWN = components.ROOT / ".cache" / "hydra"  # where Hydra keeps its multirun.yaml


@hydra.main(config_path=str(components.CONFIGS), config_name="run", version_base="1.3")
def _hydra_job(composed: DictConfig) -> None:
    try:
        execute(config.resolve(composed, HydraConfig.get().runtime.choices))
    except _EXPECTED as problem:  # Hydra would print a traceback, and skip the jobs that are left
        _problems.append(problem)


def execute(request: config.Request, store: Store | None = None, label: str = "") -> None:
    """Carry out one request and print a line for each run (or, with plan=true, what there is to do).

    label: what tells a job of a multirun from the others.
    """
    store = store or Store(request.store)
    if request.plan:
        with distributed.alone():  # its time is measured on a few steps
            report.print_plan(request.runs, store, label)
        return
    try:
        runner.complete(request.runs, store, checkpoint_seconds=request.checkpoint_seconds, logger=request.logger)
    except NotLogged:
        report.print_runs(request.runs, store, label)
        raise
    report.print_runs(request.runs, store, label)


def work(words: list[str]) -> Exception | None:
    """Carry out one job of a multirun in a process of a launcher; returns what the user can mend."""
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves behind
    try:
        request = config.request(words)
        how: dict[str, Any] = {"checkpoint_seconds": request.checkpoint_seconds, "logger": request.logger}
        runner.complete(request.runs, Store(request.store), quiet=True, **how)
    except _EXPECTED as problem:
        return problem
    return None


def guarded(action: Callable[[], Any], *, alone: bool = True) -> int:
    """Do it; what the user can mend ends as one sentence on the error stream and exit code 2.

    alone: it is nothing that several processes do together, and so refused under torchrun.
    """
    world = distributed.world()
    if alone and world.rank:
        return 0
    try:
        if alone and world.size > 1:
            raise SettingError("only `python -m experiments.run` works under torchrun: start this without it")
        action()
    except (SettingError, DataError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"error: {problem.filename or 'a file'} cannot be used: {problem.strerror or problem}", file=sys.stderr)
        return 2
    except (runner.RunFailed, launcher.JobLost) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _preflight(overrides: list[str], several: bool) -> list[tuple[list[str], config.Request]]:
    """Check every job of a multirun, so that nothing starts when one of them cannot: their words and what they ask."""
    asked = list(_jobs(overrides)) if several else [overrides]
    launcher.require_one(asked)
    jobs = [(job, config.request(job, several=several)) for job in asked]
    for folder, log in {(request.store, request.logger) for _, request in jobs if not request.plan}:
        if log:  # first: the store is made by what follows
            log.require(Store(folder))
        Store(folder).require_writable()
    return jobs


@contextlib.contextmanager
def _swept(requests: list[config.Request], words: list[str]) -> Iterator[None]:
    """Write down what this command asks for, as a sweep of each store, and show its summary when it is done."""
    by_store: dict[Path, list[config.Request]] = {}
    for request in requests:
        if not request.plan:
            by_store.setdefault(request.store, []).append(request)
    asked = []
    for folder, members in by_store.items():
        store = Store(folder)
        sweep = sweeps.record(store, (run.id for request in members for run in request.runs), words)
        asked += [(log, store, sweep) for log in {request.logger for request in members} if log]
    yield
    for log, store, sweep in asked:
        log.summarise(store, sweep)
        print(log.where(store))


def _run_all(jobs: list[tuple[list[str], config.Request]]) -> None:
    """Carry out the jobs, here or by their launcher. Raises the first problem after the last job."""
    stores = {request.store: Store(request.store) for _, request in jobs}
    chosen = jobs[0][1].launcher
    problems = _launch(chosen, jobs, stores) if chosen and not any(request.plan for _, request in jobs) else []
    common = set.intersection(*(set(words) for words, _ in jobs))
    for words, request in jobs:
        store = stores[request.store]
        if problems and len(store.find(run.id for run in request.runs)) < len({run.id for run in request.runs}):
            continue  # it is one of the problems
        try:
            # what a launcher's processes have computed is only printed
            execute(request, store, " ".join(word for word in words if word not in common))
        except _EXPECTED as problem:
            if distributed.world().size > 1 and not isinstance(problem, NotLogged):
                raise  # the other processes cannot go on
            problems.append(problem)
    if problems:
        raise problems[0]


def _launch(
    chosen: launcher.Launcher, jobs: list[tuple[list[str], config.Request]], stores: dict[Path, Store]
) -> list[Exception]:
    """Have a launcher compute what the stores lack; returns what went wrong."""
    missing = []
    for words, request in jobs:
        ids = {run.id for run in request.runs}
        if len(stores[request.store].find(ids)) < len(ids):
            _ = request.runs[0].experiment.task.optimum  # found here, once, and kept on disk for the processes
            missing.append(([word for word in words if not launcher.chooses(word)], len(ids)))
    return launcher.run(chosen, work, [words for words, _ in missing], [runs for _, runs in missing])


def _require_all(requests: list[config.Request]) -> None:
    """Raise RunFailed if a run is missing: a launcher may have run the jobs in processes whose errors end there."""
    for request in (request for request in requests if not request.plan):
        store, ids = Store(request.store), {run.id for run in request.runs}
        missing = len(ids) - len(store.find(ids))
        if missing:
            reasons = f"details: {store.jobs}/*/error.txt"
            raise runner.RunFailed(f"{missing} of {len(ids)} runs of a job failed ({reasons})")


def _jobs(overrides: list[str]) -> Iterator[list[str]]:
    """The override lists of a multirun, as Hydra's basic sweeper expands them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    config.register()
    with one_sentence():
        parsed = OverridesParser.create().parse_overrides(config.normalise(overrides))
        for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
            yield from batch


def main(words: list[str] | None = None) -> int:
    """The command line."""
    words = list(sys.argv[1:] if words is None else words)
    options = [w for i, w in enumerate(words) if w.startswith("-") or (i and words[i - 1] in _WITH_A_VALUE)]
    given = [w for w in words if w not in options]
    several = "-m" in options or "--multirun" in options
    only_show = any(word.partition("=")[0] in _ONLY_SHOW for word in options)
    if distributed.world().rank:
        return 0 if only_show else following.take_part(lambda: _to_follow(given, several))

    def action() -> None:
        config.register()
        jobs: list[tuple[list[str], config.Request]] = []
        hydras = [word for word in given if word.lstrip("+~").startswith("hydra")]
        of_hydra = hydras + [option for option in options if option not in ("-m", "--multirun")]
        if not only_show:
            if of_hydra and distributed.world().size > 1:
                raise SettingError(
                    f"'{of_hydra[0]}' goes through Hydra, which runs nothing under torchrun: leave it out"
                )
            jobs = _preflight(given, several)
            following.tell("go")
        if hydras and any(request.launcher for _, request in jobs):
            raise SettingError(f"'{hydras[0]}' and launcher= are two ways to launch: give one of them")
        with _swept([request for _, request in jobs], given):
            if of_hydra:
                _hand_to_hydra(options, given)
                _require_all([request for _, request in jobs])
            else:
                _run_all(jobs)

    return guarded(action, alone=False)


def _to_follow(words: list[str], several: bool) -> list[list[Run]]:
    """The runs of each job that is no plan."""
    asked = list(_jobs(words)) if several else [words]
    requests = [config.request(job, several=several) for job in asked]
    return [request.runs for request in requests if not request.plan]


def _hand_to_hydra(options: list[str], words: list[str]) -> None:
    """Let Hydra show something, or run the jobs by settings of its own: it composes each job twice more (0.2 s)."""
    folders = [f"hydra.{kind}.dir={_HYDRAS_OWN}" for kind in ("run", "sweep")]
    sys.argv[1:] = [*options, *folders, *config.normalise(words)]
    _problems.clear()
    _hydra_job()
    if _problems:
        raise _problems[0]


if __name__ == "__main__":
    from experiments import run  # by its own name, under which a launcher's processes find its functions

    distributed.leave(run.main())
