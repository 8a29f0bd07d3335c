"""Measurements on tasks: curvature, noise and gradients at a point, and the probes that take them along a run."""

from experiments.measure.gradients import gradient_noise, gradient_norms
from experiments.measure.hessian import Estimate, hessian_product, hessian_trace
from experiments.measure.lanczos import Eigenvalue, top_eigenvalue
from experiments.measure.statistics.of_task import gradient_statistics

__all__ = [
    "Eigenvalue",
    "Estimate",
    "gradient_noise",
    "gradient_norms",
    "gradient_statistics",
    "hessian_product",
    "hessian_trace",
    "top_eigenvalue",
]
