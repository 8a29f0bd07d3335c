"""The planner: what is missing in the store, and what can share a job as lanes."""

from collections.abc import Iterable
from dataclasses import dataclass

from experiments.job import Job
from experiments.spec import Run
from experiments.store import Store

SEEDS_TOGETHER = 5  # each seed of a group gathers batches of its own
LANES_TOGETHER = 512


@dataclass(frozen=True)
class Plan:
    """What a set of runs still needs. Duplicates among the wanted runs are one run."""

    done: tuple[Run, ...]
    jobs: tuple[Job, ...]

    @property
    def missing(self) -> int:
        """Number of runs still to be computed."""
        return sum(job.lanes for job in self.jobs)


def plan(runs: Iterable[Run], store: Store) -> Plan:
    """Compare with the store; begun jobs are resumed as they were, all other missing runs are grouped afresh."""
    wanted = {run.id: run for run in runs}
    found = store.find(wanted)
    missing = {key: run for key, run in wanted.items() if key not in found}
    jobs = []
    for _, ids in store.unfinished():
        if all(key in missing for key in ids):
            jobs.append(Job(tuple(missing.pop(key) for key in ids)))
    return Plan(tuple(wanted[key] for key in found), (*jobs, *group(missing.values())))


def group(runs: Iterable[Run]) -> list[Job]:
    """Runs as few jobs: lanes of one experiment form products of seeds and hyper-parameters."""
    by_experiment: dict[str, list[Run]] = {}
    for run in runs:
        by_experiment.setdefault(run.experiment.key, []).append(run)
    jobs = []
    for members in by_experiment.values():
        if members[0].experiment.lanes_allowed:
            jobs += _products(members)
        else:
            jobs += [Job((run,)) for run in members]
    return jobs


def _products(members: list[Run]) -> list[Job]:
    by_seed: dict[int, dict[str, Run]] = {}
    for run in members:
        by_seed.setdefault(run.seed, {})[repr(sorted(run.hyper.items()))] = run
    by_grid: dict[tuple[str, ...], list[int]] = {}
    for seed, of_seed in by_seed.items():
        by_grid.setdefault(tuple(sorted(of_seed)), []).append(seed)
    jobs = []
    for grid, seeds in by_grid.items():
        together = max(1, min(SEEDS_TOGETHER, LANES_TOGETHER // len(grid)))
        for s in range(0, len(seeds), together):
            for g in range(0, len(grid), LANES_TOGETHER):
                part = grid[g : g + LANES_TOGETHER]
                jobs.append(Job(tuple(by_seed[seed][key] for seed in seeds[s : s + together] for key in part)))
    return jobs
