"""A parameter that is used more than once: an example's gradient is the sum over the uses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from experiments.measure.statistics.contribution import Contribution, pieces
from experiments.measure.statistics.layers.embedding import Rows
from experiments.measure.statistics.layers.linear import Outer


class Joined(Contribution):
    """The sum of contributions of several uses, never their squares added up.

    Uses by linear layers are one with all their positions, uses by embeddings one with all their tokens. An embedding
    tied to a linear layer: `||g_1 + g_2||^2 = ||g_1||^2 + ||g_2||^2 + 2 <A_1 E_2', E_1 A_2'>` with A_1 one-hot (the
    paper's page, section 5). Anything else is formed and added in chunks.
    """

    def __init__(self, uses: Sequence[Contribution]) -> None:
        outers = [use for use in uses if isinstance(use, Outer)]
        rows = [use for use in uses if isinstance(use, Rows)]
        self.parts: list[Contribution] = [use for use in uses if not isinstance(use, Outer | Rows)]
        if outers:
            self.parts.append(Outer(torch.cat([o.left for o in outers], 1), torch.cat([o.right for o in outers], 1)))
        if rows:
            tokens, values = torch.cat([r.tokens for r in rows], 1), torch.cat([r.values for r in rows], 1)
            self.parts.append(Rows(tokens, values, rows[0].shape[0]))
        first = self.parts[0]
        self.like, self.count, self.shape = first.like, first.count, first.shape
        self._tied = len(self.parts) == 2 and bool(outers and rows)
        if self._tied:
            self.form = f"tied: {self.parts[0].form}, {self.parts[1].form} and their products"
        elif len(self.parts) == 1:
            self.form = first.form
        self.form += f" ({len(uses)} uses)"

    def gradients(self, start: int, stop: int) -> Tensor:
        total = self.parts[0].gradients(start, stop)
        for part in self.parts[1:]:
            total = total + part.gradients(start, stop)
        return total

    @property
    def bytes_held(self) -> int:
        return sum(part.bytes_held for part in self.parts)

    def squared_norms(self, memory: int) -> Tensor:
        if len(self.parts) == 1:
            return self.parts[0].squared_norms(memory)
        if not self._tied:
            return super().squared_norms(memory)
        outer, rows = self.parts
        assert isinstance(outer, Outer)
        assert isinstance(rows, Rows)
        crossed, each = [], 2 * outer.positions * rows.tokens.shape[1] * outer.like.element_size()
        for start, stop in pieces(self.count, each, memory):
            tokens = rows.tokens[start:stop, None].expand(-1, outer.positions, -1)
            chosen = outer.left[start:stop].gather(2, tokens)
            products = outer.right[start:stop] @ rows.values[start:stop].transpose(1, 2)
            crossed.append(torch.linalg.vecdot(chosen.flatten(1), products.flatten(1)).double())
        return outer.squared_norms(memory) + rows.squared_norms(memory) + 2 * torch.cat(crossed)

    def inner_products(self, direction: Tensor, memory: int) -> Tensor:
        return torch.stack([part.inner_products(direction, memory) for part in self.parts]).sum(dim=0)

    def squares(self, memory: int) -> Tensor:
        return self.parts[0].squares(memory) if len(self.parts) == 1 else super().squares(memory)
