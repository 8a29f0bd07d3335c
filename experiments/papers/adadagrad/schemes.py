"""Batch-size schemes as overrides: the tests and constant sizes of a plan, and what is derived from a main scheme."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.papers.adadagrad import ramps
from experiments.papers.adadagrad.plans import CAP, DERIVED, LINEAR_RAMP, REPLAY, SAME_AVERAGE, STAGE_RAMP, TaskPlan
from experiments.papers.adadagrad.points import RELEASED, TUNED, Point
from experiments.papers.adadagrad.reading import Measured
from optim.batch_size import BatchSizeRule


@dataclass(frozen=True)
class Choices:
    """What the points of all tasks share: overrides by name, those of every run, and the fresh seeds."""

    optimizers: Mapping[str, Sequence[str]]
    tests: Mapping[str, Sequence[str]]
    ramps: Mapping[str, Sequence[str]]
    common: Sequence[str]
    seeds: tuple[int, ...]


def direct(task: str, plan: TaskPlan, n: int, choices: Choices) -> list[Point]:
    """The points of a task of n examples that need no other runs. Constant sizes from the cap on are left out."""
    return [point for arm in _arms(task, plan, n, choices) for point in _of_arm(*arm, plan, choices)]


def _arms(task: str, plan: TaskPlan, n: int, choices: Choices) -> Iterator[tuple[Point, Sequence[Any]]]:
    """For each optimizer and rate arm, a point without a scheme, and the schemes."""
    for optimizer, own in plan.plans.items():
        words = (*plan.words, *choices.common, *choices.optimizers[optimizer], f"budget.examples={plan.passes * n}")
        base = Point(task, optimizer, "", RELEASED, "", words, own.lr, choices.seeds, n)
        yield base, own.schemes
        yield replace(base, rate=TUNED, searches=True), own.tuned


def _of_arm(base: Point, listed: Sequence[Any], plan: TaskPlan, choices: Choices) -> Iterator[Point]:
    cap = min(plan.cap, base.n)
    for scheme in listed:
        if scheme in choices.tests:
            sizes = (f"batch_size.size={plan.first_size}", f"batch_size.cap={plan.cap}", "batch_size.lower_cap=true")
            yield _as(base, scheme, "adaptive", (*choices.tests[scheme], *sizes))
        elif scheme in choices.ramps:
            yield _as(base, scheme, "ramp", choices.ramps[scheme])
        elif scheme == CAP:
            name = f"constant {cap}" + (" (all)" if cap == base.n else "")
            yield replace(_as(base, name, "constant", _constant(cap)), largest=True)
        elif scheme not in DERIVED and scheme < cap:
            yield _as(base, f"constant {scheme}", "constant", _constant(scheme))


def derived(main: Sequence[Measured], listed: Sequence[Any], plan: TaskPlan) -> list[Point]:
    """The points that are made from the runs of the main scheme in one arm, those of them that are in the list.

    Averages are over the seeds that did not diverge; without any there are no such points. A replay has the sizes of
    the next seed, so that the run on its own seed has its data and its initialisation and another's feedback, and the
    rate of the main scheme. The other schemes have their own rate in the arm that searches.
    """
    ended = [one for one in main if not one.diverged]
    if not ended:
        return []
    base = replace(ended[0].reported.point, words=_without_rule(ended[0].reported.point.words))
    steps = round(sum(one.steps for one in ended) / len(ended))
    examples, cap = plan.passes * base.n, min(plan.cap, base.n)
    points = []
    if SAME_AVERAGE in listed:
        average = math.ceil(sum(one.examples / one.steps for one in ended) / len(ended))  # no step more, with a rest
        points.append(_as(base, SAME_AVERAGE, "same average", _constant(average)))
    if STAGE_RAMP in listed:
        stages = ramps.stage_ramp(steps, examples, cap, base.n)
        points.append(_as(base, STAGE_RAMP, "ramp", _words("stages", stages, "sizes", "at", "unit")))
    if LINEAR_RAMP in listed:
        linear = ramps.linear_ramp(steps, examples, min(plan.first_size, cap), cap, base.n)
        points.append(_as(base, LINEAR_RAMP, "ramp", _words("linear", linear, "size", "increment", "largest")))
    if REPLAY in listed and len(ended) > 1:
        points += [_replay(base, one, other) for one, other in zip(ended, [*ended[1:], ended[0]], strict=True)]
    return points


def _replay(base: Point, one: Measured, other: Measured) -> Point:
    path = str(other.folder).replace("'", "\\'").replace("${", "\\${")
    made = _as(base, REPLAY, "replay", ("batch_size=replay", f"batch_size.path='{path}'"))
    own = one.reported
    return replace(made, lr=own.lr, edge=own.edge, seeds=(own.run.seed,), searches=False)


def _as(base: Point, scheme: str, kind: str, rule: Sequence[str]) -> Point:
    return replace(base, scheme=scheme, kind=kind, words=(*base.words, *rule))


def _words(rule: str, made: BatchSizeRule, *names: str) -> tuple[str, ...]:
    """A rule with these settings as overrides."""
    return (f"batch_size={rule}", *(f"batch_size.{name}={getattr(made, name)}" for name in names))


def _constant(size: int) -> tuple[str, ...]:
    return ("batch_size=constant", f"batch_size.size={size}")


def _without_rule(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if not word.startswith(("batch_size=", "batch_size.")))
