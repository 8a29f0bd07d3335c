"""The minimum of multi-class logistic regression with an l2 term, which makes it strongly convex."""

from typing import Any

import numpy as np
from scipy import optimize, sparse
from threadpoolctl import threadpool_limits

from experiments.tasks.optima import Optimum


def minimise_multiclass(rows: Any, targets: np.ndarray, classes: int, l2: float) -> Optimum:
    """Minimise `mean_i (log sum_k exp(w_k . x_i) - w_{y_i} . x_i) + l2/2 ||W||^2`; rows (n, d), csr_array or dense.

    The excess over the minimum is at most `||gradient||^2 / (2 l2)`.
    """
    size, columns = rows.shape
    hot = sparse.csr_array((np.ones(size), (np.arange(size), targets)), shape=(size, classes))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(classes, columns)
        outputs = rows @ weight.T
        outputs -= outputs.max(axis=1, keepdims=True)
        chosen = outputs[np.arange(size), targets]
        shares = np.exp(outputs)
        total = shares.sum(axis=1, keepdims=True)
        shares /= total
        gradient = (rows.T @ (shares - hot)).T / size + l2 * weight
        return float((np.log(total[:, 0]) - chosen).mean() + l2 / 2 * (flat @ flat)), np.asarray(gradient).ravel()

    point = np.zeros(classes * columns)
    with threadpool_limits(1, "blas"):
        for _ in range(3):  # started again, its memory of the curvature is fresh
            options: Any = {"maxiter": 20000, "maxfun": 40000, "maxcor": 30, "ftol": 0.0, "gtol": 1e-13}
            point = optimize.minimize(objective, point, jac=True, method="L-BFGS-B", options=options).x
        value, gradient = objective(point)
    norm = float(np.linalg.norm(gradient))
    error = norm**2 / (2 * l2)
    note = f"L-BFGS: within {error:.1e} of the minimum, rounding apart{' (NOT CERTIFIED)' * (error > 1e-8)}."
    return Optimum(value, norm, True, point if point.size <= 1_000_000 else None, note)
