"""The inputs of a linear model: n rows of c columns, dense or sparse, with the products that lanes need.

Weights of many models are (L, K, c): L lanes, K outputs. Lanes come in seed-major order; a batch for a group of S seeds
holds S times B rows, and lanes are then S groups in order. Outputs and their derivatives are (L, K, B).
"""

import warnings
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from experiments.tasks.task import Batch

_AT_ONCE = 8192  # rows of an evaluation


class Rows(Protocol):
    """What a linear task asks of its inputs."""

    size: int
    columns: int
    density: float  # share of the entries that are kept

    def batch(self, draws: Tensor | None) -> Batch:
        """The rows of these draws, (B,) or (S, B); all rows for None."""

    def of_seed(self, batch: Batch, group: int) -> Batch:
        """The part of a batch for a group of seeds that belongs to one of them."""

    def support(self, batch: Batch) -> Tensor | None:
        """The columns (s,) that the batch knows, in which it counts its columns; None: all of them."""

    def outputs(self, weight: Tensor, batch: Batch) -> Tensor:
        """(L, K, B) from (L, K, c), where c counts the columns of the support."""

    def pull(self, slopes: Tensor, batch: Batch) -> Tensor:
        """The sum over rows of slopes (L, K, B) times inputs: (L, K, c)."""

    def pull_squares(self, slopes: Tensor, batch: Batch) -> Tensor:
        """The sum over rows of squared slopes (L, K, B) times squared inputs: (L, K, c)."""

    def squared_norms(self, batch: Batch) -> Tensor:
        """The squared norm of every row, (rows,)."""

    def single(self, weight: Tensor, batch: Batch) -> Tensor:
        """Outputs (K, B) of one model of all columns, (K, columns), for autograd."""

    def parts(self) -> Iterator[tuple[slice, Batch]]:
        """All rows, a few thousand at a time."""

    def squared(self) -> "Rows":
        """The rows with every entry squared."""

    def count(self, batch: Batch) -> int:
        """Number of rows of a batch for one seed."""

    def part(self, batch: Batch, start: int, stop: int) -> Batch:
        """The rows [start, stop) of a batch for one seed."""

    def dense(self, batch: Batch) -> Tensor:
        """The rows of a batch for one seed with all their columns, (B, columns)."""


class DenseRows:
    """Rows as one matrix (n, columns)."""

    density = 1.0

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.size, self.columns = matrix.shape

    def batch(self, draws: Tensor | None) -> Batch:
        if draws is None:
            return {"rows": self.matrix}
        if draws.dim() == 1:
            return {"rows": self.matrix.index_select(0, draws)}
        return {"rows": self.matrix.index_select(0, draws.reshape(-1)).reshape(*draws.shape, -1)}

    def of_seed(self, batch: Batch, group: int) -> Batch:
        return {"rows": batch["rows"][group]}

    def support(self, batch: Batch) -> Tensor | None:
        return None

    def outputs(self, weight: Tensor, batch: Batch) -> Tensor:
        rows, (lanes, outputs, columns) = batch["rows"].to(weight.dtype), weight.shape
        if rows.dim() == 2:
            return (weight.reshape(-1, columns) @ rows.T).view(lanes, outputs, -1)
        found = torch.bmm(weight.reshape(rows.shape[0], -1, columns), rows.transpose(1, 2))
        return found.view(lanes, outputs, -1)

    def pull(self, slopes: Tensor, batch: Batch) -> Tensor:
        rows, (lanes, outputs, size) = batch["rows"].to(slopes.dtype), slopes.shape
        if rows.dim() == 2:
            return (slopes.reshape(-1, size) @ rows).view(lanes, outputs, -1)
        return torch.bmm(slopes.reshape(rows.shape[0], -1, size), rows).view(lanes, outputs, -1)

    def pull_squares(self, slopes: Tensor, batch: Batch) -> Tensor:
        return self.pull(slopes.square(), {"rows": batch["rows"].square()})

    def squared_norms(self, batch: Batch) -> Tensor:
        rows = batch["rows"].flatten(0, -2)
        norms: Tensor = torch.linalg.vecdot(rows, rows)
        return norms

    def single(self, weight: Tensor, batch: Batch) -> Tensor:
        return weight @ batch["rows"].to(weight.dtype).T

    def parts(self) -> Iterator[tuple[slice, Batch]]:
        for start in range(0, self.size, _AT_ONCE):
            part = slice(start, min(start + _AT_ONCE, self.size))
            yield part, {"rows": self.matrix[part]}

    def squared(self) -> "DenseRows":
        return DenseRows(self.matrix * self.matrix)

    def count(self, batch: Batch) -> int:
        return len(batch["rows"])

    def part(self, batch: Batch, start: int, stop: int) -> Batch:
        return {"rows": batch["rows"][start:stop]}

    def dense(self, batch: Batch) -> Tensor:
        return batch["rows"]


class SparseRows:
    """Rows in compressed form (CSR). A batch holds its entries, and the few columns that occur in it; nothing is dense.

    The S groups of a batch are one block-diagonal matrix of S B rows and S s columns, kept with its transpose, so that
    the products of all lanes are one sparse product each.
    """

    def __init__(self, matrix: Any, device: torch.device, dtype: torch.dtype) -> None:
        """matrix: scipy csr_array (n, columns)."""
        self.matrix = matrix.astype(np.float64 if dtype == torch.float64 else np.float32)
        self.size, self.columns = matrix.shape
        self.density = matrix.nnz / max(1, self.size * self.columns)
        self.device = device
        with warnings.catch_warnings():  # torch says once in a process that this format is in beta state
            warnings.simplefilter("ignore")
            empty = torch.zeros(1, dtype=torch.int32)
            torch.sparse_csr_tensor(empty, empty[:0], torch.zeros(0), size=(0, 0), check_invariants=False)

    def batch(self, draws: Tensor | None) -> Batch:
        chosen = self.matrix if draws is None else self.matrix[draws.reshape(-1).cpu().numpy()]
        groups = 1 if draws is None or draws.dim() == 1 else draws.shape[0]
        return self._batch(chosen, groups)

    def _batch(self, chosen: Any, groups: int) -> Batch:
        present = np.zeros(self.columns, dtype=bool)
        present[chosen.indices] = True
        support = np.flatnonzero(present)
        position = np.empty(self.columns, dtype=np.int32)
        position[support] = np.arange(support.size, dtype=np.int32)
        local = position[chosen.indices]
        size = chosen.shape[0] // groups
        for group in range(1, groups):  # the first block stays where it is
            local[chosen.indptr[group * size] : chosen.indptr[(group + 1) * size]] += group * support.size
        shape = (chosen.shape[0], groups * support.size)
        blocks = sparse.csr_array((chosen.data, local, chosen.indptr), shape=shape)
        turned = blocks.tocsc()
        arrays = {
            "starts": blocks.indptr,
            "columns": blocks.indices,
            "values": blocks.data,
            "turned_starts": turned.indptr,
            "turned_rows": turned.indices,
            "turned_values": turned.data,
            "support": support,
            "groups": np.empty((groups, 0)),  # its length is what matters
        }
        return {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}

    def of_seed(self, batch: Batch, group: int) -> Batch:
        size = self.count(batch) // batch["groups"].shape[0]
        return self.part(batch, group * size, (group + 1) * size)

    def count(self, batch: Batch) -> int:
        return len(batch["starts"]) - 1

    def part(self, batch: Batch, start: int, stop: int) -> Batch:
        starts = batch["starts"][start : stop + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        columns = batch["support"][batch["columns"][entries].long() % max(1, len(batch["support"]))]
        arrays = batch["values"][entries], columns, starts - starts[0]
        shape = (len(starts) - 1, self.columns)
        return self._batch(sparse.csr_array(tuple(t.cpu().numpy() for t in arrays), shape=shape), 1)

    def dense(self, batch: Batch) -> Tensor:
        rows = torch.repeat_interleave(batch["starts"].diff().long())
        made = batch["values"].new_zeros(self.count(batch), self.columns)
        made[rows, batch["support"][batch["columns"].long()]] = batch["values"]
        return made

    def support(self, batch: Batch) -> Tensor | None:
        return batch["support"]

    def outputs(self, weight: Tensor, batch: Batch) -> Tensor:
        return self._by_group(weight, batch, "starts", "columns", "values")

    def pull(self, slopes: Tensor, batch: Batch) -> Tensor:
        return self._by_group(slopes, batch, "turned_starts", "turned_rows", "turned_values")

    def pull_squares(self, slopes: Tensor, batch: Batch) -> Tensor:
        return self.pull(slopes.square(), {**batch, "turned_values": batch["turned_values"].square()})

    def squared_norms(self, batch: Batch) -> Tensor:
        rows = torch.repeat_interleave(batch["starts"].diff().long())
        return batch["values"].new_zeros(self.count(batch)).index_add(0, rows, batch["values"].square())

    def _by_group(self, lanes: Tensor, batch: Batch, starts: str, columns: str, values: str) -> Tensor:
        """The product of every group's block (p, q) and its share of (L, K, q): (L, K, p).

        Kept with the lanes of an entry next to each other: for one group nothing is copied on the way.
        """
        groups, (count, outputs, inner) = batch["groups"].shape[0], lanes.shape
        each = count // groups
        side = lanes.view(groups, each, outputs, inner).permute(0, 3, 1, 2).reshape(groups * inner, each * outputs)
        found = _product(batch, starts, columns, values, side)
        outer = len(found) // groups
        return found.view(groups, outer, each, outputs).permute(0, 2, 3, 1).reshape(count, outputs, outer)

    def single(self, weight: Tensor, batch: Batch) -> Tensor:
        lengths = batch["starts"].diff()
        rows = torch.repeat_interleave(lengths.long())
        entries = weight[:, batch["support"][batch["columns"].long()]] * batch["values"].to(weight.dtype)
        return weight.new_zeros(weight.shape[0], len(lengths)).index_add(1, rows, entries)

    def parts(self) -> Iterator[tuple[slice, Batch]]:
        for start in range(0, self.size, _AT_ONCE):
            part = slice(start, min(start + _AT_ONCE, self.size))
            yield part, self._batch(self.matrix[part], 1)

    def squared(self) -> "SparseRows":
        return SparseRows(self.matrix.power(2), self.device, torch.from_numpy(self.matrix.data[:0]).dtype)


def _product(batch: Batch, starts: str, columns: str, values: str, side: Tensor) -> Tensor:
    """A compressed matrix of the batch times a dense one (m, p)."""
    shape = (len(batch[starts]) - 1, side.shape[0])
    entries = batch[values].to(side.dtype)
    matrix = torch.sparse_csr_tensor(batch[starts], batch[columns], entries, size=shape, check_invariants=False)
    return matrix @ side
