"""Convolutions in one, two and three dimensions: groups, stride, padding (also by name and by mode), dilation."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.measure.statistics.contribution import Contribution, Direct, pieces
from experiments.measure.statistics.layer import Layer
from experiments.measure.statistics.layers.linear import Outer

_CONVOLUTIONS: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Filters(Contribution):
    """`g_i`, (outputs, inputs / groups, *kernel), from the input x (B, inputs, *) and the output's e (B, outputs, *).

    Early layers have many positions: g_i is formed by the weight gradient of a convolution with a group for each
    example. Late ones have few: inner products of positions of the unfolded input, as for a linear layer.
    """

    def __init__(self, x: Tensor, e: Tensor, shape: tuple[int, ...], how: tuple[Any, ...], groups: int) -> None:
        self.x, self.e, self.like, self.shape, self.count = x, e, e, shape, len(e)
        self.how, self.groups = how, groups  # stride, padding and dilation
        outputs, taps, positions = shape[0] // groups, self.shape_size // shape[0], e[0, 0].numel()
        few = positions * (outputs + taps) < outputs * taps
        self.unfolds = few and len(shape) == 4
        if self.unfolds:
            self.form = "inner products of positions"

    @property
    def bytes_held(self) -> int:
        return (self.x.numel() + self.e.numel()) * self.e.element_size()

    def gradients(self, start: int, stop: int) -> Tensor:
        x, e, n = self.x[start:stop], self.e[start:stop], stop - start
        x, e = x.reshape(1, -1, *x.shape[2:]), e.reshape(-1, 1, *e.shape[2:])  # examples in place of channels
        stride, padding, dilation = self.how
        groups = n * self.groups
        if self.shape[1] == 1:  # e slides over x: stride and dilation change places
            found = _CONVOLUTIONS[len(stride)](x, e, None, dilation, padding, stride, groups)
            for axis, length in enumerate(self.shape[2:], start=2):
                found = found.narrow(axis, 0, length)
        else:
            weight = e.new_empty(()).expand(n * self.shape[0], *self.shape[1:])  # only its shape is looked at
            found = torch.ops.aten.convolution_backward(
                e.transpose(0, 1), x, weight, None, stride, padding, dilation, False, [0] * len(stride), groups,
                [False, True, False],
            )[1]  # fmt: skip
        return found.reshape(n, *self.shape)  # type: ignore[no-any-return]

    @property
    def bytes_of_one(self) -> int:
        return super().bytes_of_one + (self.x[0].numel() + self.e[0].numel()) * self.e.element_size()

    def squared_norms(self, memory: int) -> Tensor:
        if not self.unfolds:
            return super().squared_norms(memory)
        stride, padding, dilation = self.how
        found, each = [], 2 * self.x[0].numel() * self.shape_size // self.shape[0] * self.e.element_size()
        for start, stop in pieces(self.count, each, memory):
            x, n = self.x[start:stop], stop - start
            unfolded = F.unfold(x, self.shape[2:], dilation=dilation, padding=padding, stride=stride)
            right = unfolded.reshape(n * self.groups, -1, unfolded.shape[2]).transpose(1, 2)
            left = self.e[start:stop].reshape(n * self.groups, -1, unfolded.shape[2]).transpose(1, 2)
            found.append(Outer(left, right).squared_norms(memory).view(n, self.groups).sum(dim=1))
        return torch.cat(found)

    def inner_products(self, direction: Tensor, memory: int) -> Tensor:
        convolve, each, found = _CONVOLUTIONS[len(self.how[0])], self.e[0].numel() * self.e.element_size(), []
        for start, stop in pieces(self.count, each, memory):
            moved = convolve(self.x[start:stop], direction, None, *self.how, self.groups)
            found.append(torch.linalg.vecdot(moved.flatten(1), self.e[start:stop].flatten(1)).double())
        return torch.cat(found)


class Convolution(Layer):
    """`torch.nn.Conv1d`, `Conv2d` and `Conv3d`."""

    def __init__(self, module: Any, x: Tensor) -> None:
        self.x, self.module, self.shape = x, module, tuple(module.weight.shape)

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        return bool(x.dim() == module.weight.dim())

    def contributions(self, e: Tensor, wanted: set[str]) -> dict[str, Contribution]:
        found: dict[str, Contribution] = {}
        if "weight" in wanted:
            x, padding, module = self.x, self.module.padding, self.module
            if module.padding_mode != "zeros" or padding == "same":
                mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
                x = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
                padding = "valid"
            if padding == "valid":
                padding = (0,) * len(module.stride)
            found["weight"] = Filters(x, e, self.shape, (module.stride, padding, module.dilation), module.groups)
        if "bias" in wanted:
            found["bias"] = Direct(e.flatten(2).sum(dim=2))
        return found
