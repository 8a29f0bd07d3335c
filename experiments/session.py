"""How a paper's studies get their runs: computed, only planned, or only looked up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import api, calculations, estimate, planner, runner
from experiments.calculations import Calculation, Row
from experiments.spec import Run
from experiments.store import Store
from optim.settings import SettingError


class Nothing(Exception):
    """Only a plan was asked for, and it has been printed."""


class Session:
    """One command. `asked` collects every run that the studies wanted, `calculated` the names of calculations."""

    def __init__(self, store: str | Path, only_plan: bool = False, only_report: bool = False) -> None:
        self.store = Store(store)
        self._only_plan, self._only_report = only_plan, only_report
        self.asked: dict[str, Run] = {}
        self.calculated: set[str] = set()

    def complete(self, runs: Sequence[Run], purpose: str) -> Mapping[str, Mapping[str, float | None]]:
        """Make sure that these runs are in the store; their last metrics by run, none for a diverged one."""
        wanted = {run.id: run for run in runs}
        if self._only_plan:
            self._plan(list(wanted.values()), purpose)
        elif self._only_report:
            missing = len(wanted) - len(self.store.find(wanted))
            if missing:
                raise SettingError(f"{missing} of {len(wanted)} runs ({purpose}) are missing: run without report=true")
        else:
            runner.complete(list(wanted.values()), self.store, checkpoint_seconds=60.0)
        self.asked |= wanted
        return {result.id: result.metrics for result in api.results(list(wanted.values()), self.store)}

    def calculate(
        self, function: Calculation, version: int, configs: Sequence[Mapping[str, Any]], purpose: str
    ) -> list[Row]:
        """The rows of `function(**config)` for every configuration; see `experiments.calculations`.

        A configuration holds plain values only. What it names (a task) belongs in it by the digest of its content too:
        see `experiments.sets.content_of`.
        """
        names = [calculations.identity(function, version, config) for config in configs]
        missing = sum(calculations.find(self.store, name) is None for name in names)
        if self._only_plan:
            print(f"{purpose}: {len(names)} calculations, {missing} to do")
            if missing:
                raise Nothing
        elif self._only_report and missing:
            raise SettingError(
                f"{missing} of {len(names)} calculations ({purpose}) are missing: run without report=true"
            )
        self.calculated |= set(names)
        return calculations.complete(function, version, configs, self.store, purpose)

    def _plan(self, runs: Sequence[Run], purpose: str) -> None:
        """Print what this round needs; go on to the next one only if it needs nothing."""
        plan = planner.plan(runs, self.store)
        print(f"{purpose}: {len(runs)} runs, {len(plan.done)} done, {plan.missing} to do in {len(plan.jobs)} jobs")
        if plan.jobs:
            cost = estimate.cost(plan.jobs)
            print(
                f"  about {estimate.duration(cost.seconds)} on this machine, {estimate.size(cost.bytes)} of disk; "
                "what follows depends on the outcome and takes about as long again"
            )
            raise Nothing
