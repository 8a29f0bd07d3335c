"""What adaptive batch-size rules are told about the gradients of a batch, as plain numbers made of sums."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from experiments.measure.gradients import STATISTICS
from experiments.tasks.example_sums import Wants
from experiments.tasks.task import Params

LARGEST = "largest_coordinate_ratio"
_QUANTILES = {"median_coordinate_ratio": 0.5, "coordinate_ratio_90": 0.9, "coordinate_ratio_99": 0.99}
_ROUNDING = 100  # errors of a coordinate that count as zero
RATIOS = (LARGEST, *_QUANTILES)
NAMES = (*(name for name in STATISTICS if name != "variance_by_coordinate"), *RATIOS)


@functools.cache
def wants(names: tuple[str, ...]) -> Wants:
    """What these statistics are made of, beside the gradient."""
    norms = {"variance_trace", "orthogonal_variance"} & set(names)
    along = {"inner_product_variance", "orthogonal_variance"} & set(names)
    squares = bool(set(RATIOS) & set(names))
    return Wants(norms=bool(norms) and not squares, products=bool(along), squares=squares)


def numbers(
    names: Sequence[str],
    gradient: Params,
    centre: Params,
    count: int,
    freedom: int,
    norms: float = 0.0,
    along: float = 0.0,
    squares: Params | None = None,
) -> dict[str, float]:
    """The statistics `names` of `count` examples with this mean gradient g.

    With h_i = g_i less something that all examples share, and centre their mean: norms: sum_i ||h_i||^2. along:
    sum_i (<g_i, g> - ||g||^2)^2. squares: sum_i h_i^2 by coordinate. Where they are sums over means of parts instead,
    each counted as often as it has examples, `freedom` is the number of parts less 1, and count - 1 otherwise (arXiv
    2402.11215; section 1 of our page).

    The coordinate ratios are Vhat_jj / ghat_j^2, with 0/0 := 0: their largest, and quantiles over the coordinates that
    have a gradient or a variance. What is below 100 rounding errors of a coordinate of middling size is 0: the biases
    of attention's keys have no gradient, and rounding gives them a ratio all the same.
    """
    squared = _squared(gradient)
    if squares:
        norms = math.fsum(float(s.sum()) for s in squares.values())
    around = squared if centre is gradient else _squared(centre)
    variance, inner = _positive(norms - count * around) / freedom, along / freedom
    found = {
        "gradient_norm_squared": squared,
        "variance_trace": variance,
        "inner_product_variance": inner,
        "orthogonal_variance": _positive(variance - (inner / squared if squared else 0.0)),
    }
    found = {name: value for name, value in found.items() if name in names}
    return found | (_summary(_ratios(gradient, centre, count, freedom, squares), names) if squares else {})


def _squared(gradient: Params) -> float:
    return float(torch.stack([g.double().square().sum() for g in gradient.values()]).sum())


def _positive(value: float) -> float:
    """Zero for what rounding made negative; what is not a number stays so."""
    return 0.0 if value < 0 else value


def _ratios(gradient: Params, centre: Params, count: int, freedom: int, squares: Params) -> Tensor:
    """Vhat_jj / ghat_j^2 of the coordinates where one of them is not zero, flat."""
    means = torch.cat([g.reshape(-1).double().square() for g in gradient.values()])
    around = means if centre is gradient else torch.cat([centre[n].reshape(-1).double().square() for n in gradient])
    sums = torch.cat([squares[name].reshape(-1) for name in gradient])
    variance = ((sums - count * around) / freedom).clamp_min_(0)
    rounding = (_ROUNDING * torch.finfo(next(iter(gradient.values())).dtype).eps) ** 2
    there = torch.maximum(variance, means) > rounding * (variance + means).mean()
    return (variance / means)[there]


def _summary(ratios: Tensor, names: Sequence[str]) -> dict[str, float]:
    if not len(ratios):
        return {name: 0.0 for name in names if name in RATIOS}
    found = {LARGEST: float(ratios.max())} if LARGEST in names else {}
    places = {name: math.ceil(share * len(ratios)) for name, share in _QUANTILES.items() if name in names}
    return found | {name: float(ratios.kthvalue(place).values) for name, place in places.items()}
