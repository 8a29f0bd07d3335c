"""Curvature against gradient, coordinate by coordinate, along a run."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from experiments.measure.hessian import mean_loss
from experiments.measure.probe import Probe, lane, random_examples
from experiments.tasks.task import Batch, Params, Task
from optim.settings import SettingError, setting

_MOST = 5000  # parameters: the Hessian is formed
_AT_ONCE = 64  # of its columns
_LEAST = 3  # points of a coordinate, for a correlation within it
_DECIMALS = 9  # of logarithms less their mean: what is below is rounding, and ties


@dataclass(frozen=True, kw_only=True)
class SmoothnessScatter(Probe):
    """Curvature against gradient by coordinate (arXiv 2406.15244), as medians over groups of coordinates.

    For group g = 1, 2, ... from the smallest |d_j f| to the largest: scatter_gradient_<g>; scatter_row_sum_<g> of
    `sum_k |H_jk|`, which are an L at this point (diag(L) dominates H) but not the smallest; scatter_diagonal_<g> of
    `|H_jj|`, which is only a lower bound for every L. Coordinates without gradient or without curvature are in no group
    (NaN: an empty one). Over all coordinates: smoothness_l1 and diagonal_l1, the sums of both.

    `L_j = L0_j + L1_j |d_j f|` has an L0_j for each coordinate, so only changes within coordinates tell about L1:
    scatter_correlation is Spearman's of log row sum and log |d_j f|, both less their mean in each coordinate, over the
    points measured so far (NaN with fewer than three). The whole Hessian is formed.
    """

    version: ClassVar[int] = 2
    follows: ClassVar[bool] = True

    groups: int = setting(10, minimum=1, doc="groups of equally many coordinates, give or take one")
    examples: int | None = setting(None, minimum=1, doc="of a random subset of so many examples (default: all)")
    seed: int = setting(0, minimum=0, doc="of that subset")

    def init(self, params: Params) -> dict[str, Tensor]:
        flat = torch.cat([p.reshape(len(p), -1) for p in params.values()], dim=1)
        return {"logs": flat.new_empty(len(flat), 0, 2, flat.shape[1])}  # lane, point, gradient or row sum, coordinate

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        batch = random_examples(task, self.examples, self.seed)
        found = [_by_coordinate(task, lane(params, i), batch) for i in range(lanes)]
        logs = torch.stack([torch.stack([gradient, sums]).log() for gradient, sums, _ in found])
        state["logs"] = torch.cat([state["logs"], logs[:, None]], dim=1)  # goes into the checkpoints with the rest
        numbers = [self._medians(*of_lane) for of_lane in found]
        columns = {name: torch.stack([of_lane[name] for of_lane in numbers]) for name in numbers[0]}
        return {**columns, "scatter_correlation": torch.stack([_within(of_lane) for of_lane in state["logs"]])}

    def _medians(self, gradient: Tensor, sums: Tensor, diagonal: Tensor) -> dict[str, Tensor]:
        if len(gradient) < self.groups:
            raise SettingError(
                f"probe.smoothness_scatter.groups={self.groups} are more than {len(gradient)} parameters"
            )
        touched = ((gradient > 0) & (sums > 0)).nonzero().ravel()
        order = touched[gradient[touched].argsort()]
        numbers = {"smoothness_l1": sums.sum(), "diagonal_l1": diagonal.sum()}
        for g, group in enumerate(order.tensor_split(self.groups), start=1):
            for name, values in (("gradient", gradient), ("row_sum", sums), ("diagonal", diagonal)):
                numbers[f"scatter_{name}_{g}"] = (
                    values[group].quantile(0.5) if len(group) else gradient.new_tensor(math.nan)
                )
        return numbers


def _by_coordinate(task: Task, params: Params, batch: Batch | None) -> tuple[Tensor, Tensor, Tensor]:
    """|d_j f|, sum_k |H_jk| and |H_jj|, each (D,)."""
    sizes = [p.numel() for p in params.values()]
    dimension = sum(sizes)
    if dimension > _MOST:
        raise SettingError(f"probe=smoothness_scatter is for at most {_MOST:,} parameters, and there are {dimension:,}")
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    whole, tensors = task.batch(None) if batch is None else batch, list(leaves.values())
    with torch.enable_grad():
        loss = mean_loss(task, leaves, whole)
        grads = torch.autograd.grad(loss, tensors, create_graph=True, materialize_grads=True)
        flat = torch.cat([g.reshape(-1) for g in grads])
    units = torch.eye(dimension, dtype=flat.dtype, device=flat.device)
    columns = []
    for some in units.split(_AT_ONCE):
        found = torch.autograd.grad(
            flat, tensors, some, retain_graph=True, is_grads_batched=True, materialize_grads=True
        )
        columns.append(torch.cat([c.reshape(len(some), -1) for c in found], dim=1).abs())
    hessian = torch.cat(columns)
    return flat.detach().abs(), hessian.sum(dim=1), hessian.diagonal()


def _within(logs: Tensor) -> Tensor:
    """Rank correlation of two logarithms, (points, 2, D), both less their mean in each coordinate.

    A coordinate is left out where a logarithm is not finite, and everywhere if fewer than three points are left.
    """
    fine = logs.isfinite().all(dim=1)
    fine &= fine.sum(dim=0) >= _LEAST
    kept = torch.where(fine[:, None], logs, 0.0).double()
    centred = (kept - kept.sum(dim=0) / fine.sum(dim=0).clamp(min=1)).round(decimals=_DECIMALS)
    if not fine.any():
        return centred.new_tensor(math.nan)
    return torch.corrcoef(torch.stack([_ranks(centred[:, k][fine]) for k in (0, 1)]))[0, 1]


def _ranks(values: Tensor) -> Tensor:
    """Ranks, equal values sharing the mean of theirs."""
    _, group, counts = values.unique(return_inverse=True, return_counts=True)
    ranks: Tensor = counts.cumsum(dim=0) - (counts - 1) / 2
    return ranks[group].double()
