"""What adaptive batch-size rules are told about the gradients of a batch, as plain numbers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from experiments.measure.gradients import STATISTICS, gradient_statistics
from experiments.tasks.task import Batch, Params, Task

LARGEST = "largest_coordinate_ratio"
_QUANTILES = {"median_coordinate_ratio": 0.5, "coordinate_ratio_90": 0.9, "coordinate_ratio_99": 0.99}
NAMES = (*(name for name in STATISTICS if name != "variance_by_coordinate"), LARGEST, *_QUANTILES)


def measure(task: Task, params: Params, batch: Batch, names: Sequence[str]) -> dict[str, float]:
    """The statistics `names` of the examples of a batch at these parameters of one model.

    The coordinate ratios are Vhat_jj / ghat_j^2 (arXiv 2402.11215, the coordinate-wise norm test) with 0/0 := 0: their
    largest, and quantiles over the coordinates that have a gradient or a variance.
    """
    plain = [name for name in names if name in STATISTICS]
    by_coordinate = any(name not in STATISTICS for name in names)
    wanted = [*plain, *(["variance_by_coordinate"] if by_coordinate else [])]
    found = gradient_statistics(task, params, batch, wanted)
    numbers = {name: float(found[name]) for name in plain}  # type: ignore[arg-type]
    if by_coordinate:
        ratios = _ratios(task, params, batch, found["variance_by_coordinate"])  # type: ignore[arg-type]
        numbers |= _summary(ratios, names)
    return numbers


def _ratios(task: Task, params: Params, batch: Batch, variance: Params) -> Tensor:
    """Vhat_jj / ghat_j^2 of the coordinates where one of them is not zero, flat."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    with torch.enable_grad():
        loss = task.losses(leaves, batch).mean()
        grads = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    squares = torch.cat([g.reshape(-1) for g in grads]).double().square()
    top = torch.cat([variance[name].reshape(-1) for name in params]).double()
    return (top / squares)[(top > 0) | (squares > 0)]


def _summary(ratios: Tensor, names: Sequence[str]) -> dict[str, float]:
    if not len(ratios):
        return {name: 0.0 for name in names if name == LARGEST or name in _QUANTILES}
    numbers = {LARGEST: float(ratios.max())} if LARGEST in names else {}
    ordered = ratios.sort().values
    places = {name: math.ceil(share * len(ordered)) - 1 for name, share in _QUANTILES.items() if name in names}
    return numbers | {name: float(ordered[place]) for name, place in places.items()}
