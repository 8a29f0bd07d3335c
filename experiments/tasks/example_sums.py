"""What is asked of the gradients of a batch's examples, and the answer: sums, never the gradients themselves."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Wants:
    """norms: ||g_i||^2. products: <g_i, direction>. squares: sum_i g_i^2 by coordinate."""

    norms: bool = False
    products: bool = False
    squares: bool = False


@dataclass
class ExampleSums:
    """losses: (B,). gradient: of their mean, by parameter. squared_norms, products: (B,) in float64.

    squares: by parameter, in float64. What was not asked for is empty. All but the losses are without the task's
    `common_gradient`.
    """

    losses: Tensor
    gradient: dict[str, Tensor]
    squared_norms: Tensor = field(default_factory=lambda: torch.empty(0))
    products: Tensor = field(default_factory=lambda: torch.empty(0))
    squares: dict[str, Tensor] = field(default_factory=dict)
