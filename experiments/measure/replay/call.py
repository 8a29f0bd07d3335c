"""The operations of a recorded linear function, and the tensors between them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

aten: Any = torch.ops.aten
# Coordinate-wise operations that are linear in the tensors that depend on the inputs.
SUMS = {aten.add.Tensor: 1, aten.sub.Tensor: -1}
PRODUCTS = {aten.mul.Tensor, aten.mul.Scalar}
QUOTIENTS = {aten.div.Tensor, aten.div.Scalar}
# These are linear in their first argument: the coefficient is what they make of ones.
DERIVATIVES = {
    aten.tanh_backward.default,
    aten.sigmoid_backward.default,
    aten.gelu_backward.default,
    aten.silu_backward.default,
    aten.threshold_backward.default,
    aten.leaky_relu_backward.default,
    aten.hardtanh_backward.default,
    aten.softplus_backward.default,
}

Coefficient = float | Tensor


class Value:
    """A tensor that depends on the inputs: an input, an output of a call, or a sum of coefficients times values."""

    def __init__(self, like: Tensor, call: "Call | None" = None) -> None:
        self.shape, self.dtype, self.call = like.shape, like.dtype, call
        self.terms: dict[Value, Coefficient] | None = None
        self.uses = 0
        self.kept = False  # somebody needs the tensor itself


class Call:
    """An operation with `Value`s in place of the tensors that depend on the inputs."""

    def __init__(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        self.function, self.args, self.kwargs = function, list(args), kwargs
        self.inputs = [a for a in flat(args) if isinstance(a, Value)]
        self.outputs: list[Value | None] = []
        self.several = False  # does it return a tuple?

    @property
    def foldable(self) -> bool:
        """Is its output a sum of coefficients times its inputs?"""
        f = self.function
        if f in SUMS:
            return all(isinstance(a, Value) for a in self.args)
        return len(self.inputs) == 1 and (
            f in PRODUCTS
            or (isinstance(self.args[0], Value) and (f in QUOTIENTS or f in DERIVATIVES or f is aten.neg.default))
        )


def flat(args: Sequence[Any]) -> list[Any]:
    """The arguments of an operation with those in lists."""
    return [x for a in args for x in (a if isinstance(a, list | tuple) else (a,))]
