"""What the entry points print about runs."""

from collections.abc import Sequence

from experiments import estimate, planner
from experiments.spec import Run
from experiments.store import Store

_MOST_LINES = 40
_SHOWN = ("gap", "average/gap", "loss")


def print_runs(runs: Sequence[Run], store: Store, label: str = "") -> None:
    """One line for each run: what distinguishes it, how it ended, its last values; `label` is the job's own."""
    found = store.find(run.id for run in runs)
    columns = [run.columns() for run in runs]
    varying = [key for key in columns[0] if len({repr(c.get(key)) for c in columns}) > 1]
    count = f"{len(runs)} run{'s' * (len(runs) != 1)}"
    print(f"{label or ', '.join((columns[0]['task'], columns[0]['optimizer']))}: {count} in {store.folder}")
    for run, column in zip(runs[:_MOST_LINES], columns, strict=False):
        ended = found[run.id].result()["runs"][run.id]
        label = "  ".join(f"{key.removeprefix('optimizer.')}={_short(column[key])}" for key in varying)
        if ended["status"] == "diverged":
            outcome = f"diverged at step {ended['diverged_at']}"
        else:
            shown = _SHOWN if run.experiment.batch_size.shared else (*_SHOWN, "batch_size")
            outcome = "  ".join(f"{k}={ended['metrics'][k]:.4g}" for k in shown if ended["metrics"].get(k) is not None)
        print(f"  {run.id}  {label}  {outcome}".replace("    ", "  "))
    if len(runs) > _MOST_LINES:
        print(f"  ... and {len(runs) - _MOST_LINES} more: experiments.api.load_runs has them all")


def print_plan(runs: Sequence[Run], store: Store, label: str = "") -> None:
    """What is done, what is missing, how long it takes and how much disk it needs."""
    plan = planner.plan(runs, store)
    print(
        (f"{label}: " if label else "")
        + f"{len(plan.done) + plan.missing} runs: {len(plan.done)} done, {plan.missing} to do in {len(plan.jobs)} jobs"
    )
    for job in plan.jobs:
        names = ", ".join(str(job.experiment.columns()[key]) for key in ("task", "optimizer", "batch_size"))
        why = "" if job.experiment.lanes_allowed else " (one lane at a time: it cannot share batches or gradients)"
        print(f"  {job.id}  {names}: {job.lanes} lanes, {len(job.seeds)} seeds{why}")
    cost = estimate.cost(plan.jobs)
    print(f"about {estimate.duration(cost.seconds)} on this machine, {estimate.size(cost.bytes)} of disk")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
