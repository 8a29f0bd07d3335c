"""The orthogonality test: a batch whose gradient strays little from its direction."""

from collections.abc import Mapping
from dataclasses import dataclass

from optim.adaptive import GradientTest
from optim.batch_size import Context
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class Orthogonality(GradientTest):
    """`tr Vhat_orth / b <= nu^2 ||ghat||^2`, else `b = ceil(tr Vhat_orth / (nu^2 ||ghat||^2))`, where Vhat_orth is the
    covariance of the part of g_i that is orthogonal to ghat (Bollapragada, Byrd, Nocedal 2018, section 3).
    """

    nu: float = setting(1.0, above=0.0, doc="largest noise orthogonal to the gradient, relative to its norm")

    def numerators(self) -> tuple[str, ...]:
        return ("orthogonal_variance",)

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        return self.quotient(found, "orthogonal_variance", self.nu)
