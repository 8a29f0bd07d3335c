"""Normalisations within an example: an example's gradients are `sum_t e_t * xhat_t` and `sum_t e_t`.

xhat is the normalised input before weight and bias are applied. Batch normalisation belongs here where its statistics
are frozen.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.measure.statistics.contribution import Contribution, Direct
from experiments.measure.statistics.layer import Layer


class _Norm(Layer):
    def __init__(self, module: Any, x: Tensor) -> None:
        self.x, self.module = x, module

    def normalised(self) -> Tensor:
        """Xhat, of the input's shape."""
        raise NotImplementedError

    def summed(self, y: Tensor) -> Tensor:
        """Sums over the positions of each example, (B, *shape of the weight)."""
        raise NotImplementedError

    def contributions(self, e: Tensor, wanted: set[str]) -> dict[str, Contribution]:
        found: dict[str, Contribution] = {}
        if "weight" in wanted:
            found["weight"] = Direct(self.summed(e * self.normalised()))
        if "bias" in wanted:
            found["bias"] = Direct(self.summed(e))
        return found


class _OfLastAxes(_Norm):
    def __init__(self, module: Any, x: Tensor) -> None:
        super().__init__(module, x)
        self.normalised_shape = tuple(module.weight.shape) if module.weight is not None else ()

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        return module.weight is not None and x.dim() > module.weight.dim()

    def summed(self, y: Tensor) -> Tensor:
        return y.reshape(len(y), -1, *self.normalised_shape).sum(dim=1)


class LayerNorm(_OfLastAxes):
    """`torch.nn.LayerNorm`."""

    def normalised(self) -> Tensor:
        return F.layer_norm(self.x, self.normalised_shape, None, None, self.module.eps)


class RMSNorm(_OfLastAxes):
    """`torch.nn.RMSNorm`."""

    def normalised(self) -> Tensor:
        return F.rms_norm(self.x, self.normalised_shape, None, self.module.eps)


class NamedRMSNorm(_OfLastAxes):
    """The RMS norms of transformers (LlamaRMSNorm and its like), known by name: `weight * xhat` or `(1 + weight) *`."""

    def __init__(self, module: Any, x: Tensor) -> None:
        super().__init__(module, x)
        self._weight = module.weight.detach()

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        weight = module._parameters.get("weight")
        return len(module._parameters) == 1 and weight is not None and weight.dim() == 1 and x.dim() > 1

    def normalised(self) -> Tensor:
        eps = next(
            (e for name in ("variance_epsilon", "eps") if (e := getattr(self.module, name, None)) is not None), 0.0
        )
        x = self.x.float()  # as they do, also for float64
        return (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)).to(self.x.dtype)

    def agrees(self, output: Tensor) -> bool:
        scaled = self.normalised()
        return self.same(scaled * self._weight, output) or self.same(scaled * (1 + self._weight), output)


class _OfChannels(_Norm):
    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        return module.weight is not None and x.dim() >= 2

    def summed(self, y: Tensor) -> Tensor:
        return y.flatten(2).sum(dim=2) if y.dim() > 2 else y


class GroupNorm(_OfChannels):
    """`torch.nn.GroupNorm`."""

    def normalised(self) -> Tensor:
        return F.group_norm(self.x, self.module.num_groups, None, None, self.module.eps)


class FrozenBatchNorm(_OfChannels):
    """`torch.nn.BatchNorm1d` and its like in evaluation mode: the statistics are constants."""

    def __init__(self, module: Any, x: Tensor) -> None:
        super().__init__(module, x)
        self._mean, self._variance = module.running_mean, module.running_var

    @classmethod
    def takes(cls, module: Any, x: Tensor) -> bool:
        return module.weight is not None and x.dim() >= 2 and not module.training and module.running_mean is not None

    def normalised(self) -> Tensor:
        return F.batch_norm(self.x, self._mean, self._variance, None, None, False, 0.0, self.module.eps)
