"""Write the runs of a store as W&B runs, as they would have been logged live; done twice, it changes nothing.

    python -m experiments.export [store=FOLDER] [mode=online] [project=NAME] [entity=NAME] [folder=FOLDER]

Offline (the default) they go to <store>/wandb, or with folder= to <folder>/wandb. `wandb sync --yes <runs>` publishes
them; mode=online writes to your account directly. Runs that only tuned a learning rate for a paper are left out.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from experiments import components, logger, options, sweeps
from experiments.loggers.wandb import WandB
from experiments.run import guarded
from experiments.store import Store
from optim.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class Options(WandB):
    """The words of the command line: the settings of the logger, and the store."""

    store: str | None = setting(None, doc="folder of the runs (default: results/runs in the clone)")


def export(chosen: Options) -> Path:
    """Write what is missing, say how much it was, and return the folder. Raises SettingError for an empty store."""
    store = Store(chosen.store or components.ROOT / "results" / "runs")
    finished = {run["run"] for folder in store.folders() if folder.finished for run in folder.describe()["runs"]}
    wanted = finished - sweeps.unreported(store)
    if not wanted:
        raise SettingError(f"store={store.folder} has no finished runs: `python -m experiments.run` makes some")
    chosen.require(store)
    runs = logger.export(chosen, store, wanted, quiet=False)
    summaries = sum(chosen.summarise(store, sweep) for sweep in sweeps.all_of(store))
    print(f"{runs} of {len(wanted)} runs and {summaries} summaries written; the others were there already")
    print(chosen.where(store))
    return chosen.place(store)


def main(words: list[str] | None = None) -> int:
    """The command line."""
    words = sys.argv[1:] if words is None else words
    if "--help" in words or "-h" in words:
        print(__doc__)
        return 0
    return guarded(lambda: export(options.read(words, Options, "export")))


if __name__ == "__main__":
    sys.exit(main())
