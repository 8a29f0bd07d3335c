"""How a paper's studies get their runs: computed, only planned, or only looked up."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import api, estimate, planner, runner
from experiments.spec import Run
from experiments.store import Store
from optim.settings import SettingError


class Nothing(Exception):
    """Only a plan was asked for, and it has been printed."""


class Session:
    """One command. `asked` collects every run that the studies wanted."""

    def __init__(self, store: str | Path, only_plan: bool = False, only_report: bool = False) -> None:
        self.store = Store(store)
        self._only_plan, self._only_report = only_plan, only_report
        self.asked: dict[str, Run] = {}

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
