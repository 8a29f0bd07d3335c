"""Embeddings: an example's gradient has a row for each token that occurs in it."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from experiments.measure.statistics.contribution import Contribution, pieces, row_squares
from experiments.measure.statistics.layer import Layer


class Rows(Contribution):
    """`g_i` (rows, width) whose row v is the sum of values_it over the positions t with tokens_it = v.

    tokens: (B, T) int64. values: (B, T, width). Norms by sums over equal tokens (section 5 of the paper's page).
    """

    form = "sums over equal tokens"

    def __init__(self, tokens: Tensor, values: Tensor, rows: int) -> None:
        self.tokens, self.values, self.like = tokens, values, values
        self.count, self.shape = len(values), (rows, values.shape[2])

    def gradients(self, start: int, stop: int) -> Tensor:
        keys, values = self._flat(start, stop)
        dense = values.new_zeros((stop - start) * self.shape[0], self.shape[1])
        return dense.index_add_(0, keys, values).view(stop - start, *self.shape)

    @property
    def bytes_held(self) -> int:
        return self.values.numel() * self.values.element_size() + self.tokens.numel() * 8

    def squared_norms(self, memory: int) -> Tensor:
        found = []
        for start, stop, keys, sums in self._sums(memory):
            total = torch.zeros(stop - start, dtype=torch.float64, device=sums.device)
            found.append(total.index_add_(0, keys // self.shape[0], row_squares(sums)))
        return torch.cat(found)

    def inner_products(self, direction: Tensor, memory: int) -> Tensor:
        each, found = 2 * self.values[0].numel() * self.values.element_size(), []
        for start, stop in pieces(self.count, each, memory):
            chosen = torch.nn.functional.embedding(self.tokens[start:stop], direction)
            found.append(torch.linalg.vecdot(chosen.flatten(1), self.values[start:stop].flatten(1)).double())
        return torch.cat(found)

    def squares(self, memory: int) -> Tensor:
        total = torch.zeros(self.shape, dtype=torch.float64, device=self.values.device)
        for _, _, keys, sums in self._sums(memory):
            total.index_add_(0, keys % self.shape[0], sums.double().square())
        return total

    def _flat(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        offsets = torch.arange(stop - start, device=self.tokens.device)[:, None] * self.shape[0]
        return (self.tokens[start:stop] + offsets).flatten(), self.values[start:stop].flatten(0, 1)

    def _sums(self, memory: int) -> Any:
        """By chunk [start, stop): the keys (example - start) * rows + token that occur, and their values' sums."""
        for start, stop in pieces(self.count, 3 * self.values[0].numel() * self.values.element_size(), memory):
            keys, values = self._flat(start, stop)
            unique, where = torch.unique(keys, return_inverse=True)
            sums = values.new_zeros(len(unique), self.shape[1]).index_add_(0, where, values)
            yield start, stop, unique, sums


class Embedding(Layer):
    """`torch.nn.Embedding`: weight (rows, width)."""

    parameters: ClassVar[tuple[str, ...]] = ("weight",)

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        assert isinstance(module, nn.Embedding)
        self.x, self.rows, self.padding = x, len(module.weight), module.padding_idx

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        return module.max_norm is None and not module.scale_grad_by_freq

    def contributions(self, e: Tensor, wanted: set[str]) -> dict[str, Contribution]:
        values = e.reshape(len(e), -1, e.shape[-1])
        tokens = self.x.reshape(-1, values.shape[1]).expand(len(e), -1)  # positions may be shared by the examples
        if self.padding is not None:  # it has no gradient
            values = values.masked_fill((tokens == self.padding)[..., None], 0)
        return {"weight": Rows(tokens, values, self.rows)}
