"""The gradients of single examples with respect to one parameter, held in a form from which sums are cheap."""

from collections.abc import Iterator

import torch
from torch import Tensor

_CHUNK = 1 << 23  # bytes of a temporary: larger ones are slower, for they do not stay in the cache


class Contribution:
    """Gradients g_i of B examples' own losses with respect to one parameter, (B, *shape), not necessarily formed.

    A kind of layer defines `gradients`; everything else follows from it in chunks, and is overridden where a cheaper
    form exists. count: B. shape: of the parameter. form: in words, for the report. bytes_held: of the tensors that are
    kept, in bytes.
    """

    count: int
    shape: tuple[int, ...]
    form: str = "gradients of examples of the layer"
    like: Tensor  # a tensor of the type and on the device of the gradients

    def gradients(self, start: int, stop: int) -> Tensor:
        """g_i for i in [start, stop), (stop - start, *shape)."""
        raise NotImplementedError

    @property
    def bytes_held(self) -> int:
        """Bytes of the tensors that are held."""
        raise NotImplementedError

    def squared_norms(self, memory: int) -> Tensor:
        """||g_i||^2, (B,) in float64, with temporaries of at most about `memory` bytes."""
        return torch.cat([row_squares(g) for g in self._chunks(memory)])

    def inner_products(self, direction: Tensor, memory: int) -> Tensor:
        """<g_i, direction>, (B,) in float64."""
        return torch.cat([g.flatten(1).mv(direction.flatten()).double() for g in self._chunks(memory)])

    def squares(self, memory: int) -> Tensor:
        """sum_i g_i^2 by coordinate, (*shape) in float64."""
        total = torch.zeros(self.shape, dtype=torch.float64, device=self.like.device)
        for g in self._chunks(memory):
            total += g.square().sum(dim=0)
        return total

    def _chunks(self, memory: int) -> Iterator[Tensor]:
        for start, stop in pieces(self.count, self.bytes_of_one, memory):
            yield self.gradients(start, stop)

    @property
    def bytes_of_one(self) -> int:
        """Bytes, about, that an example takes while its gradient is formed and squared."""
        return 2 * self.shape_size * self.like.element_size()

    @property
    def shape_size(self) -> int:
        """Number of coordinates of the parameter."""
        size = 1
        for length in self.shape:
            size *= length
        return size


class Direct(Contribution):
    """The gradients themselves, (B, *shape)."""

    form = "direct"

    def __init__(self, gradients: Tensor) -> None:
        self.like, self.count, self.shape = gradients, len(gradients), tuple(gradients.shape[1:])

    def gradients(self, start: int, stop: int) -> Tensor:
        return self.like[start:stop]

    @property
    def bytes_held(self) -> int:
        return self.like.numel() * self.like.element_size()

    def squared_norms(self, memory: int) -> Tensor:
        return row_squares(self.like)

    def inner_products(self, direction: Tensor, memory: int) -> Tensor:
        return self.like.flatten(1).mv(direction.flatten()).double()


def pieces(count: int, each: int, memory: int) -> Iterator[tuple[int, int]]:
    """[start, stop) of consecutive chunks of `count` examples that take `each` bytes: one example at the least."""
    at_once = max(1, min(memory, _CHUNK) // max(each, 1))
    for start in range(0, count, at_once):
        yield start, min(start + at_once, count)


def row_squares(x: Tensor) -> Tensor:
    """Sum of squares over everything but the first axis, (B,) in float64."""
    norms: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)  # without a temporary for the squares
    return norms.double().square()
