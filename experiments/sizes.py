"""Batch sizes along a run: those that a rule gives by itself, and those that a recorded run took."""

from collections.abc import Iterable, Iterator

from experiments.spec import Run, fitted
from experiments.store import Store
from optim.batch_size import BatchSizeRule, Context
from optim.batch_sizes.replay import Replay

Change = tuple[int, int, int]
"""A step, the examples seen before it, and the batch size from there on."""


def unrolled(rule: BatchSizeRule, examples: int, data_size: int | None) -> Iterator[Change]:
    """Every step of a run with a budget of so many examples and the size that the rule gives it, whatever is left.

    For rules that look at the position alone; with last_batch="even".
    """
    step, seen, state, size = 1, 0, rule.init(), 0
    while seen < examples:
        size, state, _ = rule.next(state, Context(step, seen, seen / examples, size, (), None, data_size))
        yield step, seen, size
        step, seen = step + 1, seen + fitted(size, examples - seen, "even")


def changes(steps: Iterable[Change]) -> list[Change]:
    """The first of these steps, and those whose size is not the one before."""
    kept: list[Change] = []
    for step in steps:
        if not kept or step[2] != kept[-1][2]:
            kept.append(step)
    return kept


def of_run(store: Store, run: Run) -> list[Change]:
    """The first step of a finished run with a budget of examples, and those that changed the size of the batch.

    A test tells of its changes in the rows of the run; the sizes of other rules follow from their position.
    """
    rule, size = run.experiment.batch_size, run.experiment.task.size
    if not rule.shared:
        rows = store.find([run.id])[run.id].rows()
        return _from_pairs((row["step"], row["batch_size"]) for row in rows if "note" in row)
    if isinstance(rule, Replay):
        return _from_pairs(rule.changes)
    constant = rule.constant(size)
    if constant is not None:
        return [(1, 0, constant)]
    return changes(unrolled(rule, int(run.experiment.budget.amount), size))


def _from_pairs(pairs: Iterable[tuple[int, int]]) -> list[Change]:
    """The same from pairs of a step and the size from there on."""
    kept: list[Change] = []
    for step, size in pairs:
        before, seen, old = kept[-1] if kept else (step, 0, 0)
        if size != old:
            kept.append((step, seen + (step - before) * old, size))
    return kept
