"""A linear model of the pixels: multi-class logistic regression, as AdAdaGrad (arXiv 2402.11215) has it on MNIST."""

from math import prod

from torch import nn


def network(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """(B, channels, height, width) to (B, classes)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))
