"""Curvature against gradient, coordinate by coordinate, along a run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.measure.hessian import mean_loss
from experiments.measure.probe import Probe, lane, random_examples
from experiments.tasks.task import Batch, Params, Task
from optim.settings import SettingError, setting

_MOST = 5000  # parameters: the Hessian is formed
_AT_ONCE = 64  # of its columns


@dataclass(frozen=True, kw_only=True)
class SmoothnessScatter(Probe):
    """Does `L_j <= L0 + L1 |d_j f|` show (arXiv 2406.15244)? Medians over groups of coordinates with like |d_j f|.

    For group g = 1, 2, ... from the smallest |d_j f| to the largest: scatter_gradient_<g>; scatter_row_sum_<g> of
    `sum_k |H_jk|`, which are an L at this point (diag(L) dominates H) but not the smallest; scatter_diagonal_<g> of
    `|H_jj|`, which is only a lower bound for every L. Over all coordinates: smoothness_l1 and diagonal_l1, the sums of
    both, and scatter_correlation, Spearman's of row sums and |d_j f|. The whole Hessian is formed.
    """

    groups: int = setting(10, minimum=1, doc="groups of equally many coordinates, give or take one")
    examples: int | None = setting(None, minimum=1, doc="of a random subset of so many examples (default: all)")
    seed: int = setting(0, minimum=0, doc="of that subset")

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        batch = random_examples(task, self.examples, self.seed)
        found = [self._numbers(task, lane(params, i), batch) for i in range(lanes)]
        return {name: torch.stack([numbers[name] for numbers in found]) for name in found[0]}

    def _numbers(self, task: Task, params: Params, batch: Batch | None) -> dict[str, Tensor]:
        gradient, sums, diagonal = _by_coordinate(task, params, batch)
        if len(gradient) < self.groups:
            raise SettingError(
                f"probe.smoothness_scatter.groups={self.groups} are more than {len(gradient)} parameters"
            )
        order = gradient.argsort()
        numbers = {"smoothness_l1": sums.sum(), "diagonal_l1": diagonal.sum()}
        numbers["scatter_correlation"] = torch.corrcoef(torch.stack([_ranks(gradient), _ranks(sums)]))[0, 1]
        for g, group in enumerate(order.tensor_split(self.groups), start=1):
            for name, values in (("gradient", gradient), ("row_sum", sums), ("diagonal", diagonal)):
                numbers[f"scatter_{name}_{g}"] = values[group].quantile(0.5)
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


def _ranks(values: Tensor) -> Tensor:
    """0 to D - 1; equal values in the order of the coordinates."""
    return values.argsort(stable=True).argsort(stable=True).double()
