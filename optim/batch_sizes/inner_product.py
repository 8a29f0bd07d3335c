"""The inner product test: a batch whose gradient is mostly a direction of descent."""

from collections.abc import Mapping
from dataclasses import dataclass

from optim.adaptive import GradientTest
from optim.batch_size import Context
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class InnerProduct(GradientTest):
    """`Var(s_i) / b <= theta^2 ||ghat||^4` with `s_i = g_i . ghat`, else `b = ceil(Var(s_i) / (theta^2 ||ghat||^4))`
    (Bollapragada, Byrd, Nocedal 2018, section 3).

    It never asks for more than the norm test with eta = theta. At tiny b it is content whatever the signal is. With
    `unbiased`, the square of the unbiased estimate of ||g||^2 stands for ||ghat||^4; Var(s_i) stays as measured.
    """

    theta: float = setting(0.5, above=0.0, doc="largest deviation of g_i . g in a batch relative to ||g||^2")

    def numerators(self) -> tuple[str, ...]:
        return ("inner_product_variance",)

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        return self.quotient(found, "inner_product_variance", self.theta, power=2)
