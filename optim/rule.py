"""The contract of an update rule: the equation of one method, as a pure function of tensors.

A rule is written once, for one tensor, in `update_tensor`. The base class maps it over a model's tensors and over
lanes (copies of the model that differ in hyper-parameters or seed, held along a leading axis).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from optim import mapping, settings
from optim.mapping import ActsOn, Hyper, State, Tensors
from optim.sequence import Sequence
from optim.settings import SettingError

__all__ = ["Hyper", "Rule", "State", "Tensors"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """Base of every update rule. A subclass is a dataclass whose fields are its hyper-parameters.

    `acts_on` says what `update_tensor` may look at:
      "coordinates": every coordinate on its own. It is then called once for all lanes, with coefficients shaped
                     `(lanes, 1, ...)`, or for a whole model laid out flat, and need not know.
      "tensors":     a tensor as a whole (its norm, its rows); called tensor by tensor, mapped over lanes.
      "vector":      all parameters as one flat vector (a global norm or threshold); mapped over lanes.
    `still_without_gradient` promises that a coordinate whose gradient is zero keeps its value and its state to the bit,
    so that on sparse batches the rule need only see the columns that have a gradient. `elsewhere` says, for keywords
    that other libraries give this method and that live in another component here, where they are.
    `version` is raised whenever the results of the rule change. `aliases` are the keywords of `torch.optim` that stand
    for several settings here, such as `betas`.
    """

    acts_on: ClassVar[ActsOn] = "coordinates"
    still_without_gradient: ClassVar[bool] = False
    version: ClassVar[int] = 1
    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    elsewhere: ClassVar[Mapping[str, str]] = {
        "weight_decay": "use the wrapper weight_decay",
        "momentum": "use the wrapper momentum, or the optimizer momentum",
        "nesterov": "use the optimizer nesterov",
        "amsgrad": "use the optimizer amsgrad",
        "max_norm": "use the wrapper clip_norm",
    }

    # What a method defines ---------------------------------------------------------------------------------------

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        """Numbers that `update_tensor` needs, from the hyper-parameters at step t = 1, 2, ...

        Values of `hyper` are floats or float64 tensors (lanes,). Everything derived (1 - beta, a bias correction) is
        computed here, in float64: in float32, 1 - 0.999 is already wrong in the fifth digit.
        """
        return hyper

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        """The state before the first step: tensors by name. Stateless rules return nothing."""
        return {}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        """One step: the update to add to `param`, and the new state. Nothing is changed in place."""
        raise NotImplementedError

    def refuse(self, hyper: Hyper, steps: int) -> None:
        """Raise SettingError if these hyper-parameters (floats) cannot be used at one of the steps 1, ..., steps."""

    # What rules use ----------------------------------------------------------------------------------------------

    def at(self, name: str, step: Any, hyper: Hyper) -> Any:
        """The number of the sequence `name` at step t, a float or a float64 tensor (lanes,); see `Sequence.value`."""
        sequence: Sequence = getattr(self, name)
        try:
            return sequence.value(step, _below(name, hyper))
        except SettingError as problem:
            raise SettingError(f"{name}: {problem}") from None

    def rest_at(self, name: str, step: int, hyper: Hyper) -> Any:
        """1 minus it, to full precision."""
        sequence: Sequence = getattr(self, name)
        return sequence.complement(step, _below(name, hyper))

    # What callers use --------------------------------------------------------------------------------------------

    def sequences(self) -> Mapping[str, Sequence]:
        """The settings that are sequences of numbers by step."""
        return {name: value for name in settings.names(self) if isinstance(value := getattr(self, name), Sequence)}

    def hyper(self) -> dict[str, float]:
        """The lane hyper-parameters and their values; those of the sequence `theta` are called "theta.<name>"."""
        own = {name: getattr(self, name) for name in settings.names(self, lane=True)}
        return own | {f"{k}.{name}": v for k, part in self.sequences().items() for name, v in part.hyper().items()}

    def init(self, params: Tensors, hyper: Hyper | None = None, lanes: int | None = None) -> State:
        """The state before the first step. Arguments as for `update`."""
        values = {**self.hyper(), **(hyper or {})}
        return {
            name: mapping.over_lanes(self.acts_on, self.init_tensor, (param,), values, lanes)
            for name, param in mapping.view(self.acts_on, params, lanes).items()
        }

    def update(
        self,
        grads: Tensors,
        state: State,
        params: Tensors,
        hyper: Hyper | None = None,
        step: int = 1,
        extra: Any = None,
        lanes: int | None = None,
    ) -> tuple[Tensors, State]:
        """One step of the method.

        grads, params: tensors by name, same keys and shapes. hyper: values that replace the rule's own, floats, or
        float64 tensors (lanes,). step: t = 1, 2, ... as in the papers. lanes: None, or the length of the leading axis
        of every tensor, along which the models are independent. Returns the updates (to be added to the parameters)
        and the new state; the arguments are left as they were.
        """
        if step < 1:
            raise ValueError(f"step counts from 1, not {step}")
        c = self.coefficients({**self.hyper(), **(hyper or {})}, step)
        views, grad_views = mapping.view(self.acts_on, params, lanes), mapping.view(self.acts_on, grads, lanes)
        updates, new_state = {}, {}
        for name, param in views.items():
            updates[name], new_state[name] = mapping.over_lanes(
                self.acts_on,
                lambda g, s, p, values: self.update_tensor(g, s, p, values, extra),
                (grad_views[name], state[name], param),
                c,
                lanes,
            )
        return mapping.unview(self.acts_on, updates, params, lanes), new_state


def _below(name: str, hyper: Hyper) -> Hyper:
    """The hyper-parameters of a sequence, by their own names."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in hyper.items() if k.startswith(prefix)}
