"""The contract of a kind of layer whose examples' gradients are known from its input and output gradient."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from experiments.measure.statistics.contribution import Contribution


class Layer:
    """One call of a module: made in the forward pass, it gives the examples' gradients in the backward pass.

    It keeps what the call saw: buffers and parameters of a module may be others by the time of the backward pass.
    parameters: the module's own names of those that the call uses.
    """

    parameters: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        """x: the input of the call."""
        raise NotImplementedError

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        """Whether the formulas hold for these settings of the module and this input."""
        return True

    def agrees(self, output: Tensor) -> bool:
        """Whether the module computed what this kind supposes; looked at once, for kinds known by name alone."""
        return True

    def same(self, expected: Tensor, output: Tensor) -> bool:
        """Whether two tensors are equal but for rounding."""
        if expected.shape != output.shape:
            return False
        off = (expected - output).abs().amax() if output.numel() else torch.zeros(())
        return bool(off <= 100 * torch.finfo(output.dtype).eps * (1 + output.abs().amax()))

    def contributions(self, e: Tensor, wanted: set[str]) -> dict[str, Contribution]:
        """The examples' gradients of the wanted ones of its parameters.

        e: the gradient of the sum of the losses at the output, whose first axis is the example.
        """
        raise NotImplementedError
