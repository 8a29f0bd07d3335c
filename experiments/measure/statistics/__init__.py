"""Statistics of the gradients of single examples, cheap enough to be taken at every step."""

from experiments.measure.statistics.collect import NAMES, Collected, Collector
from experiments.measure.statistics.pooled import mean, pooled_variance, spread, variance_between

__all__ = ["NAMES", "Collected", "Collector", "mean", "pooled_variance", "spread", "variance_between"]
