"""Run what the command line describes; see `--help`."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from data import DataError
from experiments import config, report, runner
from experiments.store import Store
from optim.settings import SettingError

_HYDRA_OPTIONS = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
)


@hydra.main(config_path="../configs", config_name="run", version_base="1.3")
def _hydra_job(composed: DictConfig) -> None:
    chosen = HydraConfig.get().runtime.choices
    execute(config.resolve(composed, chosen))


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
    except runner.RunFailed as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _preflight(words: list[str]) -> None:
    """Check every job of a multirun, so that nothing starts when one of them cannot."""
    overrides = [w for w in words if not w.startswith("-")]
    for job in _jobs(overrides) if "-m" in words or "--multirun" in words else [overrides]:
        request = config.request(job)
        if not request.plan:
            Store(request.store).require_writable()


def _jobs(overrides: list[str]) -> Iterator[list[str]]:
    """The override lists of a multirun, as Hydra's basic sweeper expands them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    config.register()
    parsed = OverridesParser.create().parse_overrides(config.normalise(overrides))
    for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
        yield from batch


def main(words: list[str] | None = None) -> int:
    """The command line."""
    words = list(sys.argv[1:] if words is None else words)

    def action() -> None:
        config.register()
        if not any(word in _HYDRA_OPTIONS for word in words):
            _preflight(words)
        options = [w for w in words if w.startswith("-")]
        sys.argv[1:] = [*options, *config.normalise([w for w in words if not w.startswith("-")])]
        _hydra_job()

    return guarded(action)


if __name__ == "__main__":
    sys.exit(main())
