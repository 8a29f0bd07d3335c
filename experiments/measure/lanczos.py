"""The largest eigenvalue of the Hessian of the mean loss, by Lanczos."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.measure.hessian import hessian_product
from experiments.seeds import generator
from experiments.tasks.task import Batch, Params, Task

_ROUNDING = 16  # units of rounding, relative to the largest eigenvalue in size, that a product may be wrong by


@dataclass(frozen=True)
class Eigenvalue:
    """An approximate eigenvalue.

    value: the Ritz value. residual_bound: `||H u - value u||` for its unit vector u, computed from a product of its own
    and with an allowance for rounding; a true eigenvalue lies within this distance. products: Hessian products taken.
    """

    value: float
    residual_bound: float
    products: int


def top_eigenvalue(
    task: Task,
    params: Params,
    batch: Batch | None = None,
    tolerance: float = 1e-6,
    iterations: int = 100,
    seed: int = 0,
) -> Eigenvalue:
    """The largest (algebraic) eigenvalue of the Hessian of the mean loss over the batch (None: all the data).

    Lanczos with full re-orthogonalisation, until the residual is at most `tolerance` times the value, or after
    `iterations` steps: the bound then says how far it got. The error of the value is about the square of the residual
    over the gap to the next eigenvalue. One vector of the size of the parameters is kept per step. NaN where a product
    is not finite.
    """
    if iterations < 1 or not tolerance > 0:
        raise ValueError(f"Lanczos needs iterations >= 1 and tolerance > 0, not {iterations} and {tolerance}")
    product = hessian_product(task, params, batch)
    sizes = [p.numel() for p in params.values()]
    like = next(iter(params.values()))
    eps = torch.finfo(like.dtype).eps
    dimension, steps = sum(sizes), min(iterations, sum(sizes))

    def apply(flat: Tensor) -> Tensor:
        parts = zip(params.items(), flat.split(sizes), strict=True)
        image = product({name: part.view(p.shape) for (name, p), part in parts})
        return torch.cat([h.reshape(-1) for h in image.values()])

    start = torch.randn(dimension, dtype=torch.float64, generator=generator(seed, "lanczos"))
    vector = (start / start.norm()).to(like.device, like.dtype)
    basis = vector.new_empty(min(steps, 32), dimension)
    tridiagonal = torch.zeros(steps, steps, dtype=torch.float64)
    weights, value, taken = torch.ones(1, dtype=torch.float64), 0.0, 0
    for k in range(steps):
        if k == len(basis):
            basis = torch.cat([basis, vector.new_empty(min(steps, 2 * k) - k, dimension)])
        basis[k] = vector
        image = apply(vector)
        diagonal = float(vector.double() @ image.double())
        if not math.isfinite(diagonal):
            return Eigenvalue(math.nan, math.nan, k + 1)
        tridiagonal[k, k], taken = diagonal, k + 1
        known = basis[: k + 1]
        for _ in range(2):  # the second time for what rounding left
            image = image - known.T @ (known @ image)
        beta = float(image.double().norm())
        values, vectors = torch.linalg.eigh(tridiagonal[: k + 1, : k + 1])
        value, weights = float(values[-1]), vectors[:, -1]
        size = float(values.abs().max())
        enough = max(tolerance * abs(value), _ROUNDING * eps * size)
        if beta * abs(float(weights[-1])) <= enough or beta <= _ROUNDING * eps * size or k + 1 == steps:
            break
        tridiagonal[k, k + 1] = tridiagonal[k + 1, k] = beta
        vector = image / beta
    unit = basis[:taken].T @ weights.to(basis)
    unit = unit / unit.norm()
    image = apply(unit).double()
    unit = unit.double() / unit.double().norm()
    value = float(unit @ image)
    size = float(torch.linalg.eigvalsh(tridiagonal[:taken, :taken]).abs().max())
    residual = float((image - value * unit).norm()) + _ROUNDING * eps * size
    return Eigenvalue(value, residual, taken + 1)
