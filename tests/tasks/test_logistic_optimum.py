"""The infimum of logistic regression against closed forms, other solvers, and linear programmes row by row."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.special import entr, expit
from sklearn.datasets import load_breast_cancer, load_svmlight_file
from sklearn.linear_model import LogisticRegression

from experiments.tasks import logistic_optimum
from experiments.tasks.logistic_optimum import Optimum, minimise_logistic


def solve(rows, l2=0.0) -> Optimum:
    return minimise_logistic(sparse.csr_array(np.atleast_2d(np.asarray(rows, dtype=float))), l2)


def objective(rows, l2, point):
    return np.logaddexp(0, -(rows @ point)).mean() + l2 / 2 * point @ point


def gradient(rows, l2, point):
    return l2 * point - rows.T @ expit(-(rows @ point)) / rows.shape[0]


def lbfgs(rows, l2, steps=15_000):
    """A long run from zero: an upper bound on the infimum that owes nothing to Newton, peeling or certificates."""
    return optimize.minimize(
        lambda w: (objective(rows, l2, w), gradient(rows, l2, w)),
        np.zeros(rows.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxfun": 2 * steps, "ftol": 0, "gtol": 1e-13, "maxcor": 30},
    ).fun


def trust_region(rows):
    """The minimum without l2, for rows that no direction separates, in an orthonormal basis of their column space."""
    left, size, _ = np.linalg.svd(rows / abs(rows).max(axis=0), full_matrices=False)
    basis = left[:, size > 1e-10 * size[0]]
    return optimize.minimize(
        lambda w: objective(basis, 0, w),
        np.zeros(basis.shape[1]),
        jac=lambda w: gradient(basis, 0, w),
        hess=lambda w: (basis.T * (expit(basis @ w) * expit(-basis @ w))) @ basis / len(basis),
        method="trust-exact",
        options={"gtol": 1e-13, "maxiter": 5000},
    ).fun


def separated(rows):
    """For each row, by a linear programme of its own: does a recession direction strictly separate it?"""
    found = []
    for row in rows:
        limits = np.append(np.zeros(len(rows)), 1)
        result = optimize.linprog(-row, A_ub=np.vstack([-rows, row]), b_ub=limits, bounds=(None, None))
        found.append(-result.fun > 0.5)
    return np.array(found)


def noisy(n, d, seed, share=0.3):
    """Rows whose labels are partly wrong: not separable when n is well above d."""
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((n, d))
    labels = np.sign(inputs @ generator.standard_normal(d)) * np.where(generator.random(n) < share, -1, 1)
    return inputs * labels[:, None]


def cancer():
    inputs, labels = load_breast_cancer(return_X_y=True)
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    return (2 * (inputs - low) / (high - low) - 1) * (2 * labels - 1)[:, None], inputs, labels


def test_two_opposite_rows():
    found = solve([[2.0], [-2.0]])
    assert found.finite
    assert found.value == np.log(2)
    assert found.point == pytest.approx([0], abs=1e-15)
    assert found.gradient_norm <= 1e-15


def test_opposite_rows_with_multiplicities_give_the_entropy():
    found = solve([[0.5]] * 7 + [[-0.5]] * 2)
    assert found.finite
    assert found.value == pytest.approx(entr([7 / 9, 2 / 9]).sum(), rel=1e-15)
    assert found.point == pytest.approx([2 * np.log(7 / 2)], rel=1e-13)


def test_one_row_with_l2_solves_a_scalar_equation():
    root = optimize.brentq(lambda w: 0.01 * w - 3 * expit(-3 * w), 0, 10, xtol=1e-15)
    found = solve([[3.0]], 0.01)
    assert found.finite
    assert found.point == pytest.approx([root], rel=1e-12)
    assert found.value == pytest.approx(np.log1p(np.exp(-3 * root)) + 0.005 * root**2, rel=1e-14)


@pytest.mark.parametrize("rows", [[[1.0]], [[1, 2], [2, 1]], [[1, -0.9], [-0.9, 1]], [[5, -1, 0], [-1, 5, 0]]])
def test_separable_rows_have_infimum_zero_at_infinity(rows):
    assert solve(rows) == Optimum(0.0, 0.0, False, None, solve(rows).note)


def test_peeled_columns_leave_the_minimum_of_the_other_rows():
    # Column 1 occurs in positive rows only; without its rows, column 2 occurs in negative ones only.
    rest = noisy(40, 2, seed=1)
    rows = np.zeros((44, 4))
    rows[:40, 2:] = rest
    rows[40:] = [[1, 1, 0.5, -1], [2, 1, -3, 0], [0, -2, 1, 1], [0, -1, -1, 4]]
    found = solve(rows)
    assert not found.finite
    assert found.point is None
    assert found.value == pytest.approx(trust_region(rest) * 40 / 44, rel=1e-13)
    assert found.gradient_norm <= 1e-14
    assert "4 fell to one-signed columns" in found.note


@pytest.mark.parametrize("seed", range(60))
def test_small_problems_agree_with_a_programme_for_each_row(seed):
    generator = np.random.default_rng(seed)
    n, d = generator.integers(1, 25), generator.integers(1, 7)
    rows = generator.integers(-2, 3, (n, d)).astype(float)
    if seed % 3 == 0:
        rows *= generator.random((n, d)) < 0.5
    if seed % 4 == 0:
        rows = np.hstack([rows, 2 * rows[:, :1], rows @ generator.integers(-1, 2, (d, 1))])
    if seed % 5 < 2:  # plant a direction that is wrong nowhere
        rows[rows @ generator.integers(-2, 3, rows.shape[1]) < 0] *= -1
    away = separated(rows)
    rest = rows[~away]
    rest = rest[:, abs(rest).any(axis=0)]
    expected = 0.0
    if len(rest):
        expected = (trust_region(rest) if rest.size else np.log(2)) * len(rest) / n
    found = solve(rows)
    assert found.value == pytest.approx(expected, abs=1e-13)
    assert found.finite == (not away.any())
    assert found.gradient_norm <= 1e-14
    assert "NOT" not in found.note
    if found.finite:
        assert objective(rows, 0, found.point) == pytest.approx(found.value, rel=1e-14)
        assert np.linalg.norm(gradient(rows, 0, found.point)) == pytest.approx(found.gradient_norm, abs=1e-14)


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-5])
def test_overlapping_rows_agree_with_scikit_learn(l2):
    rows = noisy(300, 8, seed=3)
    labels = np.where(np.arange(300) % 2, 1, -1)
    other = LogisticRegression(
        C=1 / (300 * l2), fit_intercept=False, solver="newton-cholesky", tol=1e-12, max_iter=1000
    )
    expected = other.fit(rows * labels[:, None], labels).coef_[0]
    found = solve(rows, l2)
    assert found.finite
    assert found.point == pytest.approx(expected, rel=1e-7)
    assert found.value == pytest.approx(objective(rows, l2, expected), rel=1e-13)
    assert found.gradient_norm <= 1e-14


def test_overlapping_rows_without_l2_agree_with_lbfgs():
    rows = noisy(300, 8, seed=4)
    found = solve(rows)
    assert found.finite
    assert found.value == pytest.approx(lbfgs(rows, 0), abs=1e-13)
    assert np.linalg.norm(gradient(rows, 0, found.point)) <= 1e-15


def test_dependent_columns_change_nothing_and_the_point_has_least_norm():
    rows = noisy(200, 3, seed=5)
    mix = np.array([[1.0, 0, 0, 1, 0.5, 0], [0, 1, 0, 0, 2, 0], [0, 0, 1, 0, 0, 0]])
    plain, wide = solve(rows), solve(rows @ mix)
    assert wide.finite
    assert wide.value == pytest.approx(plain.value, rel=1e-14)
    assert wide.point == pytest.approx(np.linalg.pinv(mix) @ plain.point, rel=1e-12, abs=1e-15)


def test_columns_of_very_different_scale():
    rows, scale = noisy(200, 4, seed=6), np.array([1e6, 1, 1e-6, 1e3])
    plain, scaled = solve(rows), solve(rows * scale)
    assert scaled.finite
    assert scaled.value == pytest.approx(plain.value, rel=1e-13)
    assert scaled.point * scale == pytest.approx(plain.point, rel=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_dependent_columns_of_very_different_scale(seed):
    rows = noisy(40, 4, seed=seed)
    scale = np.array([1e-6, 1e5, 1, 1e3, 1e6, 1e-4])
    wide = np.hstack([rows, 2 * rows[:, :1], rows @ [[1], [-1], [1], [0]]]) * scale
    plain, found = solve(rows), solve(wide)
    assert found.finite
    assert found.value == pytest.approx(plain.value, rel=1e-14)
    assert np.linalg.norm(gradient(wide, 0, found.point) / scale) <= 1e-15


def test_breast_cancer_is_not_separable_through_the_origin():
    rows, _, _ = cancer()
    limits = np.repeat([0, 1], 569)
    largest = optimize.linprog(-rows.sum(axis=0), A_ub=np.vstack([-rows, rows]), b_ub=limits, bounds=(None, None))
    assert abs(largest.fun) <= 1e-9  # no direction without negative margins has a positive one
    found = solve(rows)
    assert found.finite
    assert found.value == pytest.approx(trust_region(rows), rel=1e-11)
    assert found.value == pytest.approx(0.0268378813901, abs=1e-12)
    assert found.gradient_norm <= 1e-13


def test_breast_cancer_is_separable_with_a_constant_column():
    rows, _, labels = cancer()
    rows = np.column_stack([rows, 2 * labels - 1])
    programme = optimize.linprog(np.zeros(31), A_ub=-rows, b_ub=-np.ones(569), bounds=(None, None))
    assert (rows @ programme.x).min() > 0.99
    found = solve(rows)
    assert (found.value, found.finite, found.point) == (0, False, None)


def test_breast_cancer_with_l2_agrees_with_scikit_learn():
    rows, _, labels = cancer()
    signs = 2 * labels - 1
    other = LogisticRegression(C=1.0, fit_intercept=False, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    expected = other.fit(rows * signs[:, None], signs).coef_[0]
    found = solve(rows, 1 / 569)
    assert found.value == pytest.approx(objective(rows, 1 / 569, expected), rel=1e-13)
    assert found.value == pytest.approx(0.1448970305385, abs=1e-12)
    assert found.point == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_huge_margins_do_not_overflow(l2):
    rows = noisy(60, 2, seed=7)
    rows[::7] *= 1e5
    found = solve(rows, l2)
    assert found.finite
    assert found.gradient_norm <= 1e-10
    assert found.value <= lbfgs(rows, l2) + 1e-12
    assert np.isfinite(found.value)


def test_a_huge_row_alone():
    assert solve([[1e200, -1e200]]).value == 0
    found = solve([[1e20]], 1.0)
    root = optimize.brentq(lambda w: w - 1e20 * expit(-1e20 * w), 0, 1e-17, xtol=1e-40, rtol=1e-15)
    assert found.point == pytest.approx([root], rel=1e-12)
    assert found.gradient_norm <= 1e-10


def test_an_empty_row_keeps_its_loss():
    rows = noisy(30, 2, seed=8)
    assert solve(np.zeros((3, 2))).value == pytest.approx(np.log(2), rel=1e-15)
    assert solve(np.zeros((3, 2))).finite
    found = solve(np.vstack([rows, np.zeros((10, 2))]))
    assert found.value == pytest.approx((30 * trust_region(rows) + 10 * np.log(2)) / 40, rel=1e-14)
    half = solve([[1.0, 2], [0, 0]])
    assert half.value == pytest.approx(np.log(2) / 2, rel=1e-15)
    assert not half.finite


def test_repeated_rows_count_as_often_as_they_occur():
    rows, times = noisy(30, 3, seed=9), np.random.default_rng(9).integers(1, 6, 30)
    found = solve(np.repeat(rows, times, axis=0), 1e-3)
    assert found.value == pytest.approx(lbfgs(np.repeat(rows, times, axis=0), 1e-3), rel=1e-13)


def wide_rows(n, d, per_row, seed):
    generator = np.random.default_rng(seed)
    return sparse.csr_array(
        sparse.random(n, d, per_row / d, random_state=generator, data_rvs=generator.standard_normal)
    )


def test_many_columns_with_l2_reach_a_tiny_gradient_without_a_dense_hessian():
    rows = wide_rows(2000, 20_000, 30, seed=10)
    found = minimise_logistic(rows, 1 / 2000)
    assert np.linalg.norm(gradient(rows, 1 / 2000, found.point)) <= 1e-10
    assert found.value == pytest.approx(lbfgs(rows, 1 / 2000), rel=1e-12)
    assert "NOT" not in found.note


def test_more_columns_than_rows_are_separated_without_a_programme(monkeypatch):
    monkeypatch.setattr(optimize, "linprog", None)
    found = minimise_logistic(wide_rows(3500, 4500, 30, seed=11), 0.0)
    assert (found.value, found.finite) == (0, False)


@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_the_way_for_many_columns_gives_the_same(monkeypatch, l2):
    rows = noisy(60, 5, seed=12)
    rows = np.hstack([rows, rows[:, :2] + rows[:, 2:4]])
    expected = solve(rows, l2)
    monkeypatch.setattr(logistic_optimum, "DENSE_SIDE", 3)
    found = solve(rows, l2)
    assert found.finite
    assert found.value == pytest.approx(expected.value, rel=1e-14)
    assert found.gradient_norm <= 1e-12
    assert "NOT" not in found.note


def hidden_directions():
    """44 rows of which recession directions separate four, and the 40 others; no column has one sign."""
    rest = noisy(40, 2, seed=1)
    rows = np.zeros((44, 4))
    rows[:40, 2:] = rest
    rows[40:] = [[1, 1, 0.5, -1], [2, 1, -3, 0], [0, -2, 1, 1], [0, -1, -1, 4]]
    turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((4, 4)))
    return rows @ turn, rest


def test_directions_that_no_column_shows_are_found():
    rows, rest = hidden_directions()
    found = solve(rows)
    assert not found.finite
    assert found.value == pytest.approx(trust_region(rest) * 40 / 44, rel=1e-12)
    assert "4 to other directions" in found.note
    assert "NOT" not in found.note


def test_those_directions_are_not_taken_for_a_minimum_among_many_columns(monkeypatch):
    rows, rest = hidden_directions()
    monkeypatch.setattr(logistic_optimum, "DENSE_SIDE", 1)
    found = solve(rows)
    assert not found.finite
    assert found.value == pytest.approx(trust_region(rest) * 40 / 44, rel=1e-12)


@pytest.mark.parametrize("answer", [None, np.ones(48)])
def test_a_programme_without_a_usable_answer_is_admitted(monkeypatch, answer):
    rows, rest = hidden_directions()
    monkeypatch.setattr(optimize, "linprog", lambda *_, **__: optimize.OptimizeResult(x=answer))
    found = solve(rows)
    assert "NOT CERTIFIED" in found.note
    assert trust_region(rest) * 40 / 44 <= found.value <= trust_region(rest) * 40 / 44 + 1e-10


def test_newton_that_did_not_arrive_is_admitted(monkeypatch):
    rows = noisy(60, 4, seed=12)
    monkeypatch.setattr(logistic_optimum, "_newton", lambda rows, *_: np.zeros(rows.shape[1]))
    assert "NOT CERTIFIED" in solve(rows, 1e-3).note
    assert solve(rows, 1e-3).gradient_norm == pytest.approx(np.linalg.norm(gradient(rows, 0, np.zeros(4))), rel=1e-13)
    assert "NOT CERTIFIED" in solve(rows).note


def test_the_input_is_left_alone():
    rows = sparse.csr_array(np.array([[1.0, 0, 2], [0, 0, -1]]))
    rows.data[0] = 0  # a stored zero
    before = rows.copy()
    minimise_logistic(rows, 0.1)
    assert rows.nnz == before.nnz
    assert (rows.data == before.data).all()


@pytest.mark.parametrize(
    ("rows", "l2"),
    [([], 0), ([np.nan], 0), ([np.inf], 1), ([1], -1), ([1], np.nan), ([1], np.inf)],
)
def test_bad_input_is_refused(rows, l2):
    with pytest.raises(ValueError, match="signed_inputs needs rows and finite entries"):
        minimise_logistic(sparse.csr_array(np.reshape(rows, (-1, 1)).astype(float)), l2)


def libsvm(name, features=None):
    folder = os.environ.get("DATA_DIR")
    if not folder or not (path := Path(folder) / "libsvm" / f"{name}.bz2").exists():
        pytest.skip(f"{name} needs DATA_DIR")
    inputs, labels = load_svmlight_file(str(path), n_features=features)
    return sparse.csr_array(inputs), labels


@pytest.mark.parametrize(("name", "value"), [("a1a", 0.297875438830), ("a4a", 0.319270059353), ("a9a", 0.322620707902)])
def test_adult_sets(name, value):
    inputs, labels = libsvm(name, 123)
    rows = sparse.csr_array(inputs * labels[:, None])
    found = minimise_logistic(rows, 0.0)
    assert not found.finite
    assert "NOT" not in found.note
    assert found.gradient_norm <= 1e-14
    assert found.value == pytest.approx(value, abs=1e-12)
    long_run = lbfgs(rows, 0)
    assert long_run - 1e-6 <= found.value <= long_run + 1e-14  # the same sum, rounded in another order
    damped = minimise_logistic(rows, 1e-9)
    assert damped.gradient_norm <= 1e-14
    assert found.value <= damped.value <= found.value + 1e-5
    exact = minimise_logistic(rows, 1 / len(labels))
    other = LogisticRegression(C=1.0, fit_intercept=False, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    expected = objective(rows, 1 / len(labels), other.fit(inputs, labels).coef_[0])
    assert exact.value == pytest.approx(expected, rel=1e-12)


def test_news20_is_separable_but_for_ten_pairs_of_equal_documents_with_opposite_labels():
    inputs, labels = libsvm("news20", 62_061)
    signs = np.where(labels <= 10, -1, 1)
    counts: dict[bytes, list[int]] = {}
    for i, sign in enumerate(signs):
        inside = slice(inputs.indptr[i], inputs.indptr[i + 1])
        key = inputs.indices[inside].tobytes() + inputs.data[inside].tobytes()
        counts.setdefault(key, [0, 0])[int(sign > 0)] += 1
    pairs = np.array([pair for pair in counts.values() if min(pair)])
    shares = pairs / pairs.sum(axis=1, keepdims=True)
    expected = (entr(shares).sum(axis=1) * pairs.sum(axis=1)).sum() / len(signs)
    found = minimise_logistic(sparse.csr_array(inputs * signs[:, None]), 0.0)
    assert len(pairs) == 10
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert not found.finite
