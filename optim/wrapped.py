"""An update rule with wrappers around it, which the engine uses as it uses a rule."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from optim import mapping
from optim.mapping import ActsOn, Hyper, State, Tensors
from optim.rule import Rule
from optim.settings import SettingError
from optim.wrapper import Wrapper


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """`rule` inside `wrappers`, in the order of the list: every `before`, the rule, every `after`, every `project`.

    A lane setting of the wrapper `name` is called "wrapper.<name>.<setting>", a slot of its state "<name>.<slot>". With
    a single tensor for the whole model the parts may differ in what they act on.
    """

    version: ClassVar[int] = 1

    rule: Rule
    wrappers: dict[str, Wrapper]

    def __post_init__(self) -> None:
        for name in self.wrappers:
            if not name.isidentifier():  # a dot or a slash would break the names of settings and slots
                raise SettingError(f"the wrapper name '{name}' must be a plain word")

    @property
    def acts_on(self) -> ActsOn:
        """What the parts look at together: the rule's tensors, else the vector if any part needs it."""
        kinds = {part.acts_on for part in self._parts()}
        return "tensors" if "tensors" in kinds else "vector" if "vector" in kinds else "coordinates"

    @property
    def still_without_gradient(self) -> bool:
        """Whether a coordinate whose gradient is zero keeps its value and its state."""
        return all(part.still_without_gradient for part in self._parts())

    @property
    def projects(self) -> bool:
        """Whether `project` does anything."""
        return any(wrapper.projects for wrapper in self.wrappers.values())

    def hyper(self) -> dict[str, float]:
        """The lane hyper-parameters of the rule and of the wrappers, and their values."""
        own = {f"wrapper.{name}.{k}": v for name, w in self.wrappers.items() for k, v in w.hyper().items()}
        return {**self.rule.hyper(), **own}

    def init(self, params: Tensors, hyper: Hyper | None = None, lanes: int | None = None) -> State:
        """The state before the first step. Arguments as for `Rule.update`."""
        values = {**self.hyper(), **(hyper or {})}
        state: State = {name: {} for name in params}
        state |= self.rule.init(params, self._of_rule(values), lanes)
        for name, wrapper in self.wrappers.items():
            own = self._of_wrapper(name, values)
            for key, param in mapping.view(wrapper.acts_on, params, lanes).items():
                slots = mapping.over_lanes(wrapper.acts_on, wrapper.init_tensor, (param,), own, lanes)
                state.setdefault(key, {}).update({f"{name}.{slot}": t for slot, t in slots.items()})
        return state

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
        """One step, up to the projection. Arguments and results as for `Rule.update`."""
        values = {**self.hyper(), **(hyper or {})}
        c = {name: w.coefficients(self._of_wrapper(name, values), step) for name, w in self.wrappers.items()}
        new = {key: dict(slots) for key, slots in state.items()}
        for name, wrapper in self.wrappers.items():
            if type(wrapper).before is not Wrapper.before:  # an identity would still be mapped over the lanes
                grads = self._around(name, wrapper.before, grads, new, params, c[name], lanes)
        inner = {key: {slot: t for slot, t in slots.items() if "." not in slot} for key, slots in new.items()}
        updates, inner = self.rule.update(grads, inner, params, self._of_rule(values), step, extra, lanes)
        for key, slots in inner.items():
            new[key].update(slots)
        for name, wrapper in self.wrappers.items():
            if type(wrapper).after is not Wrapper.after:
                updates = self._around(name, wrapper.after, updates, new, params, c[name], lanes)
        return updates, new

    def project(self, params: Tensors, hyper: Hyper | None = None, lanes: int | None = None, step: int = 1) -> Tensors:
        """The parameters after the update of this step was added to them, projected by every wrapper in turn."""
        values = {**self.hyper(), **(hyper or {})}
        for name, wrapper in self.wrappers.items():
            if wrapper.projects:
                c = wrapper.coefficients(self._of_wrapper(name, values), step)
                viewed = mapping.view(wrapper.acts_on, params, lanes)
                done = {
                    key: mapping.over_lanes(wrapper.acts_on, wrapper.project, (param,), c, lanes)
                    for key, param in viewed.items()
                }
                params = mapping.unview(wrapper.acts_on, done, params, lanes)
        return params

    def _parts(self) -> list[Rule | Wrapper]:
        return [self.rule, *self.wrappers.values()]

    def _of_rule(self, values: Hyper) -> Hyper:
        return {k: v for k, v in values.items() if not k.startswith("wrapper.")}

    def _of_wrapper(self, name: str, values: Hyper) -> Hyper:
        prefix = f"wrapper.{name}."
        return {"lr": values["lr"]} | {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}

    def _around(
        self,
        name: str,
        method: Callable[[Tensor, Tensors, Tensor, Hyper], tuple[Tensor, Tensors]],
        tensors: Tensors,
        state: State,
        params: Tensors,
        c: Hyper,
        lanes: int | None,
    ) -> Tensors:
        """`method` of one wrapper over all tensors; its slots in `state`, which is ours, are replaced."""
        acts_on, prefix = self.wrappers[name].acts_on, f"{name}."
        viewed, done = mapping.view(acts_on, tensors, lanes), {}
        for key, param in mapping.view(acts_on, params, lanes).items():
            slots = {k.removeprefix(prefix): t for k, t in state[key].items() if k.startswith(prefix)}
            done[key], slots = mapping.over_lanes(acts_on, method, (viewed[key], slots, param), c, lanes)
            state[key].update({prefix + slot: t for slot, t in slots.items()})
        return mapping.unview(acts_on, done, tensors, lanes)
