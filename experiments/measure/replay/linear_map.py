"""A linear function of tensors as a list of operations, replayed without autograd.

Chains of coordinate-wise operations are folded into sums of coefficient times tensor, and matrix products that are
added up are accumulated in place: what is left of a Hessian product is little more than its matrix products.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from experiments.measure.replay.call import Call, Coefficient, Value, aten
from experiments.measure.replay.fold import fold, is_one, shape_of

_Either = tuple[Callable[..., Any], Callable[..., Any]]  # an operation that makes a new tensor, and the one in place
_ADD: _Either = (torch.add, Tensor.add_)
_ADD_PRODUCT: _Either = (torch.addcmul, Tensor.addcmul_)
# Matrix products, and how one is added to a tensor.
_MATRIX: dict[Any, _Either] = {
    aten.mm.default: (torch.addmm, Tensor.addmm_),
    aten.bmm.default: (torch.baddbmm, Tensor.baddbmm_),
}
# What is called in replay: views must work whatever the strides are, and torch's own functions start sooner.
_REPLAYED: dict[Any, Callable[..., Any]] = {
    aten.view.default: Tensor.reshape,
    aten._unsafe_view.default: Tensor.reshape,
    aten.t.default: Tensor.t,
    aten.transpose.int: Tensor.transpose,
    aten.sum.dim_IntList: torch.sum,
    aten.mm.default: torch.mm,
    aten.bmm.default: torch.bmm,
}

_HOLE = object()  # where a tensor goes
_Step = tuple[Callable[..., Any], list[Value], list[Value]]  # a function, what it takes, what it makes


class LinearMap:
    """Takes a list of tensors like the recorded inputs, returns new ones like the recorded outputs."""

    def __init__(self, inputs: list[Value], outputs: list[Value | Tensor], calls: list[Call]) -> None:
        wanted = [v for v in outputs if isinstance(v, Value)]
        with torch.no_grad():
            fold(calls, wanted)
        steps = _steps(calls, wanted)
        slots = {v: i for i, v in enumerate(dict.fromkeys([*inputs, *(v for _, _, made in steps for v in made)]))}
        last = {v: i for i, (_, taken, made) in enumerate(steps) for v in (*taken, *made)}
        ends: list[list[int]] = [[] for _ in steps]
        for value, i in last.items():
            if value not in wanted:
                ends[i].append(slots[value])
        self._steps = [
            (f, [slots[v] for v in taken], [slots[v] for v in made], end)
            for (f, taken, made), end in zip(steps, ends, strict=True)
        ]
        self._room = len(slots) - len(inputs)
        self._outputs = [slots[v] if isinstance(v, Value) else v for v in outputs]

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs for these inputs."""
        held: list[Any] = [*inputs, *([None] * self._room)]
        for function, taken, made, ends in self._steps:
            result = function(*[held[i] for i in taken])
            if len(made) == 1:
                held[made[0]] = result
            else:
                for slot, part in zip(made, result, strict=True):
                    held[slot] = part
            for slot in ends:
                held[slot] = None
        given = {t.untyped_storage().data_ptr() for t in inputs}
        found = [held[o] if isinstance(o, int) else o.clone() for o in self._outputs]
        return [t.clone() if t.untyped_storage().data_ptr() in given else t for t in found]


def _steps(calls: list[Call], wanted: list[Value]) -> list[_Step]:
    """What to do, in order, to have the wanted values."""
    for value in (v for call in calls for v in (*call.outputs, *call.inputs) if v):
        value.uses = 0
    for value in wanted:
        value.uses += 1
    needed = []
    for call in reversed(calls):
        outputs = [v for v in call.outputs if v and v.uses]
        if outputs:
            needed.append(call)
            for value in outputs[0].terms or call.inputs:
                value.uses += 1
    absorbed: set[Call] = set()
    parts: list[tuple[Call, list[_Step]]] = []
    for call in reversed(needed):
        output = call.outputs[0]
        parts.append((call, _sum(output, absorbed) if output and output.terms else [_operation(call)]))
    return [step for call, steps in parts if call not in absorbed for step in steps]


def _sum(value: Value, absorbed: set[Call]) -> list[_Step]:
    """A sum of coefficients times values; products of matrices that nobody else needs are accumulated in it."""
    assert value.terms is not None

    def matrix(base: Value) -> bool:
        call = base.call
        only = base.terms is None and base.uses == 1 and base.shape == value.shape
        return only and call is not None and call.function in _MATRIX

    def rank(term: tuple[Value, Coefficient]) -> tuple[bool, bool]:
        return shape_of(*term) != value.shape, not (matrix(term[0]) and is_one(term[1]))

    (total, scale), *others = sorted(value.terms.items(), key=rank)
    own = matrix(total)  # nobody else sees the tensor: it may be written to
    steps: list[_Step] = []
    if not is_one(scale) or not others:
        steps.append((_bound(torch.mul, (total, scale), {}) if not is_one(scale) else _same, [total], [value]))
        total, own = value, own or not is_one(scale)
    for base, c in others:
        if matrix(base) and not isinstance(c, Tensor):
            assert base.call is not None
            absorbed.add(base.call)
            add, args, options = _MATRIX[base.call.function], [total, *base.call.args], {"alpha": c}
        elif isinstance(c, Tensor):
            add, args, options = _ADD_PRODUCT, [total, base, c], {}
        else:
            add, args, options = _ADD, [total, base], {"alpha": c}
        taken = [a for a in args if isinstance(a, Value)]
        steps.append((_bound(add[own], args, options), taken, [value]))
        total, own = value, True
    return steps


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _operation(call: Call) -> _Step:
    """A call as it was recorded, for the outputs that are needed."""
    run = _bound(_REPLAYED.get(call.function, call.function), call.args, call.kwargs)
    made = [v for v in call.outputs if v and v.uses]
    if not call.several:
        return run, call.inputs, made
    places = [i for i, v in enumerate(call.outputs) if v and v.uses]
    if len(places) == 1:
        return (lambda *tensors: run(*tensors)[places[0]]), call.inputs, made

    def some(*tensors: Tensor) -> list[Any]:
        results = run(*tensors)
        return [results[i] for i in places]

    return some, call.inputs, made


def _bound(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Callable[..., Any]:
    """The function of the `Value`s among the arguments; it holds on to the other arguments alone."""
    blanks = [_blank(a) for a in args]
    holes = [i for i, a in enumerate(blanks) if a is _HOLE]
    if any(x is _HOLE for a in blanks if isinstance(a, list) for x in a):

        def run_nested(*tensors: Tensor) -> Any:
            rest = iter(tensors)

            def filled(a: Any) -> Any:
                return [filled(x) for x in a] if isinstance(a, list) else next(rest) if a is _HOLE else a

            return function(*filled(blanks), **kwargs)

        return run_nested
    if holes == [0]:
        others = tuple(blanks[1:])
        return lambda tensor: function(tensor, *others, **kwargs)

    def run(*tensors: Tensor) -> Any:
        filled = blanks.copy()
        for i, t in zip(holes, tensors, strict=True):
            filled[i] = t
        return function(*filled, **kwargs)

    return run


def _blank(argument: Any) -> Any:
    if isinstance(argument, list | tuple):
        return [_blank(a) for a in argument]
    return _HOLE if isinstance(argument, Value) else argument
