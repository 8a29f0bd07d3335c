"""Synthetic sets: their stated properties, counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data import DataError
from data.generators import gaussian_least_squares, power_law_classification


def _ones(imbalance: float, **values: Any) -> np.ndarray[Any, Any]:
    made = power_law_classification(2000, 300, imbalance=imbalance, **values)
    assert (made.inputs.data == 1).all()
    assert made.inputs.has_canonical_format
    return np.asarray(made.inputs.sum(axis=0))


@pytest.mark.parametrize("imbalance", [0.0, 0.5, 1.0, 2.0, 10.0])
def test_frequencies_follow_the_power_law(imbalance: float) -> None:
    counts = _ones(imbalance, nonzeros=12)
    assert counts.sum() == 24000  # 12 a row, whatever the imbalance is
    assert counts.min() >= 1
    assert counts.max() <= 1000
    assert counts.max() == (1000 if imbalance >= 1 else counts[0])
    free = (counts > 1) & (counts < 1000)
    law = np.arange(1, 301)[free] ** -imbalance
    assert (np.abs(counts[free] - law * counts[free].sum() / law.sum()) <= 1 + 0.005 * counts[free]).all()


def test_more_features_than_ones() -> None:
    made = power_law_classification(10, 300, nonzeros=2, imbalance=1.0)
    assert made.inputs.nnz == 20
    assert made.inputs.shape == (10, 300)


def test_rows_of_a_feature_are_random() -> None:
    """Two features in half of the rows each meet in a quarter of them (hypergeometric), and no row is preferred."""
    made = power_law_classification(4000, 6, nonzeros=3.0, imbalance=0.0)
    dense = made.inputs.toarray()
    assert (dense.sum(axis=0) == 2000).all()
    together = dense.T @ dense - 2000 * np.eye(6)
    spread = np.sqrt(4000 / 16)
    assert (np.abs(together[~np.eye(6, dtype=bool)] - 1000) < 5 * spread).all()
    assert np.abs(dense[:2000].sum(axis=0) - 1000).max() < 5 * spread


@pytest.mark.parametrize("density", [1.0, 0.25, 0.001])
def test_labels_follow_the_logistic_model(density: float) -> None:
    """The model is found again from the labels by maximum likelihood, written out here."""
    n, d, margin = 40000, 8, 1.5
    made = power_law_classification(n, d, nonzeros=4.0, imbalance=0.3, density=density, margin=margin, seed=3)
    x, y = made.inputs.toarray(), made.targets
    assert set(y) == {-1.0, 1.0}
    w = np.zeros(d)
    for _ in range(30):
        p = 1 / (1 + np.exp(-(x @ w)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x
        w += np.linalg.solve(hessian, x.T @ ((y + 1) / 2 - p))
    deviations = np.sqrt(np.diag(np.linalg.inv(hessian)))
    count = max(1, round(density * d))
    inside = np.argsort(-np.abs(w))[:count]
    model = np.zeros(d)
    model[inside] = np.sign(w[inside])
    model *= margin / np.sqrt(np.mean((x @ model) ** 2))
    assert (np.abs(w - model) < 5 * deviations).all()


def test_a_set_is_a_function_of_its_arguments() -> None:
    sets = [power_law_classification(50, 20, nonzeros=5, seed=seed) for seed in (0, 0, 1)]
    assert sets[0].digest == sets[1].digest != sets[2].digest
    np.testing.assert_array_equal(sets[0].inputs.toarray(), sets[1].inputs.toarray())
    np.testing.assert_array_equal(sets[0].targets, sets[1].targets)
    assert not np.array_equal(sets[0].inputs.toarray(), sets[2].inputs.toarray())
    digests = {sets[0].digest, sets[2].digest}
    for other in ({"density": 0.5}, {"imbalance": 0}, {"margin": 1.0}, {"nonzeros": 5.5}):
        digests.add(power_law_classification(50, 20, **{"nonzeros": 5, **other}).digest)
    assert len(digests) == 6
    assert power_law_classification(50, 20, nonzeros=5.0).digest == sets[0].digest


def test_gaussian_least_squares() -> None:
    eigenvalues, solution = [4.0, 1.0, 0.0], [1.0, -2.0, 5.0]
    made = gaussian_least_squares(50000, eigenvalues, solution, 0.5, seed=1)
    x = made.inputs.toarray()
    assert (made.rows, made.features) == (50000, 3)
    assert (x[:, 2] == 0).all()
    covariance = x.T @ x / len(x)
    assert np.abs(covariance - np.diag(eigenvalues)).max() < 6 * 4 * np.sqrt(2 / len(x))
    noise = made.targets - x @ solution
    assert abs(noise.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * len(x))
    quiet = gaussian_least_squares(10, eigenvalues, solution, 0.0, seed=1)
    np.testing.assert_allclose(quiet.targets, quiet.inputs.toarray() @ solution, rtol=1e-14)
    assert made.digest != quiet.digest


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"examples": 1}, "examples must be at least 2"),
        ({"dimension": 0}, "dimension must be at least 1"),
        ({"nonzeros": 0}, "nonzeros must be in"),
        ({"nonzeros": 10.5}, "nonzeros must be in"),
        ({"imbalance": -1}, "imbalance must be from 0"),
        ({"imbalance": float("nan")}, "imbalance must be from 0"),
        ({"density": 0}, "density must be in"),
        ({"density": 1.1}, "density must be in"),
        ({"margin": 0}, "margin must be a positive number"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"examples": 2, "margin": 1e9, "imbalance": 10, "dimension": 2, "nonzeros": 1.0}, "all labels came out alike"),
    ],
)
def test_bad_arguments(values: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as caught:
        power_law_classification(**{"examples": 30, "dimension": 20, "nonzeros": 5.0, **values})
    assert says in str(caught.value)
    for wrong in ([], [1.0, -1.0]):
        with pytest.raises(DataError, match="none negative"):
            gaussian_least_squares(3, wrong, [1.0], 1.0)
    with pytest.raises(DataError, match="as many numbers"):
        gaussian_least_squares(3, [1.0], [1.0, 2.0], 1.0)
