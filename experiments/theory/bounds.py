"""What the convex bounds of AdaGrad and of SGD are made of, and which of the two is smaller.

Section 2 of the page on arXiv 2406.15244, constants left out:

    AdaGrad   ||L||_1   D_inf^2 / T  +  ||sigma||_1 D_inf / sqrt(M T)
    SGD       ||L||_inf D_2^2   / T  +  ||sigma||_2 D_2   / sqrt(M T)

AdaGrad's with its constants is `rate_form.gap_bound`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Domain:
    """How far apart two points are, at most, in the largest coordinate (`largest`) and in the 2-norm (`length`)."""

    largest: float
    length: float


def box(dimension: int, side: float) -> Domain:
    """The box of this side in so many dimensions: D_2 = sqrt(d) D_inf."""
    return Domain(side, math.sqrt(dimension) * side)


def comparator(point: Any) -> Domain:
    """The domain that a start at w_0 = 0 and this one point, (d,), need: ||w*||_inf and ||w*||_2."""
    found = np.asarray(point, dtype=np.float64)
    return Domain(float(np.abs(found).max()), float(np.linalg.norm(found)))


@dataclass(frozen=True)
class Coefficients:
    """The four coefficients of the two bounds, and their ratios, SGD's over AdaGrad's: above 1 they favour AdaGrad.

    With norms of vectors of d coordinates, bias_ratio (R_b) is in [1/d, d] and noise_ratio (R_n) in [1/sqrt(d),
    sqrt(d)]; on a box both are at least 1. A ratio is NaN where AdaGrad's coefficient is 0.
    """

    adagrad_bias: float
    adagrad_noise: float
    sgd_bias: float
    sgd_noise: float

    @property
    def bias_ratio(self) -> float:
        """R_b."""
        return self.sgd_bias / self.adagrad_bias if self.adagrad_bias else math.nan

    @property
    def noise_ratio(self) -> float:
        """R_n."""
        return self.sgd_noise / self.adagrad_noise if self.adagrad_noise else math.nan


def coefficients(
    total_smoothness: float, smoothness: float, total_noise: float, noise: float, domain: Domain
) -> Coefficients:
    """From ||L||_1, ||sigma||_1, ||sigma||_2 and SGD's constant: ||L||_inf, or lambda_max, which is no larger."""
    return Coefficients(
        adagrad_bias=total_smoothness * domain.largest**2,
        adagrad_noise=total_noise * domain.largest,
        sgd_bias=smoothness * domain.length**2,
        sgd_noise=noise * domain.length,
    )


def smoothness_anisotropy(dimension: int, smoothness: float, total_smoothness: float) -> float:
    """`d ||L||_inf / ||L||_1`: 1 where all L_j are equal, d where one coordinate has it all. NaN for L = 0."""
    return dimension * smoothness / total_smoothness if total_smoothness else math.nan


def noise_anisotropy(dimension: int, noise: float, total_noise: float) -> float:
    """`sqrt(d) ||sigma||_2 / ||sigma||_1`: 1 where all sigma_j are equal, sqrt(d) where one has it all."""
    return math.sqrt(dimension) * noise / total_noise if total_noise else math.nan
