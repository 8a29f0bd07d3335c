"""The infimum of logistic regression, with a certificate: is it attained, where, and how exactly is it known?

Without l2 a recession direction v (`z_i . v >= 0` for all rows, `> 0` for some) sends the losses of some rows to zero.
They are removed, one direction after another (`t v + v'` composes two), until a minimiser provably exists for the rest.
"""

from typing import Any

import numpy as np
from scipy import linalg, optimize, sparse
from scipy.sparse import linalg as iterative
from scipy.special import entr, expit
from threadpoolctl import threadpool_limits

from experiments.tasks.optima import Optimum

Rows = Any  # (m, d), sparse.csr_array or np.ndarray
DENSE_SIDE = 3000  # largest Hessian that is formed
DENSE_WORK = 5e10  # largest rows * columns * min(rows, columns) that is factorised
PRECISELY: dict[str, Any] = {"atol": 1e-15, "btol": 1e-15, "conlim": 0, "iter_lim": 5000}


def minimise_logistic(signed_inputs: sparse.csr_array, l2: float) -> Optimum:
    """Minimise `mean_i log(1 + exp(-z_i . w)) + l2/2 |w|^2`; `signed_inputs` (n, d) holds the rows z_i = y_i x_i.

    Raises ValueError for an input without rows or with non-finite entries, and for a negative or non-finite l2.
    """
    rows: Rows = sparse.csr_array(signed_inputs).astype(np.float64)
    if rows.shape[0] == 0 or not np.isfinite(rows.data).all() or not 0 <= l2 < np.inf:
        raise ValueError(f"signed_inputs needs rows and finite entries, and l2 = {l2} must be finite and not negative")
    rows, weights = _merge_equal(rows)
    with threadpool_limits(1, "blas"):  # many threads on a busy machine wait for each other, ten times as long
        if l2 == 0:
            kept, point, error, how = _without_l2(rows, weights)
        else:
            point = _newton(rows.toarray() if np.prod(rows.shape) < min(10 * rows.nnz, 1e8) else rows, weights, l2)
            kept, error, how = np.arange(rows.shape[0]), 0.0, "Newton"
    value, gradient, _ = _objective(rows[kept], weights[kept], l2, point)
    norm, finite = float(np.linalg.norm(gradient)), kept.size == rows.shape[0]
    error += norm**2 / (2 * l2) if l2 > 0 else 0.0  # by strong convexity
    note = f"{how}: within {error:.1e} of the infimum, rounding apart{' (NOT CERTIFIED)' * (error > 1e-8)}."
    return Optimum(value, norm, finite, point if finite else None, note)


def _without_l2(rows: Rows, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, str]:
    """The rows that keep a loss, a minimiser (d,) for them, a bound on its excess, and how they were found."""
    kept, separated, error = np.arange(rows.shape[0]), 0, 0.0
    scale = abs(rows).max(axis=0).toarray().ravel()
    while True:
        kept, point, excess = _peel(rows, kept), np.zeros(rows.shape[1]), 0.0
        active = kept[np.diff(rows.indptr)[kept] > 0]  # an empty row keeps its loss of log 2 and decides nothing
        if active.size == 0:
            break
        columns = np.unique(rows[active].indices)
        part = sparse.csr_array(rows[active][:, columns] / scale[columns])
        scaled, excess = _solve(part, weights[active], scale[columns])
        point[columns] = scaled / scale[columns]
        found, cost = _separable(part, scaled) if excess == np.inf else (np.zeros(active.size, dtype=bool), 0.0)
        if not found.any():
            break
        separated, error, kept = separated + found.sum(), error + cost, np.setdiff1d(kept, active[found])
    how = f"{rows.shape[0] - kept.size - separated} fell to one-signed columns, {separated} to other directions"
    return kept, point, error + excess, f"Newton on {kept.size} of {rows.shape[0]} distinct rows ({how})"


def _merge_equal(rows: Rows) -> tuple[Rows, np.ndarray]:
    """Distinct rows, and the share (m,) of the data that each stands for."""
    rows.sum_duplicates()
    rows.eliminate_zeros()
    first: dict[tuple[bytes, bytes], int] = {}
    ends = list(zip(rows.indptr[:-1], rows.indptr[1:], strict=True))
    keys = ((rows.indices[a:b].tobytes(), rows.data[a:b].tobytes()) for a, b in ends)
    distinct, counts = np.unique([first.setdefault(key, i) for i, key in enumerate(keys)], return_counts=True)
    return rows[distinct], counts / len(ends)


def _peel(rows: Rows, kept: np.ndarray) -> np.ndarray:
    """Drop rows with an entry in a column of one sign (its axis is a recession direction), until there are none."""
    while True:
        part = rows[kept]
        up, down = (np.bincount(part.indices[s], minlength=rows.shape[1]) > 0 for s in (part.data > 0, part.data < 0))
        touched = abs(part) @ (up ^ down).astype(float) > 0
        if not touched.any():
            return kept
        kept = kept[~touched]


def _objective(rows: Rows, weights: np.ndarray, l2: float, point: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient (d,) and the curvatures (m,) of the losses; nothing overflows."""
    margins = rows @ point
    value = weights @ np.logaddexp(0, -margins) + l2 / 2 * (point @ point)
    gradient = l2 * point - rows.T @ (weights * expit(-margins))
    return float(value), gradient, weights * expit(margins) * expit(-margins)


def _newton(rows: Rows, weights: np.ndarray, l2: float) -> np.ndarray:
    """Damped Newton from zero until rounding stops it; (d,). Without l2, also until every row has a margin of 1."""
    point, last, enough = np.zeros(rows.shape[1]), np.inf, 0.0 if rows.shape[1] <= DENSE_SIDE else 1e-12
    value, gradient, curvature = _objective(rows, weights, l2, point)
    for _ in range(200):
        norm = float(np.linalg.norm(gradient))
        if norm <= enough or (l2 == 0 and (rows @ point).min() >= 1):
            break
        step = _step(rows, curvature, l2, gradient)
        slope, noise, length = gradient @ step, 4 * np.finfo(float).eps * value, 1.0
        if not slope < 0 or (-slope <= noise and (norm > 0.5 * last or abs(rows @ step).max() > 0.5)):
            break  # only rounding is left, or the point is on its way to infinity
        trial = _objective(rows, weights, l2, point + step)
        while not trial[0] <= value + 1e-4 * length * slope + noise and length > 1e-12:
            length /= 2
            trial = _objective(rows, weights, l2, point + length * step)
        point, last, (value, gradient, curvature) = point + length * step, norm, trial
    return point


def _step(rows: Rows, curvature: np.ndarray, l2: float, gradient: np.ndarray) -> np.ndarray:
    """The Newton step, by Cholesky or, in high dimension, by conjugate gradients that sharpen as the gradient falls."""
    if gradient.size > DENSE_SIDE:
        diagonal, size = np.maximum((rows**2).T @ curvature + l2, 1e-300), 2 * gradient.shape
        hessian = iterative.LinearOperator(size, lambda v: rows.T @ (curvature * (rows @ v)) + l2 * v, dtype=float)
        rough, jacobi = min(0.1, float(np.linalg.norm(gradient)) ** 0.5), sparse.diags_array(1 / diagonal)
        return iterative.cg(hessian, -gradient, rtol=rough, maxiter=2000, M=jacobi)[0]
    dense, damping = (rows.T * curvature) @ rows, 0.0
    dense = (dense if isinstance(dense, np.ndarray) else dense.toarray()) + l2 * np.eye(gradient.size)
    while True:
        try:
            return -linalg.cho_solve(linalg.cho_factor(dense + damping * np.eye(gradient.size)), gradient)
        except linalg.LinAlgError:
            damping = max(100 * damping, 1e-16 * np.trace(dense), 1e-300)


def _solve(rows: Rows, weights: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, float]:
    """Newton without l2: the point w (d,) and a bound on its excess over the minimum, inf if no minimiser is proved."""
    if min(rows.shape) > DENSE_SIDE or rows.shape[0] * rows.shape[1] * min(rows.shape) > DENSE_WORK:
        point = _newton(rows, weights, 0.0)
        return point, _excess(rows, weights, point)
    point, (tall, small) = np.zeros(rows.shape[1]), np.linalg.qr(rows.toarray())
    q, r, order = linalg.qr(small, mode="economic", pivoting=True)
    rank = int((abs(np.diag(r)) > 1e-11 * abs(r[0, 0])).sum())
    basis = tall @ q[:, :rank]  # of the column space, orthonormal: dependent columns are gone
    reduced = _newton(basis, weights, 0.0)
    left, triangle = linalg.qr((r[:rank] * scale[order]).T, mode="economic")  # w / scale gets the least norm
    for _ in range(3):  # the second and third time for what rounding took
        missing = linalg.solve_triangular(triangle, basis.T @ (basis @ reduced - rows @ point), trans="T")
        point[order] += scale[order] * (left @ missing)
    return point, _excess(basis, weights, reduced)


def _excess(rows: Rows, weights: np.ndarray, point: np.ndarray) -> float:
    """How far the value at the point may be above the minimum; inf unless a minimiser is proved to exist.

    Slopes c > 0 with `Z' c = 0` leave no recession direction (Stiemke), and by duality the sum of `weight_i H(c_i /
    weight_i)`, H being the entropy of a coin, bounds the infimum from below. The slopes at the point miss this by the
    gradient: they are corrected, and the correction, and rounding's effect on it, must be small beside each of them.
    """
    value, gradient, _ = _objective(rows, weights, 0.0, point)
    share = np.maximum(expit(-(rows @ point)), 1e-290)
    root = np.sqrt(weights * share)
    sides = np.stack([gradient, np.finfo(float).eps * (abs(rows).T @ root**2)], axis=1)
    if isinstance(rows, np.ndarray):
        r = np.linalg.qr(rows * root[:, None], mode="r")
        both = rows @ linalg.solve_triangular(r, linalg.solve_triangular(r, sides, trans="T"))
    else:
        runs = [iterative.lsqr(rows.T * root, side, **PRECISELY)[:2] for side in sides.T]
        both = np.stack([(x if stop < 6 else root) / root for x, stop in runs], axis=1)  # from 6 on: not converged
    share = share * (1 + both[:, 0])
    return max(0.0, float(value - weights @ (entr(share) + entr(1 - share)))) if abs(both).max() < 0.1 else np.inf


def _separable(rows: Rows, guess: np.ndarray) -> tuple[np.ndarray, float]:
    """The rows (m,) that some recession direction strictly separates, and what rounding may cost (inf if none).

    The largest sum of s with `Z v >= s, 0 <= s <= 1` has s = 1 for these rows and s = 0 for the others: a sum of such
    directions separates whatever one does. The v found is made orthogonal to the others, and must still separate.
    """
    if (rows @ guess > 1e-12 * (abs(rows) @ abs(guess))).all():
        return np.ones(rows.shape[0], dtype=bool), 0.0
    m, d = rows.shape
    part = sparse.csr_array(rows / abs(rows).max(axis=1).toarray().reshape(-1, 1))
    above = sparse.hstack([-part, sparse.eye_array(m)], format="csr")
    cost, bounds = np.repeat([0, -1], [d, m]), [(-np.inf, np.inf)] * d + [(0, 1)] * m
    solution: Any = optimize.linprog(cost, above, np.zeros(m), bounds=bounds, options={"time_limit": 300}).x
    found = np.zeros(m, dtype=bool) if solution is None else solution[d:] > 0.5
    if not found.any():
        return found, np.inf
    direction = solution[:d] - iterative.lsqr(part[~found], part[~found] @ solution[:d], **PRECISELY)[0]
    found &= (part[found] @ direction).min() > 0.25
    leak, length = abs(rows[~found] @ direction).max(initial=0.0), 60 / (rows[found] @ direction).min(initial=np.inf)
    return found, float(leak * length) if found.any() else np.inf  # at that length a row loses less than 1e-26
