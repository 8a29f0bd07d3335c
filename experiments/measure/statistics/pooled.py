"""Variances of examples' gradients from those of parts of a batch: of workers, or of micro-batches.

Section 1, last paragraph, of the facts on arXiv 2402.11215 (shared/papers/adadagrad.md). Everything is in float64.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from optim.settings import SettingError


def mean(sizes: Sequence[int], means: Tensor) -> Tensor:
    """The mean over all examples, (*), from the means (W, *) over parts of these sizes."""
    weights = torch.tensor(_checked(sizes, means), dtype=torch.float64, device=means.device)
    found: Tensor = torch.tensordot(weights / weights.sum(), means.double(), dims=1)
    return found


def spread(sizes: Sequence[int], means: Tensor) -> Tensor:
    """`sum_w b_w (g_w - g)^2` by coordinate, (*), from the means (W, *) over parts of sizes b_w; g is their mean."""
    away = means.double() - mean(sizes, means)
    weights = torch.tensor(list(sizes), dtype=torch.float64, device=means.device)
    found: Tensor = torch.tensordot(weights, away.square(), dims=1)
    return found


def pooled_variance(sizes: Sequence[int], variances: Tensor, means: Tensor) -> Tensor:
    """The variance of all b examples, divided by b - 1: `[sum_w (b_w - 1) S_w^2 + sum_w b_w (g_w - g)^2] / (b - 1)`.

    Exact for parts of unequal sizes b_w. variances: S_w^2, each divided by b_w - 1 (not looked at where b_w = 1), (W,)
    for traces, with the trace () returned, or (W, *) by coordinate. means: g_w, (W, *). Raises SettingError for sizes
    that do not fit and fewer than 2 examples in all.
    """
    total = sum(_checked(sizes, means))
    if total < 2:
        raise SettingError(f"a variance needs at least 2 examples, and there are {total}")
    if len(variances) != len(means) or variances.shape not in (means.shape, means.shape[:1]):
        raise SettingError("the variances of parts must be one for each part, or have the shape of their means")
    inside = sum(((b - 1) * v.double() for b, v in zip(sizes, variances, strict=True) if b > 1), start=torch.zeros(()))
    between = spread(sizes, means)
    return (inside + (between if variances.shape == means.shape else between.sum())) / (total - 1)


def variance_between(sizes: Sequence[int], means: Tensor) -> Tensor:
    """The variance of one example estimated from the means (J, *) of parts: `sum_j b_j (g_j - g)^2 / (J - 1)`, (*).

    By coordinate; its sum estimates tr V. Unbiased for equal and unequal sizes b_j, without gradients of single
    examples. Raises SettingError for fewer than 2 parts.
    """
    if len(means) < 2:
        raise SettingError(f"a variance between micro-batches needs at least 2 of them, and there are {len(means)}")
    return spread(sizes, means) / (len(means) - 1)


def _checked(sizes: Sequence[int], means: Tensor) -> list[int]:
    if len(sizes) != len(means) or not sizes or min(sizes) < 1:
        raise SettingError(f"there must be a size of at least 1 for each of {len(means)} parts, not {list(sizes)[:8]}")
    return list(sizes)
