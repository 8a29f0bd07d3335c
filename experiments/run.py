"""Run what the command line describes; see `--help`."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from data import DataError
from experiments import components, config, report, runner
from experiments.overrides import one_sentence
from experiments.store import Store
from optim.settings import SettingError

_ONLY_SHOW = ("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")
_WITH_A_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i")
_EXPECTED = (SettingError, DataError, OSError, runner.RunFailed)
_problems: list[Exception] = []  # of the jobs of this command
_HYDRAS_OWN = components.ROOT / ".cache" / "hydra"  # where Hydra keeps its multirun.yaml


@hydra.main(config_path=str(components.CONFIGS), config_name="run", version_base="1.3")
def _hydra_job(composed: DictConfig) -> None:
    try:
        execute(config.resolve(composed, HydraConfig.get().runtime.choices))
    except _EXPECTED as problem:  # Hydra would print a traceback, and skip the jobs that are left
        _problems.append(problem)


def execute(request: config.Request) -> None:
    """Carry out one request and print a line for each run (or, with plan=true, what there is to do)."""
    store = Store(request.store)
    if request.plan:
        report.print_plan(request.runs, store)
        return
    runner.complete(request.runs, store, checkpoint_seconds=request.checkpoint_seconds)
    report.print_runs(request.runs, store)


def guarded(action: Callable[[], Any]) -> int:
    """Do it; what the user can mend ends as one sentence on the error stream and exit code 2."""
    try:
        action()
    except (SettingError, DataError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"error: {problem.filename or 'a file'} cannot be used: {problem.strerror or problem}", file=sys.stderr)
        return 2
    except runner.RunFailed as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _preflight(overrides: list[str], several: bool) -> list[config.Request]:
    """Check every job of a multirun, so that nothing starts when one of them cannot. Returns what is to be run."""
    requests = [config.request(job) for job in (_jobs(overrides) if several else [overrides])]
    requests = [request for request in requests if not request.plan]
    for folder in {request.store for request in requests}:
        Store(folder).require_writable()
    return requests


def _require_all(requests: list[config.Request]) -> None:
    """Raise RunFailed if a run is missing: a launcher may have run the jobs in processes whose errors end there."""
    for request in requests:
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

    def action() -> None:
        config.register()
        requests: list[config.Request] = []
        if not any(word.partition("=")[0] in _ONLY_SHOW for word in options):
            requests = _preflight(given, several="-m" in options or "--multirun" in options)
        folders = [f"hydra.{kind}.dir={_HYDRAS_OWN}" for kind in ("run", "sweep")]
        sys.argv[1:] = [*options, *folders, *config.normalise(given)]
        _problems.clear()
        _hydra_job()
        if _problems:
            raise _problems[0]
        _require_all(requests)

    return guarded(action)


if __name__ == "__main__":
    sys.exit(main())
