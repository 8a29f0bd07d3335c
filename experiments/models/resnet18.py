"""ResNet-18 (He, Zhang, Ren and Sun 2016) with the stem that is usual for CIFAR: one 3 x 3 convolution and no pooling.

Its normalisation does not mix the examples of a batch: GroupNorm (Wu and He 2018), or batch normalisation whose
statistics are frozen.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

_WIDTHS = (1, 2, 4, 8)  # of the four stages, in units of the first
_GROUPS = 32

Norm = Callable[[int], nn.Module]


class _Block(nn.Module):
    """Two 3 x 3 convolutions around which the input is added, through a 1 x 1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.norm1(self.conv1(inputs)))
        return torch.relu(self.norm2(self.conv2(hidden)) + self.shortcut(inputs))


def network(shape: tuple[int, int, int], classes: int, width: int = 64, norm: Norm | None = None) -> nn.Module:
    """(B, channels, height, width) to (B, classes); 11,173,962 parameters for CIFAR-10.

    width: channels of the first stage. norm: makes the normalisation of so many channels; by default GroupNorm with 32
    groups, or one for each channel where there are fewer channels.
    """

    def group_norm(channels: int) -> nn.Module:
        return nn.GroupNorm(min(_GROUPS, channels), channels)

    normal = norm or group_norm
    layers = [nn.Conv2d(shape[0], width, 3, padding=1, bias=False), normal(width), nn.ReLU()]
    inputs = width
    for stage, factor in enumerate(_WIDTHS):
        for block in range(2):
            layers.append(_Block(inputs, factor * width, 2 if stage and not block else 1, normal))
            inputs = factor * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def narrow(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The same with a quarter of the channels, for machines without a GPU (ours); 701,466 parameters for CIFAR-10."""
    return network(shape, classes, width=16)


def frozen(shape: tuple[int, int, int], classes: int, width: int = 64) -> nn.Module:
    """The same with batch normalisation in evaluation mode, whose statistics stay 0 and 1: see `calibrate`."""
    return network(shape, classes, width, nn.BatchNorm2d).eval()


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor) -> None:
    """Have every frozen batch normalisation do to `images` what it would do to them in training mode.

    Layer by layer, their mean and variance go into its weight and bias, so that parameters alone hold them; the frozen
    statistics stay 0 and 1. Does nothing to a model without batch normalisation.
    """

    def fold(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        scale = norm.weight / (variance + norm.eps).sqrt()
        norm.bias.sub_(mean * scale)
        norm.weight.copy_(scale * (1 + norm.eps) ** 0.5)

    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    if norms:
        hooks = [norm.register_forward_pre_hook(fold) for norm in norms]
        model(images)
        for hook in hooks:
            hook.remove()
