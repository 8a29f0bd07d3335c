"""The contract of an average of iterates: a second readout of the same run, which never changes the run."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from optim.rule import Tensors


@dataclass(frozen=True, kw_only=True)
class Average:
    """Base of averages. Every method acts coordinate by coordinate, so it serves lanes as well as single models."""

    version: ClassVar[int] = 1

    def init(self, param: Tensor) -> Tensors:
        """The state before the first step."""
        raise NotImplementedError

    def observe(self, state: Tensors, param: Tensor, step: int) -> Tensors:
        """The state after seeing w_{t-1}, the point where the gradient of step t = 1, 2, ... is taken."""
        raise NotImplementedError

    def output(self, state: Tensors, param: Tensor) -> Tensor:
        """The averaged iterate; `param` is the last one."""
        raise NotImplementedError
