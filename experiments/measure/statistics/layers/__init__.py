"""The kinds of layers whose statistics are known; anything else is measured by gradients of single examples."""

from typing import Any

from torch import nn

from experiments.measure.statistics.layer import Layer
from experiments.measure.statistics.layers.convolution import Convolution
from experiments.measure.statistics.layers.embedding import Embedding
from experiments.measure.statistics.layers.linear import Linear, Transposed
from experiments.measure.statistics.layers.norms import FrozenBatchNorm, GroupNorm, LayerNorm, NamedRMSNorm, RMSNorm

_OF_TORCH: list[tuple[Any, type[Layer]]] = [
    (nn.Linear, Linear),
    (nn.Conv1d, Convolution),
    (nn.Conv2d, Convolution),
    (nn.Conv3d, Convolution),
    (nn.Embedding, Embedding),
    (nn.LayerNorm, LayerNorm),
    (nn.GroupNorm, GroupNorm),
    (nn.RMSNorm, RMSNorm),
    (nn.modules.batchnorm._BatchNorm, FrozenBatchNorm),
]


def kind_of(module: nn.Module) -> type[Layer] | None:
    """The kind of a module, or None. One whose `forward` was replaced is of no known kind."""
    if "forward" in vars(module):
        return None
    for cls, kind in _OF_TORCH:
        if isinstance(module, cls):
            return kind if type(module).forward is cls.forward else None
    name = type(module).__name__
    if name == "Conv1D":
        return Transposed
    return NamedRMSNorm if name.endswith("RMSNorm") else None
