"""One forward and one backward pass over a batch, in which layers' shares of the examples' gradients are summed."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from experiments.measure.statistics.contribution import Contribution
from experiments.measure.statistics.examples import Examples, Losses
from experiments.measure.statistics.joined import Joined
from experiments.measure.statistics.layer import Layer
from experiments.measure.statistics.trace import Params, Trace
from experiments.tasks.example_sums import Wants


@dataclass
class Sources:
    """What gradients are made of; it remembers what was found out about the model. model: None, use no formulas."""

    losses: Losses
    model: nn.Module | None
    memory: int
    agreeing: dict[nn.Module, bool] = field(default_factory=dict)
    led: dict[tuple[Any, ...], list[bool]] = field(default_factory=dict)

    def led_by_examples(self, trace: Trace, params: Params, batch: Params) -> list[bool]:
        """For each use of a trace, whether the first axis of its gradient is the example.

        A length of B does not tell, for there may be as many positions: with one example it must be 1. That is tried
        once for each sequence of layers, and leaves the random numbers as they were.
        """
        key, count = tuple(use.key for use in trace.uses), len(next(iter(batch.values())))
        if key not in self.led:
            assert self.model is not None
            leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
            alone = Trace(self.model, leaves, self.agreeing)
            with torch.random.fork_rng(_cuda(next(iter(params.values())).device)), alone.noting():
                total = self.losses(leaves, {k: v[:1] for k, v in batch.items()}).sum()
            alone.resolve(total)
            same = tuple(use.key for use in alone.uses) == key
            pairs = zip(alone.uses, trace.uses, strict=False)
            found = [one.shape == (1, *many.shape[1:]) and many.shape[0] == count for one, many in pairs]
            self.led[key] = found if same else [False] * len(key)
        return [led and use.shape[0] == count for led, use in zip(self.led[key], trace.uses, strict=True)]


class Pass:
    """losses: (B,). gradient: of their mean. squared_norms, products: (B,) in float64. squares: in float64.

    What is not wanted stays zero or empty. report: by parameter, how it was done.
    """

    def __init__(
        self, sources: Sources, params: Params, batch: Params, wants: Wants, along: Params | None = None
    ) -> None:
        """along: the direction of the products; None: the gradient itself."""
        self.sources, self.params, self.batch, self.wants, self.along = sources, params, batch, wants, along
        self.count, device = len(next(iter(batch.values()))), next(iter(params.values())).device
        self.products: Tensor
        self.squared_norms, self.products = torch.zeros(2, self.count, dtype=torch.float64, device=device)
        self.squares: Params = {}
        self.report: dict[str, str] = {}
        self._kept: dict[str, Contribution] | None = {}  # None: more than fits in memory
        self._waiting: dict[str, list[Contribution]] = {}
        before = _random_state(device) if wants.products and along is None else []  # a second pass may need it
        rest = self._run()
        if wants.products and along is None and self._kept is None:
            with torch.random.fork_rng(_cuda(device)):
                torch.set_rng_state(before[0])  # the same draws again
                if device.type == "cuda":
                    torch.cuda.set_rng_state(before[1], device)
                self.products = Pass(sources, params, batch, Wants(products=True), self.gradient).products
        elif wants.products and along is None and self._kept:
            for name, contribution in self._kept.items():
                self.products += contribution.inner_products(self.gradient[name], sources.memory)
        again = self._kept is None
        self._kept = None
        if rest:
            self._by_examples(rest, along if along is not None or again else self.gradient)

    def _run(self) -> set[str]:
        """The two passes; returns the parameters whose gradients of examples are still to be made."""
        leaves = {name: p.detach().requires_grad_() for name, p in self.params.items()}
        anything = self.wants != Wants()
        rest = set(leaves) if anything else set()
        with torch.enable_grad():
            if anything and self.sources.model is not None:
                trace = Trace(self.sources.model, leaves, self.sources.agreeing)
                with trace.noting():
                    losses = self.sources.losses(leaves, self.batch)
                total = losses.sum()
                trace.resolve(total)
                rest = self._watch(trace)
                del trace
            else:
                losses = self.sources.losses(leaves, self.batch)
                total = losses.sum()
            self.losses = losses.detach()
            grads = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        for name in list(self._waiting):
            self._add(name, self._waiting.pop(name))  # some use had no gradient after all
        dense = [g.to_dense() if g.is_sparse else g for g in grads]
        self.gradient = {name: g.div_(self.count) for name, g in zip(leaves, dense, strict=True)}
        if self.wants.squares:
            for name in set(leaves) - rest - set(self.squares):
                self.squares[name] = torch.zeros_like(leaves[name], dtype=torch.float64)  # not used at all
        return rest

    def _watch(self, trace: Trace) -> set[str]:
        """Have the uses add their shares as the backward pass comes by; returns the parameters that are not covered."""
        led = self.sources.led_by_examples(trace, self.params, self.batch)
        rest = set(trace.unknown)
        for use, known in zip(trace.uses, led, strict=True):
            rest |= set() if known else set(use.parameters.values())
        uses = [use for use in trace.uses if set(use.parameters.values()) - rest]
        self._counts = Counter(name for use in uses for name in use.parameters.values())
        for use in uses:
            parameters = {own: name for own, name in use.parameters.items() if name not in rest}
            use.node.register_prehook(self._hook([use.layer], use.slot, parameters))
        return rest

    def _hook(self, layer: list[Layer], slot: int, parameters: dict[str, str]) -> Any:
        """What to do when the gradient at a layer's output is known; the layer lives no longer than that."""

        def share(gradients: tuple[Tensor | None, ...]) -> None:
            e, kept = gradients[slot], layer.pop()
            if e is None:
                return
            with torch.no_grad():
                for own, contribution in kept.contributions(e, set(parameters)).items():
                    name = parameters[own]
                    if self._counts[name] == 1:
                        self._add(name, [contribution])
                        continue
                    waiting = self._waiting.setdefault(name, [])
                    waiting.append(contribution)
                    if len(waiting) == self._counts[name]:
                        self._add(name, self._waiting.pop(name))

        return share

    def _add(self, name: str, uses: list[Contribution]) -> None:
        """Take the share of a parameter, whose uses are complete."""
        contribution, memory = uses[0] if len(uses) == 1 else Joined(uses), self.sources.memory
        self.report[name] = contribution.form
        if self.wants.norms:
            self.squared_norms += contribution.squared_norms(memory)
        if self.wants.squares:
            self.squares[name] = contribution.squares(memory)
        if self.wants.products and self.along is not None:
            self.products += contribution.inner_products(self.along[name], memory)
        elif self.wants.products and self._kept is not None:
            self._kept[name] = contribution
            if sum(c.bytes_held for c in self._kept.values()) > memory:
                self._kept = None

    def _by_examples(self, rest: set[str], along: Params | None) -> None:
        """Add the shares of the parameters that no formula covers; along: the direction, if products are missing."""
        along = along if self.wants.products else None
        examples = Examples(self.sources.losses, self.params, rest, self.batch, self.sources.memory)
        norms, products, squares = examples.sums(self.gradient, along, self.wants.squares)
        if self.wants.norms:
            self.squared_norms += norms
        if products is not None:
            self.products += products
        self.squares |= squares or {}
        self.report |= dict.fromkeys(sorted(rest), f"gradients of single examples, {examples.at_once} at a time")


def _cuda(device: torch.device) -> list[torch.device]:
    """The devices beside the CPU whose random numbers a pass draws."""
    return [device] if device.type == "cuda" else []


def _random_state(device: torch.device) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(one) for one in _cuda(device))]
