"""The contract of an update rule: the equation of one method, as a pure function of tensors.

A rule is written once, for one tensor, in `update_tensor`. The base class maps it over a model's tensors and over
lanes (copies of the model that differ in hyper-parameters or seed, held along a leading axis).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from optim import settings

Tensors = dict[str, Tensor]
Hyper = Mapping[str, Any]
State = dict[str, Tensors]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """Base of every update rule. A subclass is a dataclass whose fields are its hyper-parameters.

    `acts_on` says what `update_tensor` may look at:
      "coordinates": every coordinate on its own. It is then called once for all lanes, with coefficients shaped
                     `(lanes, 1, ...)`, or for a whole model laid out flat, and need not know.
      "tensors":     a tensor as a whole (its norm, its rows); called tensor by tensor, mapped over lanes.
      "vector":      all parameters as one flat vector (a global norm or threshold); mapped over lanes.
    `version` is raised whenever the results of the rule change. `aliases` are the keywords of `torch.optim` that stand
    for several settings here, such as `betas`.
    """

    acts_on: ClassVar[Literal["coordinates", "tensors", "vector"]] = "coordinates"
    version: ClassVar[int] = 1
    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {}

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

    # What callers use --------------------------------------------------------------------------------------------

    def hyper(self) -> dict[str, float]:
        """The lane hyper-parameters and their values."""
        return {name: getattr(self, name) for name in settings.names(self, lane=True)}

    def init(self, params: Tensors, hyper: Hyper | None = None, lanes: int | None = None) -> State:
        """The state before the first step. Arguments as for `update`."""
        values = {**self.hyper(), **(hyper or {})}
        return {
            name: self._over_lanes(lambda p, h: self.init_tensor(p, h), (param,), values, lanes)
            for name, param in self._view(params, lanes).items()
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
        views, grad_views = self._view(params, lanes), self._view(grads, lanes)
        updates, new_state = {}, {}
        for name, param in views.items():
            updates[name], new_state[name] = self._over_lanes(
                lambda g, s, p, values: self.update_tensor(g, s, p, values, extra),
                (grad_views[name], state[name], param),
                c,
                lanes,
            )
        if self.acts_on == "vector":
            updates = _split(updates[""], params, lanes)
        return updates, new_state

    # How it is mapped --------------------------------------------------------------------------------------------

    def _view(self, tensors: Tensors, lanes: int | None) -> Tensors:
        if self.acts_on != "vector":
            return tensors
        flat = [t.reshape(-1) if lanes is None else t.reshape(lanes, -1) for t in tensors.values()]
        return {"": flat[0] if len(flat) == 1 else torch.cat(flat, dim=-1)}

    def _over_lanes(self, function: Any, tensors: tuple[Any, ...], values: Hyper, lanes: int | None) -> Any:
        """Call `function(*tensors, values)` for every lane at once; `tensors` may hold dicts of tensors."""
        like = tensors[-1]
        if lanes is None or self.acts_on == "coordinates":
            shape = (-1,) + (1,) * (like.dim() - 1)
            return function(*tensors, {k: _fit(v, like, shape) for k, v in values.items()})
        cast = {k: _fit(v, like, (-1,)) for k, v in values.items()}
        if lanes == 1:
            one = {k: v[0] if isinstance(v, Tensor) and v.dim() else v for k, v in cast.items()}
            return _lift(function(*(_first(t) for t in tensors), one))
        mapped = {k: v for k, v in cast.items() if isinstance(v, Tensor) and v.dim()}
        fixed = {k: v for k, v in cast.items() if k not in mapped}
        result = torch.vmap(lambda args, h: function(*args, {**fixed, **h}))(tensors, mapped)
        return torch.utils._pytree.tree_map(lambda t: t.contiguous(), result)


def _fit(value: Any, like: Tensor, shape: tuple[int, ...]) -> Any:
    """A coefficient in the type of the parameters; one value per lane becomes a column that broadcasts."""
    if not isinstance(value, Tensor):
        return value
    value = value.to(device=like.device, dtype=like.dtype)
    return value.reshape(shape) if value.dim() == 1 else value


def _first(tree: Any) -> Any:
    return {k: v[0] for k, v in tree.items()} if isinstance(tree, dict) else tree[0]


def _lift(tree: Any) -> Any:
    if isinstance(tree, tuple):
        return tuple(_lift(item) for item in tree)
    return {k: v[None] for k, v in tree.items()} if isinstance(tree, dict) else tree[None]


def _split(flat: Tensor, like: Tensors, lanes: int | None) -> Tensors:
    sizes = [t.numel() // (lanes or 1) for t in like.values()]
    parts = flat.split(sizes, dim=-1)
    return {name: part.reshape(t.shape) for part, (name, t) in zip(parts, like.items(), strict=True)}
