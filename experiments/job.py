"""A job: runs that are computed together as lanes, and the folder that holds them."""

import functools
from dataclasses import dataclass
from typing import Any

from experiments.spec import Experiment, Run, digest


@dataclass(frozen=True, eq=False)
class Job:
    """Runs of one experiment that form a product of seeds and hyper-parameters, in seed-major order."""

    runs: tuple[Run, ...]

    @property
    def experiment(self) -> Experiment:
        """What all runs share."""
        return self.runs[0].experiment

    @functools.cached_property
    def id(self) -> str:
        """A hash of the identities of its runs, in order; the name of its folder."""
        return digest([run.id for run in self.runs])[:20]

    @functools.cached_property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return list(dict.fromkeys(run.seed for run in self.runs))

    @property
    def hypers(self) -> list[dict[str, float]]:
        """Hyper-parameters lane by lane."""
        return [run.hyper for run in self.runs]

    @property
    def lanes(self) -> int:
        """Number of lanes."""
        return len(self.runs)

    def describe(self) -> dict[str, Any]:
        """What the store writes down: the shared columns once, and each run with what is its own."""
        return {
            "job": self.id,
            "experiment": self.experiment.key,
            "canonical": self.experiment.canonical,
            "columns": self.experiment.columns(),
            "hyper_prefix": self.runs[0].hyper_prefix,
            "runs": [{"run": run.id, "seed": run.seed, "hyper": run.hyper} for run in self.runs],
        }
