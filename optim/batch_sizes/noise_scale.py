"""A batch of so many gradient noise scales."""

from collections.abc import Mapping
from dataclasses import dataclass

from optim.adaptive import AdaptiveRule, norms, ratio, require_positive, unbiased_norm
from optim.batch_size import Context
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class NoiseScale(AdaptiveRule):
    """`b = ceil(multiple B_simple)` with `B_simple = tr V / ||g||^2` (McCandlish et al. 2018, section 2.2), from the
    unbiased estimates tr Vhat and ||ghat||^2 - tr Vhat / b (their appendix A.1, with batches of 1 and b).

    One batch tells little of ||g||^2 where b is below the noise scale: smooth both, as they do.
    """

    multiple: float = setting(1.0, above=0.0, doc="batch size in noise scales")

    def statistics(self) -> tuple[str, ...]:
        return ("variance_trace", "gradient_norm_squared")

    def measured(self, context: Context) -> dict[str, float]:
        return {**super().measured(context), "gradient_norm_squared": unbiased_norm(context, self.noise_share(context))}

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        require_positive(found["gradient_norm_squared"])
        return self.multiple * ratio(found["variance_trace"], found["gradient_norm_squared"])

    def remark(self, context: Context) -> str:
        return norms(context, self.noise_share(context))
