"""The coordinate-wise norm test: the norm test for every coordinate of the gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from optim.adaptive import AdaptiveRule, Undecided
from optim.batch_size import Context
from optim.settings import SettingError, setting

_TOLD = ("median_coordinate_ratio", "coordinate_ratio_90", "coordinate_ratio_99")  # of the coordinates with noise


@dataclass(frozen=True, kw_only=True)
class CoordinateNormTest(AdaptiveRule):
    """`Vhat_jj / b <= eta^2 ghat_j^2` for every coordinate j, else `b = max_j ceil(Vhat_jj / (eta^2 ghat_j^2))`
    (arXiv 2402.11215, AdAdaGrad).

    The statistic is max_j Vhat_jj / ghat_j^2: a coordinate without noise is content (0/0 is 0), one with noise and
    without gradient asks for the cap (c/0 is infinite). The quantiles of the ratio are told in the notes. With
    `unbiased`, ghat_j^2 - Vhat_jj / b stands for ghat_j^2; where it is not positive for the worst coordinate, the data
    say nothing. The ratios of single coordinates are not kept, so that there is nothing to smooth.
    """

    may_be_infinite: ClassVar[tuple[str, ...]] = ("largest_coordinate_ratio",)

    eta: float = setting(0.1, above=0.0, doc="largest noise of a coordinate of the batch gradient relative to it")
    unbiased: bool = setting(False, doc="take ghat_j^2 - Vhat_jj / b for the square of the true derivative")

    def __post_init__(self) -> None:
        if self.smooth_numerator or self.smooth_denominator:
            raise SettingError("smooth_numerator and smooth_denominator are not for the coordinate-wise test: use 0")

    def statistics(self) -> tuple[str, ...]:
        return ("largest_coordinate_ratio", "variance_trace", "gradient_norm_squared", *_TOLD)

    def measured(self, context: Context) -> dict[str, float]:
        """The sums over coordinates are there to tell an infinite ratio from a gradient that is not finite."""
        return {name: context.statistics[name] for name in self.statistics() if name not in _TOLD}

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        ratio = found["largest_coordinate_ratio"]
        if self.unbiased:
            share = self.noise_share(context)
            rest = 1 - ratio * share if share else 1.0
            if rest <= 0:
                raise Undecided("the unbiased estimate of (d_j F)^2 is not positive for the worst coordinate")
            ratio /= rest
        return ratio / self.eta / self.eta

    def remark(self, context: Context) -> str:
        told = [f"{name} {context.statistics[name]:.4g}" for name in _TOLD if name in context.statistics]
        return "".join(f"; {text}" for text in told)
