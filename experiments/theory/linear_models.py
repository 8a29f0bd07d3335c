"""What follows from the rows of a generalised linear model alone: simple vectors L, and a sigma that holds everywhere.

With rows X (n, d), dense or sparse, every Hessian is at most `A = factor X'X / n + l2 I`, in the positive semidefinite
order. See section 3 of the page on arXiv 2406.15244; `smoothness` has the smallest L.
"""

from typing import Any

import numpy as np
from scipy import sparse

from experiments.theory.smoothness import DENSE_SIDE

Vector = np.ndarray[Any, np.dtype[np.float64]]


def row_sums(rows: Any, factor: float = 0.25, l2: float = 0.0) -> Vector:
    """`L_j = sum_k |A_jk|`, (d,), a valid L: diag(L) - A is diagonally dominant.

    In more than DENSE_SIDE columns with mixed signs, where A is not formed, those of `factor |X|'|X| / n + l2 I`, which
    are no smaller.
    """
    x = sparse.csr_array(rows, dtype=np.float64)
    n, d = x.shape
    if d <= DENSE_SIDE and (x.data < 0).any():
        sums = np.abs((x.T @ x).toarray()).sum(axis=1)
    else:
        sizes = abs(x)
        sums = sizes.T @ np.asarray(sizes.sum(axis=1)).ravel()
    return np.asarray(factor / n * sums + l2)


def diagonal(rows: Any, factor: float = 0.25, l2: float = 0.0) -> Vector:
    """A_jj, (d,): no valid L unless A is diagonal, only a lower bound for every valid one."""
    return np.asarray(factor * second_moments(rows) + l2)


def second_moments(rows: Any) -> Vector:
    """`mean_i x_ij^2`, (d,)."""
    x = sparse.csr_array(rows, dtype=np.float64)
    return np.asarray(x.power(2).sum(axis=0) / x.shape[0]).ravel()


def noise_everywhere(rows: Any, slope: float = 1.0) -> Vector:
    """sigma_j, (d,), that no point exceeds: the root of `slope^2 mean_i x_ij^2`, slope bounding |loss'| (logistic: 1).

    An example's gradient is `loss'(x_i . w) x_i` and an l2 term that is the same for all, so its variance in coordinate
    j is at most the second moment of the first part.
    """
    return np.asarray(slope * np.sqrt(second_moments(rows)))


def touched(rows: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which columns have a non-zero, (d,)."""
    return np.asarray(abs(sparse.csr_array(rows)).sum(axis=0)).ravel() > 0
