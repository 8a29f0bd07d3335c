"""The norm test: a batch large enough that the noise of its gradient is small against the gradient."""

from collections.abc import Mapping
from dataclasses import dataclass

from optim.adaptive import GradientTest
from optim.batch_size import Context
from optim.settings import setting


@dataclass(frozen=True, kw_only=True)
class NormTest(GradientTest):
    """`tr Vhat / b <= eta^2 ||ghat||^2`, else `b = ceil(tr Vhat / (eta^2 ||ghat||^2))` (Byrd, Chin, Nocedal, Wu 2012;
    arXiv 2402.11215, AdAdaGrad-Norm).

    It aims at 1/eta^2 noise scales tr V / ||g||^2. Far below that one test multiplies b by about 1/eta^2 whatever the
    signal is, since ||ghat||^2 is noise then.
    """

    eta: float = setting(0.1, above=0.0, doc="largest noise of the batch gradient relative to its norm")

    def numerators(self) -> tuple[str, ...]:
        return ("variance_trace",)

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        return self.quotient(found, "variance_trace", self.eta)
