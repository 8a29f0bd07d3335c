"""What tasks with a linear model share: their data, dense or sparse, and the gradients of many lanes at once."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from data import DataSet
from experiments.tasks.example_sums import ExampleSums, Wants
from experiments.tasks.rows import DenseRows, Rows, SparseRows
from experiments.tasks.task import Batch, Params, Strategy, Task
from optim import settings
from optim.settings import SettingError, setting

_LARGEST = 500_000_000  # entries held as a dense matrix: 4 GB in float64
_WIDE = 10_000_000  # entries from which on a matrix may be worth keeping sparse,
_THIN = 0.02  # if no larger share of them is non-zero
_MOST_TURNED = 5000  # columns of a rotation


@dataclass(kw_only=True)
class LinearTask(Task):
    """Base of tasks whose outputs are linear in the parameter "weight", (K, columns) or, for one output, (columns,).

    A subclass gets the data (`loaded`), turns them into rows and targets (`_arrays`) and says what a row's outputs cost
    (`_losses`).
    """

    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "analytic", "cuda": "analytic"}

    l2: float = setting(0.0, minimum=0.0, doc="strength of the (l2/2) ||w||^2 term")
    scale: str = setting("none", choices=("none", "range"), doc='"range" maps every column to [-1, 1]')
    intercept: bool = setting(False, doc="append a column of ones (it takes part in the l2 term)")
    rotated: bool | int = setting(
        False,
        minimum=0,
        doc="turn the rows by a random rotation: the same problem without its axes; true is rotation 1, 2 another one",
    )
    storage: str = setting(
        "auto",
        choices=("auto", "dense", "sparse"),
        doc="of the inputs; auto: sparse if large and nearly empty",
    )

    def __post_init__(self) -> None:
        if self.rotated in (0, 1):
            self.rotated = bool(self.rotated)  # one identity for true and 1
        if self.rotated and self.storage == "sparse":
            raise SettingError("task.rotated=true makes every entry non-zero: leave task.storage=sparse out")
        self._rows: Rows | None = None
        self._targets: Tensor | None = None

    # What a subclass says ----------------------------------------------------------------------------------------

    @property
    def outputs(self) -> int | None:
        """Number of outputs K, when the weight has an axis for them; None for one output without an axis."""
        return None

    def _arrays(self, loaded: DataSet, inputs: Any) -> tuple[Any, np.ndarray | None]:
        """Rows (n, columns) and targets (n,) from a data set and its inputs, scaled and with their intercept."""
        raise NotImplementedError

    def _losses(self, outputs: Tensor, targets: Tensor | None, slopes: bool) -> tuple[Tensor, Tensor | None]:
        """Losses (L, B) and, if wanted, their derivatives (L, K, B) by the outputs (L, K, B), which may be changed.

        targets: (B,), or (L, B) where lanes have different rows.
        """
        raise NotImplementedError

    def _right(self, outputs: Tensor, targets: Tensor | None) -> Tensor:
        """Whether each row is classified correctly, (L, B)."""
        raise NotImplementedError

    # Data --------------------------------------------------------------------------------------------------------

    def loaded(self) -> DataSet:
        """The data set as it was read or made."""
        raise NotImplementedError

    def arrays(self) -> tuple[Any, np.ndarray | None]:
        """Rows, csr_array (n, columns) in float64, and targets, (n,) or None."""
        found = self.loaded()
        inputs: Any = found.inputs
        if self.scale == "range":
            low, high = inputs.min(axis=0).toarray().ravel(), inputs.max(axis=0).toarray().ravel()
            self._require_room(found.name, inputs.shape)  # zeros do not stay zeros
            dense, span = inputs.toarray(), np.where(high > low, high - low, 1.0)
            inputs = sparse.csr_array(np.where(high > low, 2 * (dense - low) / span - 1, 0.0))
        if self.intercept:
            inputs = sparse.csr_array(sparse.hstack([inputs, sparse.csr_array(np.ones((inputs.shape[0], 1)))]))
        return self._arrays(found, inputs)

    def turned(self, rows: Any) -> Any:
        """The rows after the rotation, if there is one: a dense matrix (n, columns) then, whatever it was before."""
        if not self.rotated:
            return rows
        self._require_room("this set", rows.shape)
        columns = rows.shape[1]
        if columns > _MOST_TURNED:
            raise SettingError(f"task.rotated=true is for at most {_MOST_TURNED:,} columns, and there are {columns:,}")
        number = [] if self.rotated is True else [int(self.rotated)]
        source = np.random.default_rng([*b"rotation", columns, *number])
        q, r = np.linalg.qr(source.standard_normal((columns, columns)))
        return rows.toarray() @ (q * np.sign(np.diagonal(r)))  # with these signs it is uniform over rotations

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        rows, targets = self.arrays()
        rows = self.turned(rows)
        if isinstance(rows, np.ndarray) or not self._is_sparse(rows):
            self._require_room("this set", rows.shape)
            dense = rows if isinstance(rows, np.ndarray) else rows.toarray()
            self._rows = DenseRows(torch.from_numpy(dense).to(device=device, dtype=dtype))
        else:
            self._rows = SparseRows(rows, device, dtype)
        self._targets = None if targets is None else torch.from_numpy(targets).to(device)

    def release(self) -> None:
        self._rows = self._targets = None

    def _is_sparse(self, rows: Any) -> bool:
        if self.storage != "auto":
            return self.storage == "sparse"
        entries = rows.shape[0] * rows.shape[1]
        return bool(entries > _WIDE and rows.nnz < _THIN * entries)

    def _require_room(self, name: str, shape: tuple[int, int]) -> None:
        if shape[0] * shape[1] > _LARGEST:
            raise SettingError(
                f"{name} has {shape[0]:,} x {shape[1]:,} entries, too many to hold densely ({_LARGEST:,}): use "
                "task.storage=sparse and task.scale=none, or fewer rows or columns"
            )

    @property
    def rows(self) -> Rows:
        """The rows on the device."""
        if self._rows is None:
            self.prepare(*self.last_prepared)
        assert self._rows is not None
        return self._rows

    @property
    def size(self) -> int:
        return self.rows.size

    @property
    def share_touched(self) -> float:
        return self.rows.density

    # The contract ------------------------------------------------------------------------------------------------

    def init(self, generator: torch.Generator | None = None) -> Params:
        shape = (self.rows.columns,) if self.outputs is None else (self.outputs, self.rows.columns)
        return {"weight": torch.zeros(shape, device=self.last_prepared[0], dtype=self.last_prepared[1])}

    def objective(self) -> dict[str, Any]:
        """What decides the optimum: every setting but how the inputs are stored and turned."""
        own = {name: getattr(self, name) for name in settings.names(self) if name not in ("storage", "rotated")}
        return {**own, **self.content()}

    def batch(self, draws: Tensor | None) -> Batch:
        batch = self.rows.batch(draws)
        if self._targets is not None:
            batch["targets"] = self._targets if draws is None else self._targets[draws]
        return batch

    def of_seed(self, batch: Batch, group: int) -> Batch:
        part = self.rows.of_seed(batch, group)
        return {**part, "targets": batch["targets"][group]} if "targets" in batch else part

    def losses(self, params: Params, batch: Batch) -> Tensor:
        weight = params["weight"]
        outputs = self.rows.single(weight.reshape(self.outputs or 1, -1), batch)
        losses, _ = self._losses(outputs[None], batch.get("targets"), slopes=False)
        return losses[0] + 0.5 * self.l2 * (weight * weight).sum()

    def support(self, batch: Batch) -> Tensor | None:
        columns = None if self.l2 else self.rows.support(batch)  # the l2 term moves every coordinate
        if columns is None or self.outputs is None:
            return columns
        first = torch.arange(self.outputs, device=columns.device) * self.rows.columns
        return (first[:, None] + columns).reshape(-1)

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        weight, columns = params["weight"], self.rows.support(batch)
        flat = weight.reshape(len(weight), self.outputs or 1, -1)
        if columns is None:
            losses, grad = self._gradient(flat, batch)
        else:
            losses, narrow = self._gradient(flat.index_select(2, columns), batch)
            grad = torch.zeros_like(flat).index_copy_(2, columns, narrow)
        if self.l2:
            losses += 0.5 * self.l2 * (flat * flat).sum(dim=(1, 2))[:, None]
            grad.add_(flat, alpha=self.l2)
        return losses, {"weight": grad.view_as(weight)}

    def touched_gradient(self, touched: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        losses, grad = self._gradient(
            touched.reshape(len(touched), self.outputs or 1, touched.shape[1] // (self.outputs or 1)), batch
        )
        return losses, grad.reshape(touched.shape)

    def _gradient(self, weight: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Losses (L, B) and the gradient of their mean, (L, K, c), without the l2 term."""
        targets = batch.get("targets")
        if targets is not None and targets.dim() == 2:  # one row of targets for each seed
            targets = targets.repeat_interleave(len(weight) // len(targets), dim=0)
        losses, slopes = self._losses(self.rows.outputs(weight, batch), targets, slopes=True)
        assert slopes is not None
        return losses, self.rows.pull(slopes.mul_(1.0 / losses.shape[1]), batch)

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        weight = params["weight"]
        flat = weight.reshape(lanes or 1, self.outputs or 1, -1)
        total = torch.zeros(len(flat), dtype=torch.float64, device=weight.device)
        right = torch.zeros_like(total)
        for part, batch in self.rows.parts():
            columns = self.rows.support(batch)
            outputs = self.rows.outputs(flat if columns is None else flat.index_select(2, columns), batch)
            targets = None if self._targets is None else self._targets[part]
            right += self._right(outputs, targets).sum(dim=1)
            total += self._losses(outputs, targets, slopes=False)[0].sum(dim=1, dtype=torch.float64)
        loss = total / self.size + 0.5 * self.l2 * (flat.double() ** 2).sum(dim=(1, 2))
        metrics = {"loss": loss, "accuracy": right / self.size}
        return metrics if lanes is not None else {k: v[0] for k, v in metrics.items()}

    def count(self, batch: Batch) -> int:
        return self.rows.count(batch)

    def part(self, batch: Batch, start: int, stop: int) -> Batch:
        part = self.rows.part(batch, start, stop)
        return {**part, "targets": batch["targets"][start:stop]} if "targets" in batch else part

    def example_gradients(self, params: Params, batch: Batch) -> Tensor:
        weight = params["weight"]
        flat, columns = weight.reshape(1, self.outputs or 1, -1), self.rows.support(batch)
        outputs = self.rows.outputs(flat if columns is None else flat.index_select(2, columns), batch)
        _, slopes = self._losses(outputs, batch.get("targets"), slopes=True)
        assert slopes is not None
        each = slopes[0].T[:, :, None] * self.rows.dense(batch).to(weight.dtype)[:, None, :]  # (B, K, columns)
        return each.reshape(len(each), -1) + self.l2 * weight.reshape(-1)

    def example_sums(self, params: Params, batch: Batch, wants: Wants, along: Params | None = None) -> ExampleSums:
        """g_i - l2 W = e_i x_i', where e_i, (K,), is the derivative of the loss by the outputs W x_i."""
        weight, columns, rows = params["weight"], self.rows.support(batch), self.rows

        def seen(whole: Tensor) -> Tensor:
            flat = whole.reshape(1, self.outputs or 1, -1)
            return flat if columns is None else flat.index_select(2, columns)

        def spread(narrow: Tensor) -> Tensor:
            if columns is None:
                return narrow.view_as(weight)
            return narrow.new_zeros(1, *narrow.shape[1:2], rows.columns).index_copy_(2, columns, narrow).view_as(weight)

        losses, slopes = self._losses(rows.outputs(seen(weight), batch), batch.get("targets"), slopes=True)
        assert slopes is not None
        found = ExampleSums(losses[0], {"weight": spread(rows.pull(slopes * (1.0 / losses.shape[1]), batch))})
        if self.l2:
            found.losses = losses[0] + 0.5 * self.l2 * (weight * weight).sum()
        if wants.norms:
            steepness = torch.linalg.vecdot(slopes[0], slopes[0], dim=0)
            found.squared_norms = (steepness * rows.squared_norms(batch)).double()
        if wants.products:
            direction = found.gradient["weight"] + self.l2 * weight if along is None else along["weight"]
            found.products = (slopes[0] * rows.outputs(seen(direction), batch)[0]).double().sum(dim=0)
        if wants.squares:
            found.squares = {"weight": spread(rows.pull_squares(slopes.double(), batch)).double()}
        return found

    def common_gradient(self, params: Params) -> Params:
        return {"weight": self.l2 * params["weight"]} if self.l2 else {}

    def gradient_moments(self, params: Params) -> tuple[Params, Params]:
        weight = params["weight"]
        flat = weight.reshape(1, self.outputs or 1, -1)
        first, second = torch.zeros_like(flat), torch.zeros_like(flat)
        squares = self.rows.squared()
        for (part, batch), (_, squared) in zip(self.rows.parts(), squares.parts(), strict=True):
            columns = self.rows.support(batch)
            narrow = flat if columns is None else flat.index_select(2, columns)
            targets = None if self._targets is None else self._targets[part]
            _, slopes = self._losses(self.rows.outputs(narrow, batch), targets, slopes=True)
            assert slopes is not None
            where = torch.arange(flat.shape[2], device=flat.device) if columns is None else columns
            first.index_add_(2, where, self.rows.pull(slopes, batch) / self.size)
            second.index_add_(2, where, squares.pull(slopes * slopes, squared) / self.size)
        mean = first + self.l2 * flat
        variance = (second - first * first).clamp_min_(0.0)
        return {"weight": mean.view_as(weight)}, {"weight": variance.view_as(weight)}

    def describe(self) -> dict[str, Any]:
        kind = "dense" if isinstance(self.rows, DenseRows) else "sparse"
        facts: dict[str, Any] = {"examples": self.size, "dimension": (self.outputs or 1) * self.rows.columns}
        return {**facts, "storage": kind}
