"""A forward pass in which calls of known layers are noted, and which parameters the graph uses anywhere else."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from experiments.measure.statistics.contribution import Contribution, Direct
from experiments.measure.statistics.layer import Layer
from experiments.measure.statistics.layers import kind_of
from experiments.measure.statistics.layers.embedding import Embedding
from optim.settings import SettingError

Params = dict[str, Tensor]


class Added(Layer):
    """A parameter that is added to every example as it is: the gradient of the sum is the example's."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def contributions(self, e: Tensor, wanted: set[str]) -> dict[str, Contribution]:
        return {"": Direct(e.reshape(len(e), -1, *self.shape).sum(dim=1))}


@dataclass
class Use:
    """One use of parameters: the gradient at output `slot` of the graph's `node` gives their examples' gradients.

    parameters: names by the layer's own ("weight"). shape: of that gradient.
    """

    layer: Layer
    parameters: dict[str, str]
    node: Any
    slot: int
    shape: tuple[int, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        return (type(self.layer), tuple(sorted(self.parameters.items())))


class Trace:
    """Notes calls of known layers during `noting`; then `resolve` tells which uses there are of which parameters."""

    def __init__(self, model: nn.Module, leaves: Params, agreeing: dict[nn.Module, bool]) -> None:
        """leaves: the parameters by name, which require gradients. agreeing: modules whose kind was verified."""
        self.model, self.leaves, self.agreeing = model, leaves, agreeing
        self.names = {id(p): name for name, p in leaves.items()}
        self.uses: list[Use] = []
        self.unknown: set[str] = set()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Hooks on the layers, before any of the user's."""
        handles = []
        for module in self.model.modules():
            kind = kind_of(module) if module._parameters else None
            if kind is not None:
                hook = self._hook(kind)
                handles.append(module.register_forward_hook(hook, prepend=True, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, kind: type[Layer]) -> Any:
        def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            owned = {own: self.names.get(id(module._parameters.get(own))) for own in kind.parameters}
            parameters = {own: name for own, name in owned.items() if name is not None}
            given = [*args, *kwargs.values()]
            if not parameters or len(given) != 1 or not isinstance(given[0], Tensor) or output.grad_fn is None:
                return
            if self.agreeing.get(module, True) and kind.takes(module, given[0]):
                layer, shape = kind(module, given[0].detach()), tuple(output.shape)
                if module not in self.agreeing:
                    self.agreeing[module] = layer.agrees(output.detach())
                    if not self.agreeing[module]:
                        return
                self.uses.append(Use(layer, parameters, output.grad_fn, output.output_nr, shape))

        return note

    def resolve(self, total: Tensor) -> None:
        """Follow the graph of the total loss: uses of parameters that no noted call explains make these unknown.

        Afterwards `uses` holds those that explain all uses of their parameters, and layers or parameters whose output
        is shared by the examples and only added to something of each are followed to the sum. Raises SettingError where
        the losses do not depend on any parameter.
        """
        if total.grad_fn is None:
            raise SettingError("the losses do not depend on the parameters")
        watched = {use.node for use in self.uses}
        reached, edges, users = _walk(total.grad_fn, watched, self.names)
        uses = [use for use in self.uses if use.node in reached]
        noted = Counter(name for use in uses for name in use.parameters.values())
        for name, adders in edges.items():
            own = tuple(self.leaves[name].shape)
            if not noted[name] and _adds(adders[0]):
                shape = _shape_of(adders[0])
                if len(shape) > len(own) and shape[len(shape) - len(own) :] == own:
                    uses.append(Use(Added(own), {"": name}, adders[0], 0, shape))
                    noted[name] = 1
        for use in uses:
            if isinstance(use.layer, Embedding) and len(users[use.node]) == 1 and _adds(users[use.node][0]):
                shape, own = _shape_of(users[use.node][0]), use.shape
                if shape[1:] == own or (own[:1] == (1,) and shape[1:] == own[1:]):
                    use.node, use.slot, use.shape = users[use.node][0], 0, shape
        known = {name for name, adders in edges.items() if noted[name] == len(adders)}
        self.unknown = set(edges) - known
        self.uses = [use for use in uses if known & set(use.parameters.values())]
        for use in self.uses:
            use.parameters = {own: name for own, name in use.parameters.items() if name in known}


def _walk(
    start: Any, watched: set[Any], names: dict[int, str]
) -> tuple[set[Any], dict[str, list[Any]], dict[Any, Any]]:
    """What a graph reaches: all nodes, by parameter the nodes that use it, and by watched node those that use it."""
    seen, waiting = {start}, [start]
    edges: dict[str, list[Any]] = {}
    users: dict[Any, list[Any]] = {node: [] for node in watched}
    while waiting:
        node = waiting.pop()
        for after, _ in node.next_functions:
            if after is None:
                continue
            if after in watched:
                users[after].append(node)
            name = names.get(id(after.variable)) if hasattr(after, "variable") else None
            if name is not None:
                edges.setdefault(name, []).append(node)
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return seen, edges, users


def _shape_of(node: Any) -> tuple[int, ...]:
    return tuple(node._input_metadata[0].shape)


def _adds(node: Any) -> bool:
    return type(node).__name__ == "AddBackward0" and node._saved_alpha == 1
