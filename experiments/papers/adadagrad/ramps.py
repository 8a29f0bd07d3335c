"""Ramps of the batch size that take a wanted number of steps."""

import bisect
from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

from experiments.sizes import Change, unrolled
from optim.batch_size import BatchSizeRule
from optim.batch_sizes.linear import Linear
from optim.batch_sizes.stages import Stages

_Ramp = TypeVar("_Ramp", bound=BatchSizeRule)
_CANDIDATES = 200  # ramps that are tried


def stage_ramp(steps: int, examples: int, cap: int, data_size: int) -> Stages:
    """Sizes b, 2b, 4b, ... and the cap, with equally many examples each (as arXiv 2402.11215 has them from 512 on),
    where b makes the number of steps nearest to the wanted one.
    """
    firsts = np.unique(np.geomspace(min(2, cap), cap, _CANDIDATES).round().astype(int)).tolist()
    return _nearest([_doubling(first, cap) for first in firsts], steps, examples, data_size)


def _doubling(first: int, cap: int) -> Stages:
    sizes = [first]
    while 2 * sizes[-1] < cap:
        sizes.append(2 * sizes[-1])
    if sizes[-1] < cap:
        sizes.append(cap)
    return Stages(sizes=sizes, at=[k / len(sizes) for k in range(1, len(sizes))], unit="share")


def linear_ramp(steps: int, examples: int, first: int, cap: int, data_size: int) -> Linear:
    """`first`, `first` + c, `first` + 2c, ... up to the cap, with a c that makes the number of steps the wanted one. If
    none does, the largest c that takes more steps, and a first size that is raised until there are not more.
    """

    def ramp(size: int, increment: int) -> Linear:
        return Linear(size=size, increment=increment, largest=cap)

    def fewer(made: Linear, limit: int) -> bool:
        return len(_taken(made, examples, data_size, limit)) < limit

    def increments(limit: int) -> int:
        """The smallest one that takes fewer steps."""
        return 1 + bisect.bisect_left(range(1, cap), True, key=lambda c: fewer(ramp(first, c), limit))

    lowest, beyond = increments(steps + 1), increments(steps)
    if lowest < beyond:
        return _nearest([ramp(first, c) for c in _between(lowest, beyond - 1)], steps, examples, data_size)
    increment = max(1, lowest - 1)
    sizes = range(first, cap)
    size = first + bisect.bisect_left(sizes, True, key=lambda b: fewer(ramp(b, increment), steps + 1))
    return ramp(size, increment)


def _between(low: int, high: int) -> list[int]:
    """Whole numbers from low to high, not too many."""
    found: list[int] = np.unique(np.linspace(low, high, _CANDIDATES).round().astype(int)).tolist()
    return found


def _nearest(ramps: Sequence[_Ramp], steps: int, examples: int, data_size: int) -> _Ramp:
    """The ramp whose number of steps is nearest to the wanted one."""
    return min(ramps, key=lambda ramp: abs(len(_taken(ramp, examples, data_size, 2 * steps + 1)) - steps))


def _taken(rule: BatchSizeRule, examples: int, data_size: int, at_most: int) -> list[Change]:
    """The steps of a run, up to so many."""
    return list(islice(unrolled(rule, examples, data_size), at_most))
