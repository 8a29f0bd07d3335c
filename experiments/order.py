"""The order in which a run sees its data: a sequence of draws, addressed by position.

Position p of the sequence is the p-th example that the run takes, whatever the batch sizes are, so that runs with
different batch sizes see the same examples in the same order, and a resumed run goes on where it was.
"""

from typing import Literal

import torch
from torch import Tensor

from experiments.seeds import derive, generator
from experiments.tasks.noise import tagged

Sampling = Literal["replacement", "reshuffled"]
_BLOCK = 1 << 16
_POSITION_BITS = 40  # of the id of a draw


class Order:
    """Draws for a group of seeds: `draws(position, count)` gives (count,) for one seed, else (seeds, count).

    sampling="replacement": every draw is uniform over the examples. "reshuffled": every pass over the data is a fresh
    permutation. A task without a size (a stream) gets ids: the seed in the high bits, the position in the low 40.
    With `tags`, draws from a set carry bits of that id too (`experiments.tasks.noise.tagged`).
    """

    def __init__(
        self, size: int | None, sampling: Sampling, seeds: list[int], device: torch.device, tags: bool = False
    ) -> None:
        self.size, self.sampling, self.seeds, self.device, self.tags = size, sampling, seeds, device, tags
        self._block_size = size if size is not None and sampling == "reshuffled" else _BLOCK
        self._blocks: dict[int, Tensor] = {}

    def draws(self, position: int, count: int) -> Tensor:
        """The draws at positions [position, position + count), int64."""
        if self.size is None:
            ids = self._ids(position, count)
            return ids[0] if len(self.seeds) == 1 else ids
        first, last = position // self._block_size, (position + count - 1) // self._block_size
        start = position - first * self._block_size
        if first == last:
            part = self._block(first)[:, start : start + count]
        else:
            whole = torch.cat([self._block(k) for k in range(first, last + 1)], dim=1)
            part = whole[:, start : start + count]
        if self.tags:
            part = tagged(part, self._ids(position, count))
        return part[0] if len(self.seeds) == 1 else part

    def _ids(self, position: int, count: int) -> Tensor:
        """One for every position of every seed, (seeds, count)."""
        firsts = torch.tensor([_first_id(seed) + position for seed in self.seeds], device=self.device)
        return firsts[:, None] + torch.arange(count, device=self.device)

    def _block(self, k: int) -> Tensor:
        if k not in self._blocks:
            for old in [b for b in self._blocks if b < k - 1]:
                del self._blocks[old]
            self._blocks[k] = torch.stack([self._draw(seed, k) for seed in self.seeds]).to(self.device)
        return self._blocks[k]

    def _draw(self, seed: int, k: int) -> Tensor:
        assert self.size is not None
        source = generator(seed, "order", self.sampling, k)
        if self.sampling == "reshuffled":
            return torch.randperm(self.size, generator=source)
        return torch.randint(self.size, (_BLOCK,), generator=source)


def _first_id(seed: int) -> int:
    """The id of a seed's first draw; seeds beyond four million share what is left by hashing."""
    most = 1 << (62 - _POSITION_BITS)
    high = seed if seed < most else most + derive(seed, "stream") % most
    return high << _POSITION_BITS
