"""The contract of a wrapper: something done around any update rule, such as clipping, weight decay or a projection."""

import dataclasses
from typing import ClassVar

from torch import Tensor

from optim import settings
from optim.mapping import ActsOn, Hyper, Tensors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wrapper:
    """Base of every wrapper, written for one tensor like a rule; `optim.wrapped.Wrapped` puts it around one.

    It defines at least one of `before`, `after` and `project`. `acts_on` and `still_without_gradient` mean what they
    mean for a `Rule`; `projects` says that `project` does something.
    """

    acts_on: ClassVar[ActsOn] = "coordinates"
    still_without_gradient: ClassVar[bool] = False
    projects: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def hyper(self) -> dict[str, float]:
        """The lane settings and their values."""
        return {name: getattr(self, name) for name in settings.names(self, lane=True)}

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        """Numbers that the methods below need at step t = 1, 2, ..., in float64.

        `hyper` holds the wrapper's own lane settings, and "lr", the learning rate of the rule at this step.
        """
        return hyper

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        """The state before the first step: tensors by name."""
        return {}

    def before(self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper) -> tuple[Tensor, Tensors]:
        """The gradient that the rule sees, and the new state. Nothing is changed in place, here and below."""
        return grad, state

    def after(self, update: Tensor, state: Tensors, param: Tensor, c: Hyper) -> tuple[Tensor, Tensors]:
        """The update to add to `param` in place of the rule's own, and the new state."""
        return update, state

    def project(self, param: Tensor, c: Hyper) -> Tensor:
        """The parameters after a step whose update has been added."""
        return param
