"""The augmented inner product test: the inner product test and the orthogonality test together."""

from collections.abc import Mapping
from dataclasses import dataclass

from optim.adaptive import GradientTest
from optim.batch_size import Context
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class AugmentedInnerProduct(GradientTest):
    """The larger of `Var(s_i) / (theta^2 ||ghat||^4)` and `tr Vhat_orth / (nu^2 ||ghat||^2)` (Bollapragada, Byrd,
    Nocedal 2018, section 3; arXiv 2402.11215).
    """

    theta: float = setting(0.5, above=0.0, doc="largest deviation of g_i . g in a batch relative to ||g||^2")
    nu: float = setting(1.0, above=0.0, doc="largest noise orthogonal to the gradient, relative to its norm")

    def numerators(self) -> tuple[str, ...]:
        return ("inner_product_variance", "orthogonal_variance")

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        along = self.quotient(found, "inner_product_variance", self.theta, power=2)
        return max(along, self.quotient(found, "orthogonal_variance", self.nu))
