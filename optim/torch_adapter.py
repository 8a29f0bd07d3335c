"""Every update rule as an ordinary `torch.optim.Optimizer`."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim import expand_aliases, settings
from optim.rule import Rule, Tensors
from optim.settings import SettingError

_TORCH_KEYS: dict[str, Any] = {"weight_decay": 0.0, "maximize": False}


class RuleOptimizer(torch.optim.Optimizer):
    """Drives one rule; made by `optim.torch_optimizer`. Its state is kept per parameter, as torch's own are.

    Besides the rule's settings it takes torch's `maximize` and, unless the rule has a decay of its own, `weight_decay`
    (an l2 term added to the gradient). A rule that acts on the vector of all parameters spans all groups; groups may
    then differ in lr only.
    """

    rule_class: ClassVar[type[Rule]]

    def __init__(self, params: Iterable[Any], **keywords: Any) -> None:
        rule = self.rule_class()
        defaults = {**self._torch_keys(), **{name: getattr(rule, name) for name in settings.names(rule)}}
        super().__init__(params, {**defaults, **self._checked(keywords)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, whose settings are checked like those of the constructor."""
        given = {k: v for k, v in param_group.items() if k not in ("params", "param_names")}
        rest = {k: v for k, v in param_group.items() if k not in given}
        super().add_param_group({**rest, **self._checked(given)})

    @classmethod
    def _torch_keys(cls) -> dict[str, Any]:
        own = settings.names(cls.rule_class)
        return {k: default for k, default in _TORCH_KEYS.items() if k not in own}

    @classmethod
    def _checked(cls, keywords: dict[str, Any]) -> dict[str, Any]:
        rule, name = cls.rule_class, cls.rule_class.__name__
        given = expand_aliases(rule, keywords)
        mine = {
            k: settings.check(given.pop(k), type(default), {"minimum": 0.0}, f"{name}.{k}")
            for k, default in cls._torch_keys().items()
            if k in given
        }
        built = settings.build(rule, given, name)
        return {**mine, **{k: getattr(built, k) for k in given}}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step over every parameter that has a gradient; returns the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.rule_class.acts_on == "vector":
            self._step_together([(p, group) for group in self.param_groups for p in group["params"]])
        else:
            for group in self.param_groups:
                for p in group["params"]:
                    self._step_one(p, group)
        return loss

    def _rule(self, group: dict[str, Any]) -> Rule:
        return self.rule_class(**{name: group[name] for name in settings.names(self.rule_class)})

    def _gradient(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        if p.grad is None or p.grad.is_sparse:
            raise RuntimeError(f"{type(self).__name__} needs dense gradients")
        grad = -p.grad if group["maximize"] else p.grad
        coupled = group["weight_decay"] if "weight_decay" in self._torch_keys() else 0.0
        return grad + coupled * p if coupled else grad

    def _step_one(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.grad is None:
            return
        rule, params = self._rule(group), {"": p}
        state = self.state[p]
        if not state:
            state.update({"step": 0, **rule.init(params)[""]})
        step = state["step"] + 1
        slots = {k: v for k, v in state.items() if k != "step"}
        updates, new = rule.update({"": self._gradient(p, group)}, {"": slots}, params, step=step)
        p.add_(updates[""])
        state.update({"step": step, **new[""]})

    def _step_together(self, members: list[tuple[Tensor, dict[str, Any]]]) -> None:
        if all(p.grad is None for p, _ in members):
            return
        groups = [group for _, group in members]
        for name in settings.names(self.rule_class):
            if name != "lr" and len({group[name] for group in groups}) > 1:
                raise SettingError(
                    f"{type(self).__name__} acts on all parameters at once: groups may differ in lr only"
                )
        rule = self._rule(groups[0])
        params = {str(i): p for i, (p, _) in enumerate(members)}
        begun: dict[str, Any] = next((dict(self.state[p]) for p, _ in members if self.state[p]), {"step": 0})
        joining = [(p, group) for p, group in members if not self.state[p]]
        if joining:
            started = rule.init({str(i): p for i, (p, _) in enumerate(joining)})[""]
            shared = {k: begun[k] for k, value in started.items() if value.dim() == 0 and k in begun}
            self._spread(joining, {**started, **shared}, begun["step"])
        step = self.state[members[0][0]]["step"] + 1
        grads = {  # a parameter without a gradient has a gradient of zero
            str(i): torch.zeros_like(p) if p.grad is None else self._gradient(p, group)
            for i, (p, group) in enumerate(members)
        }
        updates, new = rule.update(grads, {"": self._gather(members)}, params, {"lr": 1.0}, step)
        for i, (p, group) in enumerate(members):
            p.add_(updates[str(i)], alpha=group["lr"])
        self._spread(members, new[""], step)

    def _gather(self, members: list[tuple[Tensor, dict[str, Any]]]) -> Tensors:
        first = self.state[members[0][0]]
        slots = [k for k in first if k != "step"]
        shared = {k for k in slots if first[k].dim() == 0}
        return {
            k: first[k] if k in shared else torch.cat([self.state[p][k].reshape(-1) for p, _ in members]) for k in slots
        }

    def _spread(self, members: list[tuple[Tensor, dict[str, Any]]], slots: Tensors, step: int) -> None:
        """Give every parameter its part of the flat state; scalars are shared by all."""
        sizes = [p.numel() for p, _ in members]
        for k, value in slots.items():
            parts = [value] * len(members) if value.dim() == 0 else value.split(sizes)
            for (p, _), part in zip(members, parts, strict=True):
                self.state[p][k] = part if value.dim() == 0 else part.reshape(p.shape)
        for p, _ in members:
            self.state[p]["step"] = step


def optimizer_class(name: str, rule_class: type[Rule]) -> type[RuleOptimizer]:
    """A class of `torch.optim.Optimizer` for one rule."""
    return type(rule_class.__name__, (RuleOptimizer,), {"rule_class": rule_class, "__doc__": rule_class.__doc__})
