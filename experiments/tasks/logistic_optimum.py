"""The infimum of logistic regression, with a certificate: is it attained, where, and how exactly is it known?

Without l2 a recession direction v (``z_i . v >= 0`` for all rows, ``> 0`` for some) sends the losses of the rows
that it separates to zero, so the infimum is that of the remaining rows. Directions compose (``t v + v'`` for a large
t), so rows may be removed one direction at a time, until a minimiser provably exists for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, sparse
from scipy.sparse import linalg as iterative
from scipy.special import expit

DENSE_SIDE = 3000  # largest Hessian that is formed
DENSE_WORK = 5e10  # largest rows * columns * min(rows, columns) for an orthogonal factorisation
TRUSTED = 1e-8  # an error bound above this is reported as "not certified"


@dataclass(frozen=True)
class Optimum:
    """``value`` is f*; ``gradient_norm`` (2-norm) belongs to the rows that keep a loss, at their minimiser."""

    value: float
    gradient_norm: float
    finite: bool  # is the infimum attained?
    point: np.ndarray | None  # (d,), a minimiser (without l2: the one of least norm) when finite
    note: str


def minimise_logistic(signed_inputs: sparse.csr_array, l2: float) -> Optimum:
    """Minimise ``mean_i log(1 + exp(-z_i . w)) + l2/2 ||w||^2``; ``signed_inputs`` (n, d) has the rows z_i = y_i x_i.

    Raises ValueError for an empty or non-finite input and for a negative or non-finite l2.
    """
    rows = sparse.csr_array(signed_inputs, dtype=np.float64, copy=True)
    if rows.shape[0] == 0 or not np.isfinite(rows.data).all():
        raise ValueError("signed_inputs needs at least one row and finite entries")
    if not (np.isfinite(l2) and l2 >= 0):
        raise ValueError(f"l2 must be finite and not negative, not {l2}")
    rows, weights = _merge_equal(rows)
    if l2 == 0:
        return _without_l2(rows, weights)
    point = _newton(_dense_if_fuller(rows), weights, l2)
    value, gradient, _ = _objective(rows, weights, l2, point)
    norm = float(np.linalg.norm(gradient))
    error = norm**2 / (2 * l2)  # strong convexity
    return Optimum(value, norm, True, point, f"Newton; by strong convexity the value is within {error:.1e} of f*.")


def _without_l2(rows: sparse.csr_array, weights: np.ndarray) -> Optimum:
    kept = np.arange(rows.shape[0])
    peeled, separated, error, doubt = 0, 0, 0.0, ""
    while True:
        before = kept.size
        kept = _peel(rows, kept)
        peeled += before - kept.size
        active = kept[np.diff(rows.indptr)[kept] > 0]  # a row without entries keeps its loss of log 2 and decides nothing
        point, certified = np.zeros(rows.shape[1]), 0.0
        if active.size:
            point, certified = _solve_rows(rows[active], weights[active])
        if certified is not None:
            error += certified
            break
        found, cost = _recession(rows[active])
        if not found.any():
            doubt = " NOT CERTIFIED: no recession direction was found, but a minimiser was not proved to exist either."
            break
        separated, error = separated + int(found.sum()), error + cost
        kept = np.setdiff1d(kept, active[found])
    value, gradient, _ = _objective(rows[kept], weights[kept], 0.0, point)
    finite = kept.size == rows.shape[0]
    if error > TRUSTED:
        doubt += " NOT CERTIFIED: the error bound is large."
    note = (
        f"{peeled} of {rows.shape[0]} distinct rows removed by one-signed columns, {separated} by separating directions; "
        f"Newton on the other {kept.size}, value within {error:.1e} of f*, rounding apart.{doubt}"
    )
    return Optimum(value, float(np.linalg.norm(gradient)), finite, point if finite else None, note)


def _merge_equal(rows: sparse.csr_array) -> tuple[sparse.csr_array, np.ndarray]:
    """Distinct rows and the share (m,) of the data that each stands for."""
    rows.sum_duplicates()
    rows.eliminate_zeros()
    first: dict[tuple[bytes, bytes], int] = {}
    ends = zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    keys = [(rows.indices[a:b].tobytes(), rows.data[a:b].tobytes()) for a, b in ends]
    owner = np.array([first.setdefault(key, i) for i, key in enumerate(keys)])
    distinct, counts = np.unique(owner, return_counts=True)
    return rows[distinct], counts / len(keys)


def _dense_if_fuller(rows: sparse.csr_array) -> np.ndarray | sparse.csr_array:
    size = rows.shape[0] * rows.shape[1]
    return rows.toarray() if rows.nnz > 0.1 * size and size <= 1e8 else rows


def _objective(rows, weights, l2, point):
    """Value, gradient (d,) and the curvatures (m,) of the rows' losses; nothing overflows."""
    margins = rows @ point
    value = weights @ np.logaddexp(0, -margins) + l2 / 2 * (point @ point)
    gradient = l2 * point - rows.T @ (weights * expit(-margins))
    return float(value), gradient, weights * expit(margins) * expit(-margins)


def _newton(rows, weights, l2, tolerance=0.0):
    """Damped Newton from zero, down to ``tolerance`` or to where rounding stops it; (d,).

    Without l2 it also stops as soon as every row has a margin of 1, that is, when the data are separated.
    """
    direct = rows.shape[1] <= DENSE_SIDE
    tolerance = tolerance if direct else max(tolerance, 1e-12)
    point, last = np.zeros(rows.shape[1]), np.inf
    value, gradient, curvature = _objective(rows, weights, l2, point)
    for _ in range(300):
        norm = np.linalg.norm(gradient)
        if norm <= tolerance or (l2 == 0 and (rows @ point).min() >= 1):
            break
        step = _direct_step(rows, curvature, l2, gradient) if direct else _iterative_step(rows, curvature, l2, gradient)
        slope, noise = gradient @ step, 4 * np.finfo(float).eps * value
        if not slope < 0 or (-slope <= noise and (norm > 0.5 * last or abs(rows @ step).max() > 0.5)):
            break  # only rounding is left, or the point is on its way to infinity
        length = 1.0
        while True:
            trial = _objective(rows, weights, l2, point + length * step)
            if trial[0] <= value + 1e-4 * length * slope + noise or length < 1e-12:
                break
            length /= 2
        if -slope <= noise and np.linalg.norm(trial[1]) >= norm:
            break  # only rounding is left
        point, last = point + length * step, norm
        value, gradient, curvature = trial
    return point


def _direct_step(rows, curvature, l2, gradient):
    hessian = (rows.T * curvature) @ rows
    hessian = hessian.toarray() if sparse.issparse(hessian) else hessian
    hessian[np.diag_indices_from(hessian)] += l2
    damping = 0.0
    while True:
        try:
            factor = linalg.cho_factor(hessian + damping * np.eye(len(hessian)))
            return -linalg.cho_solve(factor, gradient)
        except linalg.LinAlgError:
            damping = max(100 * damping, 1e-16 * np.trace(hessian), 1e-300)


def _iterative_step(rows, curvature, l2, gradient):
    size = rows.shape[1]
    diagonal = rows.power(2).T @ curvature + l2
    diagonal[diagonal == 0] = 1
    hessian = iterative.LinearOperator((size, size), lambda v: rows.T @ (curvature * (rows @ v)) + l2 * v, dtype=float)
    jacobi = iterative.LinearOperator((size, size), lambda v: v / diagonal, dtype=float)
    accuracy = min(0.1, np.sqrt(np.linalg.norm(gradient)))
    return iterative.cg(hessian, -gradient, rtol=accuracy, maxiter=2000, M=jacobi)[0]


def _peel(rows: sparse.csr_array, kept: np.ndarray) -> np.ndarray:
    """Drop, again and again, the rows with an entry in a column whose entries have one sign (that axis is a recession
    direction); exact, no arithmetic. Returns the indices that stay."""
    while True:
        part = rows[kept]
        columns = part.indices
        positive = np.bincount(columns[part.data > 0], minlength=rows.shape[1]) > 0
        negative = np.bincount(columns[part.data < 0], minlength=rows.shape[1]) > 0
        touched = abs(part) @ (positive ^ negative).astype(float) > 0
        if not touched.any():
            return kept
        kept = kept[~touched]


def _solve_rows(rows: sparse.csr_array, weights: np.ndarray) -> tuple[np.ndarray, float | None]:
    """Newton without l2: the point (d,) and a bound on its excess over the minimum, None if no minimiser is proved.

    The proof. Let L L^T be the Hessian at the point, ``decrement = |L^-1 gradient|`` and ``reach = max_i |L^-1 z_i|``.
    On a ray with ``|L^T u| = 1`` the curvature is at least ``exp(-reach t)`` (each logistic curvature s satisfies
    ``|s'| <= s``) and the first slope at least ``-decrement``, so the slope turns positive at
    ``t = -log(1 - decrement reach) / reach``, if the product is below 1: a minimiser lies within that distance, and
    the value there is lower by at most ``decrement t``.
    """
    columns = np.unique(rows.indices)
    scale = abs(rows[:, columns]).max(axis=0).toarray().ravel()
    part = sparse.csr_array(rows[:, columns] / scale)
    point = np.zeros(rows.shape[1])
    m, d = part.shape
    if min(m, d) > DENSE_SIDE or m * d * min(m, d) > DENSE_WORK:
        point[columns] = _newton(part, weights, 0.0) / scale
        return point, None
    q, r, order = linalg.qr(part.toarray(), mode="economic", pivoting=True)
    rank = int((abs(np.diag(r)) > 1e-11 * abs(r[0, 0])).sum())
    basis = np.ascontiguousarray(q[:, :rank])  # orthonormal: duplicated and dependent columns are gone
    reduced = _newton(basis, weights, 0.0)
    # margins = basis @ reduced; the point of least norm that has them
    onto = r[:rank] * scale[order]
    left, triangle = linalg.qr(onto.T, mode="economic")
    point[columns[order]] = left @ linalg.solve_triangular(triangle, reduced, trans="T")
    value, gradient, curvature = _objective(basis, weights, 0.0, reduced)
    hessian = (basis.T * curvature) @ basis
    spectrum = linalg.eigvalsh(hessian)
    if not spectrum[0] > 1e-12 * spectrum[-1]:
        return point, None
    factor = linalg.cholesky(hessian, lower=True)
    rounding = 1e-15 * np.linalg.norm(abs(basis).T @ weights) / np.sqrt(spectrum[0])
    decrement = np.linalg.norm(linalg.solve_triangular(factor, gradient, lower=True)) + rounding
    reach = np.linalg.norm(linalg.solve_triangular(factor, basis.T, lower=True), axis=0).max()
    if decrement * reach > 0.01:
        return point, None
    return point, float(-decrement * np.log1p(-decrement * reach) / reach)


def _recession(rows: sparse.csr_array) -> tuple[np.ndarray, float]:
    """The rows (m,) that some recession direction strictly separates, and the error in f* that rounding may cause.

    The largest sum of ``s`` with ``Z v >= s``, ``0 <= s <= 1`` has s = 1 on these rows and 0 elsewhere, because
    recession directions form a cone and their sum separates whatever one of them does. The direction is then projected
    onto the null space of the other rows, and kept only if it still separates.
    """
    columns = np.unique(rows.indices)
    part = sparse.csr_array(rows[:, columns] / abs(rows[:, columns]).max(axis=0).toarray().ravel())
    part = sparse.csr_array(part / abs(part).max(axis=1).toarray().reshape(-1, 1))
    m, d = part.shape
    none = np.zeros(m, dtype=bool), 0.0
    solution = optimize.linprog(
        np.concatenate([np.zeros(d), -np.ones(m)]),
        A_ub=sparse.hstack([-part, sparse.eye_array(m)], format="csr"),
        b_ub=np.zeros(m),
        bounds=[(None, None)] * d + [(0, 1)] * m,
        method="highs",
        options={"time_limit": 600.0},
    )
    if solution.x is None:
        return none
    direction, found = solution.x[:d], solution.x[d:] > 0.5
    if not found.any():
        return none
    rest = part[~found]
    if rest.shape[0]:
        direction = direction - iterative.lsqr(rest, rest @ direction, atol=1e-15, btol=1e-15, iter_lim=10 * d)[0]
    margin = (part[found] @ direction).min()
    if not margin > 0.25:
        return none
    length = 60 / margin  # that far out the separated rows lose exp(-60)
    return found, float(length * abs(rest @ direction).max(initial=0.0))
