"""Matrices with given eigenvalues: what quadratics and least squares are made of. Everything is float64 numpy."""

from typing import Any

import numpy as np
import torch
from scipy.linalg import block_diag, helmert

from experiments.tasks.noise import normal
from optim.settings import SettingError, is_number, short

LARGEST = 5000  # dimensions: a dense matrix of 200 MB, and half a minute on one core for its rotation


def power_law(count: int, decay: float) -> np.ndarray:
    """i^-decay for i = 1 .. count."""
    return np.arange(1, count + 1, dtype=np.float64) ** -decay


def numbers(values: Any, label: str, count: int | None = None, minimum: float | None = None) -> list[float]:
    """The list as floats. Raises SettingError unless it has `count` finite numbers of at least `minimum`."""
    if not isinstance(values, list) or not values or not all(is_number(value) for value in values):
        raise SettingError(f"{label} must be a list of at least one finite number, not {short(values)}")
    if minimum is not None and min(values) < minimum:
        raise SettingError(f"{label} must hold numbers of at least {minimum:g}, not {min(values):g}")
    if count is not None and len(values) != count:
        raise SettingError(f"{label} must have one number for each of the {count} dimensions, not {len(values)}")
    return [float(value) for value in values]


def rotation(kind: str, dimension: int, block: int, key: int) -> np.ndarray | None:
    """Orthogonal (D, D), eigenvectors in columns, zero outside of diagonal blocks of size `block`; "none": None.

    "random": each block is uniform over the orthogonal matrices (Haar; Mezzadri 2007, section 5). "helmert": the first
    eigenvector of each block is constant on it, so that eigenvalues (a, b, b, ..., b) give a block with equal diagonal
    entries and equal off-diagonal ones.
    """
    if kind == "none":
        return None
    if kind == "helmert":
        return np.kron(np.eye(dimension // block), helmert(block, full=True).T)
    gaussian = normal(torch.arange(dimension), block, key).numpy()
    parts = []
    for part in gaussian.reshape(-1, block, block):
        orthogonal, triangular = np.linalg.qr(part)
        parts.append(orthogonal * np.where(np.diag(triangular) < 0, -1.0, 1.0))
    return np.asarray(block_diag(*parts))


def sparse_normal(dimension: int, density: float, key: int) -> np.ndarray:
    """A vector with N(0, 1) entries in a share `density` of random places (at least one), and zeros elsewhere, (D,).

    The non-zeros of a sparser vector are among those of a denser one, with the same values.
    """
    values = normal(torch.arange(dimension), 2, key).numpy()
    order = np.argsort(values[:, 1], kind="stable")
    kept = order[: max(1, round(density * dimension))]
    vector = np.zeros(dimension)
    vector[kept] = values[kept, 0]
    return vector
