"""Linear layers, with and without positions, and the transposed ones (Conv1D) of GPT-2 in transformers.

An example's gradient of the weight is `sum_t e_t a_t'`, with e_t the gradient of its loss at the output and a_t the
input at position t; section 5 of shared/papers/adadagrad.md.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.measure.statistics.contribution import Contribution, Direct, pieces, row_squares
from experiments.measure.statistics.layer import Layer


class Outer(Contribution):
    """`g_i = sum_t l_it r_it'` (rows, columns), from left (B, T, rows) and right (B, T, columns).

    With one position its norm is a product of norms. Otherwise `||g_i||^2 = <L_i L_i', R_i R_i'>` (T x T matrices)
    where that takes fewer products than forming g_i.
    """

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left, self.right, self.like = left, right, left
        self.count, self.positions, rows = left.shape
        self.shape = (rows, right.shape[2])
        rows, columns = self.shape
        self.between_positions = self.positions * (rows + columns) < 2 * rows * columns  # the others run at half speed
        if self.positions == 1:
            self.form = "products of norms"
        elif self.between_positions:
            self.form = "inner products of positions"

    def gradients(self, start: int, stop: int) -> Tensor:
        return self.left[start:stop].transpose(1, 2) @ self.right[start:stop]

    @property
    def bytes_held(self) -> int:
        return (self.left.numel() + self.right.numel()) * self.left.element_size()

    def squared_norms(self, memory: int) -> Tensor:
        if self.positions == 1:
            return row_squares(self.left) * row_squares(self.right)
        if not self.between_positions:
            return super().squared_norms(memory)
        found, each = [], 2 * self.positions**2 * self.left.element_size()
        for start, stop in pieces(self.count, each, memory):
            left, right = self.left[start:stop], self.right[start:stop]
            both = [(side @ side.transpose(1, 2)).flatten(1) for side in (left, right)]
            found.append(torch.linalg.vecdot(*both).double())
        return torch.cat(found)

    def inner_products(self, direction: Tensor, memory: int) -> Tensor:
        (rows, columns), item = self.shape, self.left.element_size()
        found, each = [], self.positions * min(rows, columns) * item
        for start, stop in pieces(self.count, each, memory):
            left, right = self.left[start:stop], self.right[start:stop]
            if rows < columns:
                product, other = right @ direction.T, left
            else:
                product, other = left @ direction, right
            found.append(torch.linalg.vecdot(product.flatten(1), other.flatten(1)).double())
        return torch.cat(found)

    def squares(self, memory: int) -> Tensor:
        if self.positions > 1:
            return super().squares(memory)
        return (self.left[:, 0].square().T @ self.right[:, 0].square()).double()


class Linear(Layer):
    """`torch.nn.Linear`: weight (outputs, inputs), bias (outputs,)."""

    transposed = False

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        self.x = x

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        return x.dim() >= 2

    def contributions(self, e: Tensor, wanted: set[str]) -> dict[str, Contribution]:
        count = len(e)
        outputs, inputs = e.reshape(count, -1, e.shape[-1]), self.x.reshape(count, -1, self.x.shape[-1])
        found: dict[str, Contribution] = {}
        if "weight" in wanted:
            found["weight"] = Outer(inputs, outputs) if self.transposed else Outer(outputs, inputs)
        if "bias" in wanted:
            found["bias"] = Direct(outputs[:, 0] if outputs.shape[1] == 1 else outputs.sum(dim=1))
        return found


class Transposed(Linear):
    """`Conv1D` of transformers, known by its name: weight (inputs, outputs), bias (outputs,)."""

    transposed = True

    def __init__(self, module: Any, x: Tensor) -> None:
        super().__init__(module, x)
        self._weight, self._bias = module.weight.detach(), module.bias.detach()

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        weight = module._parameters.get("weight")
        return x.dim() >= 2 and weight is not None and weight.dim() == 2 and module._parameters.get("bias") is not None

    def agrees(self, output: Tensor) -> bool:
        return self.same(F.linear(self.x, self._weight.T, self._bias), output)
