"""The anisotropic smoothness of a generalised linear model: the smallest `||L||_1` with `diag(L) >= A`, certified.

`A = factor X'X / n + l2 I` bounds every Hessian (factor 1/4 for logistic regression, where it is attained at w = 0). To
minimise `sum_j L_j` is the dual of the MaxCut relaxation `max <A, Z>, Z_jj = 1, Z >= 0` (in the positive semidefinite
order), so every such Z bounds it from below. See docs/adagrad-anisotropic.md and section 3 of arXiv 2406.15244.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import linalg as iterative
from threadpoolctl import threadpool_limits

DENSE_SIDE = 2000  # most columns for which A is formed
_GAP = 1e-9  # the ascent ends at this relative duality gap
_SWEEPS, _WORK = 5000, 5e10  # or after so many sweeps, or multiplications
_CHECK_EVERY = 20  # sweeps
_BOUND_RANK, _BOUND_STEPS = 8, 40  # of the ascent for a lower bound in high dimension

Matrix = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Smoothness:
    """A vector L with `diag(L) >= A`, and how good it is.

    values: L, (d,). total: ||L||_1. largest: max_j L_j. top_eigenvalue: lambda_max(A), the constant of SGD.
    certificate: lambda_min(diag(L) - A), computed where A is formed (0 where the method says why it is none below).
    excess: how far the total may be above the smallest possible one (the duality gap, rounding apart). active: columns
    with a non-zero; the others have L_j = l2. method: how L was found.
    """

    values: Matrix
    total: float
    largest: float
    top_eigenvalue: float
    certificate: float
    excess: float
    active: int
    method: str


def smoothness(rows: Any, factor: float = 0.25, l2: float = 0.0) -> Smoothness:
    """L for `A = factor X'X / n + l2 I`; `rows` is X, (n, d), a scipy sparse array or an ndarray.

    Where X >= 0 (or is so after rows and columns have changed sign) L are the row sums of |A|, which are optimal. With
    mixed signs L comes from low-rank coordinate ascent in up to DENSE_SIDE columns; in more it is the valid bound
    `(factor/n) sum_i |x_ij| ||x_i||_1 + l2`, and `excess` says how loose that may be. Sparse rows stay sparse. Raises
    ValueError for rows that are empty or not finite and for a negative factor or l2.
    """
    x = sparse.csr_array(rows, dtype=np.float64)
    if 0 in x.shape or not np.isfinite(x.data).all():
        raise ValueError(f"the rows must be a matrix with entries, all of them finite, and these have shape {x.shape}")
    if not (0 < factor < np.inf and 0 <= l2 < np.inf):
        raise ValueError(f"smoothness needs a factor > 0 and l2 >= 0, both finite, not {factor} and {l2}")
    touched = np.asarray(abs(x).sum(axis=0)).ravel() > 0
    values, certificate, excess, method = np.full(x.shape[1], l2), l2, 0.0, "no column has a non-zero"
    top = l2
    if touched.any():
        part = sparse.csr_array(x[:, np.flatnonzero(touched)] * np.sqrt(factor / x.shape[0]))
        with threadpool_limits(1, "blas"):  # many threads on a busy machine wait for each other
            found, certificate, excess, method = _solve(part)
            top += _top_eigenvalue(part)
        values[touched] += found
        certificate = certificate if touched.all() else min(certificate, 0.0)  # an untouched column adds l2 - l2
    active = int(touched.sum())
    return Smoothness(values, float(values.sum()), float(values.max()), top, certificate, excess, active, method)


def _solve(x: sparse.csr_array) -> tuple[Matrix, float, float, str]:
    """L, the certificate, the excess and the method for `A = X'X`, without empty columns."""
    sizes = abs(x)
    sums = sizes.T @ np.asarray(sizes.sum(axis=1)).ravel()
    dense = (x.T @ x).toarray() if x.shape[1] <= DENSE_SIDE else None
    signs = _column_signs(x)
    if signs is not None:
        method = "row sums, exactly optimal: X >= 0 up to signs, and diag(L) - A is the Laplacian of a graph"
        certificate = 0.0 if dense is None else _smallest(np.diag(sums) - dense)
        return sums, certificate, max(0.0, float(sums.sum() - (np.asarray(x @ signs) ** 2).sum())), method
    if dense is None:
        method = f"row sums of |X|'|X|, valid but not optimal: {x.shape[1]:,} columns are too many for the ascent"
        return sums, 0.0, float(sums.sum()) - _lower_bound(x), method
    return _ascend(dense)


def _column_signs(x: sparse.csr_array) -> Matrix | None:
    """Signs s, (d,), with X diag(s) >= 0 after rows have changed sign too, which A does not see; None: no such signs.

    Entries tie their row's sign to their column's: signs are spread from one column of each connected part to the rest.
    """
    entries = sparse.coo_array(x)
    n, d = x.shape
    rows, columns, data = entries.row, entries.col + n, np.sign(entries.data)
    keep = data != 0
    rows, columns, data = rows[keep], columns[keep], data[keep]
    # Two copies of every row and column, one for each sign: a contradiction joins the two copies.
    same, other = data > 0, data < 0
    left = np.concatenate([rows[same], rows[same] + n + d, rows[other], rows[other] + n + d])
    right = np.concatenate([columns[same], columns[same] + n + d, columns[other] + n + d, columns[other]])
    graph = sparse.coo_array((np.ones(len(left)), (left, right)), shape=(2 * (n + d), 2 * (n + d)))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    plus, minus = labels[n : n + d], labels[n + d + n :]
    return None if (plus == minus).any() else np.where(plus < minus, 1.0, -1.0)


def _ascend(a: Matrix) -> tuple[Matrix, float, float, str]:
    """Coordinate ascent on `<A, V V'>` over unit rows V, whose stationary points of this rank are optimal.

    Each step is `V_j <- normalise(sum_{k != j} A_jk V_k)`; then L_j = <(A V)_j, V_j>, raised until diag(L) >= A.
    """
    d = len(a)
    rank = min(d, int(np.ceil(np.sqrt(2 * d))) + 1)
    off = a - np.diag(np.diag(a))
    v = np.random.default_rng(0).normal(size=(d, rank))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    best, upper, lower, sweeps = np.zeros(d), np.inf, -np.inf, 0
    most = min(_SWEEPS, _WORK / (d * d * rank))
    while sweeps == 0 or (sweeps < most and upper - lower > _GAP * upper):
        for _ in range(_CHECK_EVERY):
            for j in range(d):
                pull = off[j] @ v
                length = np.sqrt(pull @ pull)
                if length > 0:
                    v[j] = pull / length
        sweeps += _CHECK_EVERY
        values = np.einsum("jr,jr->j", a @ v, v)
        lower = max(lower, float(values.sum()))
        values += max(0.0, -_smallest(np.diag(values) - a))
        if values.sum() < upper:
            best, upper = values, float(values.sum())
    values = best + 4 * np.finfo(float).eps * best.max()
    method = f"coordinate ascent of rank {rank}, {sweeps} sweeps"
    return values, _smallest(np.diag(values) - a), max(0.0, float(values.sum()) - lower), method


def _lower_bound(x: sparse.csr_array) -> float:
    """A value of the dual, `<A, V V'>` for some unit rows V: power steps `V <- normalise(A V)`, which increase it."""
    v = np.random.default_rng(0).normal(size=(x.shape[1], _BOUND_RANK))
    value = 0.0
    for _ in range(_BOUND_STEPS):
        v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), np.finfo(float).tiny)
        image = x @ v
        value = float((image**2).sum())
        v = x.T @ image
    return value


def _smallest(a: Matrix) -> float:
    return float(np.linalg.eigvalsh(a)[0])


def _top_eigenvalue(x: sparse.csr_array) -> float:
    """The largest eigenvalue of X'X."""
    side = min(x.shape)
    if side <= 300:
        gram = (x.T @ x if x.shape[1] == side else x @ x.T).toarray()
        return float(np.linalg.eigvalsh(gram)[-1])
    operator = iterative.LinearOperator((x.shape[1],) * 2, matvec=lambda u: x.T @ (x @ u), dtype=np.float64)
    start = np.asarray(abs(x).sum(axis=0)).ravel()
    return float(iterative.eigsh(operator, k=1, which="LA", v0=start, tol=1e-12, return_eigenvectors=False)[0])
