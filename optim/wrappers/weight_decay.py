"""Weight decay around any rule."""

from dataclasses import dataclass

from torch import Tensor

from optim.mapping import Hyper, Tensors
from optim.settings import setting
from optim.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class WeightDecay(Wrapper):
    """Coupled: the rule sees `g_t + strength w_t`, the gradient with an l2 term (`weight_decay` of most torch classes).
    Decoupled: `-lr_t strength w_t` is added to the update (Loshchilov and Hutter 2019; `torch.optim.AdamW`), lr_t being
    the scheduled rate of the rule, without a decay of the rule's own such as AdaGrad's lr_decay.
    """

    strength: float = setting(0.01, minimum=0.0, lane=True, doc="strength of the decay")
    kind: str = setting("decoupled", choices=("coupled", "decoupled"), doc="on the gradient, or on the update")

    def coefficients(self, hyper: Hyper, step: int) -> Hyper:
        return {"strength": hyper["strength"], "shrink": hyper["lr"] * hyper["strength"]}

    def before(self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper) -> tuple[Tensor, Tensors]:
        return (grad + param * c["strength"] if self.kind == "coupled" else grad), state

    def after(self, update: Tensor, state: Tensors, param: Tensor, c: Hyper) -> tuple[Tensor, Tensors]:
        return (update - param * c["shrink"] if self.kind == "decoupled" else update), state
