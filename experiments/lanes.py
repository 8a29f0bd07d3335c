"""The lanes of a job: many copies of a model side by side, moved by one rule.

All parameters live in one tensor (lanes, D); the model's own tensors are views of it.
"""

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from experiments.tasks.task import Params
from optim import foreign
from optim.foreign import TorchOptimizer
from optim.rule import Rule, State
from optim.wrapped import Wrapped


class Stepper(Protocol):
    """What moves the lanes."""

    skips: bool  # whether coordinates without a gradient stay as they are, so that `step_touched` may be used

    def step(self, grads: Params, step: int, factor: float, alive: Tensor | None) -> None:
        """Take step t with the learning rate times `factor`; lanes that are not `alive` stay where they are."""

    def step_touched(
        self, touched: Tensor, grad: Tensor, where: Tensor, step: int, factor: float, alive: Tensor | None
    ) -> None:
        """The same where the gradient is zero outside the columns `where` (s,) of the flat parameters, of which
        `touched` is a copy to be changed; it and `grad` are (L, s).
        """

    def tensors(self) -> dict[str, Tensor]:
        """The state to keep in a checkpoint."""

    def numbers(self) -> dict[str, Any]:
        """The part of the state that is plain numbers."""

    def load(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""


class Lanes:
    """Parameters of L lanes: `flat` (L, D), and `params`, views (L, ...) of it by name."""

    def __init__(self, starts: list[Params], repeats: int, by_coordinate: bool = False) -> None:
        """One start per seed, each repeated for the hyper-parameters: lanes are in seed-major order.

        `by_coordinate`: the lanes of a coordinate are next to each other in memory, which suits steps that touch a few
        coordinates only.
        """
        rows = [torch.cat([p.reshape(-1) for p in start.values()]) for start in starts]
        flat = torch.stack(rows).repeat_interleave(repeats, dim=0)
        self.flat = flat.T.contiguous().T if by_coordinate else flat.contiguous()
        self.count = self.flat.shape[0]
        self.shapes = {name: p.shape for name, p in starts[0].items()}
        self.params = self.view(self.flat)

    def view(self, flat: Tensor) -> Params:
        """A flat tensor (L, D) as named tensors (L, ...) that share its memory."""
        parts = flat.split([math.prod(shape) for shape in self.shapes.values()], dim=1)
        return {
            name: part.view(self.count, *shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def take(self, flat: Tensor, where: Tensor) -> Tensor:
        """The columns `where` (s,) of a flat tensor (L, D): (L, s), in the same order in memory."""
        return flat.T.index_select(0, where).T

    def put(self, flat: Tensor, where: Tensor, values: Tensor) -> None:
        """Write values (L, s) to the columns `where` (s,) of a flat tensor (L, D)."""
        flat.T.index_copy_(0, where, values.T)

    def flatten(self, tensors: Params) -> Tensor:
        """Named tensors (L, ...) as one (L, D)."""
        parts = [t.reshape(self.count, -1) for t in tensors.values()]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class RuleStepper:
    """Moves the lanes by an update rule of this repository."""

    def __init__(self, rule: Rule | Wrapped, lanes: Lanes, hypers: list[dict[str, float]]) -> None:
        self.rule, self.lanes = rule, lanes
        device = lanes.flat.device
        columns = {name: [h[name] for h in hypers] for name in hypers[0]}
        self.hyper: dict[str, Any] = {
            name: values[0] if len(set(values)) == 1 else torch.tensor(values, dtype=torch.float64, device=device)
            for name, values in columns.items()
        }
        self.whole = rule.acts_on != "tensors"
        self.skips = self.whole and rule.still_without_gradient
        self.state: State = rule.init(self._of(lanes.flat), self.hyper, lanes.count)

    def _of(self, flat: Tensor) -> Params:
        return {"": flat} if self.whole else self.lanes.view(flat)

    def step(self, grads: Params, step: int, factor: float, alive: Tensor | None) -> None:
        gradient = {"": self.lanes.flatten(grads)} if self.whole else grads
        updates, self.state = self._update(gradient, self.state, self._of(self.lanes.flat), step, factor)
        update = updates[""] if self.whole else self.lanes.flatten(updates)
        self.lanes.flat.add_(_where(alive, update))
        if isinstance(self.rule, Wrapped) and self.rule.projects:
            self._project(self.rule, step, factor, alive)

    def step_touched(
        self, touched: Tensor, grad: Tensor, where: Tensor, step: int, factor: float, alive: Tensor | None
    ) -> None:
        flat, slots = self.lanes.flat, self.state[""]
        whole = {name for name, slot in slots.items() if slot.shape == flat.shape}
        narrow = {name: self.lanes.take(slot, where) if name in whole else slot for name, slot in slots.items()}
        updates, state = self._update({"": grad}, {"": narrow}, {"": touched}, step, factor)
        self.lanes.put(flat, where, touched.add_(_where(alive, updates[""])))
        for name, slot in state[""].items():
            if name in whole:
                self.lanes.put(slots[name], where, slot)
            else:
                slots[name] = slot

    def _update(self, grads: Params, state: State, params: Params, step: int, factor: float) -> tuple[Params, State]:
        return self.rule.update(grads, state, params, self._hyper(factor), step, lanes=self.lanes.count)

    def _project(self, rule: Wrapped, step: int, factor: float, alive: Tensor | None) -> None:
        flat = self.lanes.flat
        found = rule.project(self._of(flat), self._hyper(factor), self.lanes.count, step)
        projected = found[""] if self.whole else self.lanes.flatten(found)
        flat.copy_(projected if alive is None else torch.where(alive[:, None], projected, flat))

    def _hyper(self, factor: float) -> dict[str, Any]:
        return self.hyper if factor == 1.0 else {**self.hyper, "lr": self.hyper["lr"] * factor}

    def tensors(self) -> dict[str, Tensor]:
        return {f"{name}/{slot}": t for name, slots in self.state.items() for slot, t in slots.items()}

    def numbers(self) -> dict[str, Any]:
        return {}

    def load(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        for key, value in tensors.items():
            name, _, slot = key.rpartition("/")
            at_start = self.state[name][slot]  # it knows how its entries are laid out in memory
            self.state[name][slot] = torch.empty_like(at_start).copy_(value)


class TorchStepper:
    """Moves a single lane by a class of `torch.optim.Optimizer`."""

    skips = False

    def __init__(self, optimizer: TorchOptimizer, lanes: Lanes, hypers: list[dict[str, float]]) -> None:
        assert lanes.count == 1, "a torch.optim class runs one lane at a time"
        self.leaves = [p[0].detach().requires_grad_() for p in lanes.params.values()]
        whole = {k for k, v in optimizer.arguments.items() if isinstance(v, int)}  # a class may insist on an int
        given = {k: int(v) if k in whole and v.is_integer() else v for k, v in hypers[0].items()}
        self.inner = optimizer.load()(self.leaves, **{**optimizer.arguments, **given})
        self.base = [group.get("lr") for group in self.inner.param_groups]

    def step(self, grads: Params, step: int, factor: float, alive: Tensor | None) -> None:
        for leaf, grad in zip(self.leaves, grads.values(), strict=True):
            leaf.grad = grad[0]
        for group, lr in zip(self.inner.param_groups, self.base, strict=True):
            if lr is not None:
                group["lr"] = lr * factor
        with torch.enable_grad():
            self.inner.step()

    def step_touched(
        self, touched: Tensor, grad: Tensor, where: Tensor, step: int, factor: float, alive: Tensor | None
    ) -> None:
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        return foreign.keep(self.inner)[0]

    def numbers(self) -> dict[str, Any]:
        return {"kept": foreign.keep(self.inner)[1]}

    def load(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        foreign.restore(self.inner, tensors, numbers["kept"])


def _where(alive: Tensor | None, update: Tensor) -> Tensor:
    """The update (L, ...), zero for lanes that are not alive."""
    return update if alive is None else torch.where(alive[:, None], update, torch.zeros_like(update))
