"""The anisotropic smoothness constant against closed forms, the dual problem and eigenvalues."""

import os

import numpy as np
import pytest
from scipy import optimize, sparse

import data
from experiments.theory import smoothness as module
from experiments.theory.smoothness import smoothness


def bound(x, factor=0.25, l2=0.0):
    return factor * x.T @ x / len(x) + l2 * np.eye(x.shape[1])


def valid(found, a):
    """The certificate, computed anew."""
    assert np.linalg.eigvalsh(np.diag(found.values) - a)[0] >= -1e-9
    assert found.certificate == pytest.approx(np.linalg.eigvalsh(np.diag(found.values) - a)[0], abs=1e-12)
    assert found.total == pytest.approx(found.values.sum(), rel=1e-14)
    assert found.largest == found.values.max()
    assert found.top_eigenvalue == pytest.approx(np.linalg.eigvalsh(a)[-1], rel=1e-10)


def smallest_total(a):
    """The dual, `max <A, V V'>` over unit rows, by scipy's general minimiser from many starts."""
    d, best, source = len(a), 0.0, np.random.default_rng(0)

    def negative(flat):
        v = flat.reshape(d, d)
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
        return -np.sum((a @ v) * v)

    for _ in range(5):
        best = max(best, -optimize.minimize(negative, source.normal(size=d * d), options={"gtol": 1e-10}).fun)
    return best


def test_rows_that_are_not_negative_are_a_closed_form():
    source = np.random.default_rng(0)
    x = source.random((40, 9)) * (source.random((40, 9)) < 0.4)
    for rows in (x, sparse.csr_array(x), x * source.choice([-1, 1], 40)[:, None], x * source.choice([-1, 1], 9)):
        found = smoothness(rows, l2=0.01)
        valid(found, bound(rows.toarray() if sparse.issparse(rows) else rows, l2=0.01))
        assert found.total == pytest.approx(0.25 / 40 * (x.sum(axis=1) ** 2).sum() + 9 * 0.01, rel=1e-12)
        assert found.excess < 1e-12
        assert "exactly optimal" in found.method


def test_two_columns_have_a_closed_form():
    """(L_1 - a)(L_2 - c) >= b^2 has the smallest sum a + c + 2 |b|."""
    x = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 1.0]])
    a = bound(x, 1.0)
    found = smoothness(x, 1.0)
    valid(found, a)
    assert found.total == pytest.approx(a[0, 0] + a[1, 1] + 2 * abs(a[0, 1]), rel=1e-9)


@pytest.mark.parametrize("d", [3, 5])
def test_signs_against_a_general_minimiser(d):
    x = np.random.default_rng(d).normal(size=(12, d)) * np.arange(1, d + 1)
    found = smoothness(x, 0.25, 0.1)
    valid(found, bound(x, l2=0.1))
    assert "coordinate ascent" in found.method
    assert found.total == pytest.approx(smallest_total(bound(x, l2=0.1)), rel=1e-8)
    assert 0 <= found.excess <= 1e-8 * found.total


@pytest.mark.parametrize(("n", "d"), [(300, 60), (20, 40)])
def test_signs_in_more_dimensions_are_certified_from_both_sides(n, d):
    x = np.random.default_rng(0).normal(size=(n, d)) / np.arange(1, d + 1)
    found = smoothness(x)
    a = bound(x)
    valid(found, a)
    assert found.excess <= 2e-9 * found.total
    # Any valid L is at least the sum of the eigenvalues of A, and no larger than the row sums or d lambda_max.
    assert np.trace(a) <= found.total
    assert found.total <= min(np.abs(a).sum(), d * np.linalg.eigvalsh(a)[-1]) * (1 + 1e-12)


def test_too_many_columns_for_the_ascent(monkeypatch):
    x = np.random.default_rng(0).normal(size=(50, 30))
    best = smoothness(x).total
    monkeypatch.setattr(module, "DENSE_SIDE", 10)
    found = smoothness(sparse.csr_array(x), l2=0.5)
    expected = 0.25 / 50 * (np.abs(x) * np.abs(x).sum(axis=1, keepdims=True)).sum(axis=0) + 0.5
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)
    assert "not optimal" in found.method
    assert np.linalg.eigvalsh(np.diag(found.values) - bound(x, l2=0.5))[0] >= 0
    assert found.total - found.excess == pytest.approx(best + 30 * 0.5, rel=0.02)
    assert found.total - found.excess <= best + 30 * 0.5 + 1e-9
    assert found.top_eigenvalue == pytest.approx(np.linalg.eigvalsh(bound(x, l2=0.5))[-1], rel=1e-10)


def test_empty_columns():
    x = np.array([[1.0, 0.0, -2.0], [1.0, 0.0, 1.0]])
    found = smoothness(x)
    assert found.values[1] == 0
    assert found.active == 2
    valid(found, bound(x))
    valid(smoothness(x, l2=0.3), bound(x, l2=0.3))
    nothing = smoothness(np.zeros((2, 3)), l2=0.5)
    assert (nothing.total, nothing.active, nothing.top_eigenvalue) == (1.5, 0, 0.5)


def test_wide_sparse_rows_stay_sparse():
    """62,061 columns: a dense A would take 31 GB."""
    source = np.random.default_rng(0)
    x = sparse.random_array((500, 62_061), density=1e-3, rng=source, format="csr")
    found = smoothness(x)
    assert found.total == pytest.approx(0.25 / 500 * (np.asarray(x.sum(axis=1)) ** 2).sum(), rel=1e-12)
    gram = (x @ x.T).toarray() * 0.25 / 500
    assert found.top_eigenvalue == pytest.approx(np.linalg.eigvalsh(gram)[-1], rel=1e-10)
    assert found.active == len(np.unique(x.indices))


def test_a4a():
    if "DATA_DIR" not in os.environ:
        pytest.skip("the environment variable DATA_DIR is not set: no real data files to check")
    x = data.load("libsvm/a4a").inputs
    found = smoothness(x)
    sums = np.asarray(x.sum(axis=1)).ravel()
    assert found.total == pytest.approx(0.25 / len(sums) * (sums**2).sum(), rel=1e-12)
    valid(found, bound(x.toarray()))


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (np.zeros((0, 3)), {}),
        (np.full((2, 2), np.nan), {}),
        (np.ones((2, 2)), {"factor": 0}),
        (np.ones((2, 2)), {"l2": -1}),
    ],
)
def test_what_is_refused(rows, options):
    with pytest.raises(ValueError, match=r"must be a matrix|needs a factor"):
        smoothness(rows, **options)
