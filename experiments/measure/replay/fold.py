"""Coordinate-wise operations as sums of coefficients times tensors, so that chains of them become one step."""

import torch
from torch import Tensor

from experiments.measure.replay.call import DERIVATIVES, QUOTIENTS, SUMS, Call, Coefficient, Value, aten

_MOST_TERMS = 2  # a longer sum that is used several times is computed once


def fold(calls: list[Call], wanted: list[Value]) -> None:
    """Write coordinate-wise values as sums of coefficients times earlier values."""
    for value in wanted:
        value.uses, value.kept = 1, True
    for call in reversed(calls):
        if any(v.uses for v in call.outputs if v):
            for value in call.inputs:
                value.uses += 1
                value.kept |= not call.foldable
    for call in calls:
        output = call.outputs[0]
        if output and output.uses and call.foldable:
            terms = _terms(call)
            whole = any(shape_of(v, c) == output.shape for v, c in terms.items())
            if whole and all(v.dtype == output.dtype for v in terms):
                output.terms = terms
                output.kept |= len(terms) > _MOST_TERMS and output.uses > 1


def _terms(call: Call) -> dict[Value, Coefficient]:
    parts = [{v: 1.0} if v.kept or v.terms is None else v.terms for v in call.inputs]
    if call.function not in SUMS:
        factor = _factor(call)
        return {v: _times(c, factor) for v, c in parts[0].items()}
    terms, sign = dict(parts[0]), float(SUMS[call.function] * call.kwargs.get("alpha", 1))
    for value, c in parts[1].items():
        terms[value] = terms[value] + _times(c, sign) if value in terms else _times(c, sign)
    return terms


def _factor(call: Call) -> Coefficient:
    if call.function is aten.neg.default:
        return -1.0
    if call.function in DERIVATIVES:
        derivative: Tensor = call.function(torch.ones_like(call.args[1]), *call.args[1:], **call.kwargs)
        return derivative
    (other,) = (a for a in call.args if not isinstance(a, Value))
    if isinstance(other, Tensor):
        other = other.to(call.inputs[0].dtype) if other.dim() else other.item()
    return 1 / other if call.function in QUOTIENTS else other  # type: ignore[no-any-return]


def _times(a: Coefficient, b: Coefficient) -> Coefficient:
    return b if is_one(a) else a if is_one(b) else a * b


def is_one(c: Coefficient) -> bool:
    """Is it the number 1?"""
    return not isinstance(c, Tensor) and c == 1


def shape_of(value: Value, c: Coefficient) -> torch.Size:
    """The shape of the coefficient times the value."""
    if not isinstance(c, Tensor) or c.shape == value.shape:
        return value.shape
    return torch.Size(torch.broadcast_shapes(value.shape, c.shape))
