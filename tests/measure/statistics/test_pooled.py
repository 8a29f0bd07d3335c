"""Pooled variances against those of all examples together."""

import itertools

import pytest
import torch

from experiments.measure.statistics import mean, pooled_variance, variance_between
from optim.settings import SettingError

SIZES = [[3, 5, 2], [7, 1, 1, 4], [2, 2], [6], [1, 1]]


@pytest.mark.parametrize("shift", [0, 1e3])
@pytest.mark.parametrize("sizes", SIZES)
def test_unequal_workers(sizes, shift):
    torch.manual_seed(0)
    rows = torch.randn(sum(sizes), 3, 2, dtype=torch.float64) + shift
    parts = rows.split(sizes)
    means = torch.stack([part.mean(dim=0) for part in parts])
    by_coordinate = torch.stack([part.var(dim=0) if len(part) > 1 else torch.full((3, 2), torch.nan) for part in parts])
    exact = {"rtol": 1e-12 if not shift else 1e-9, "atol": 0}
    torch.testing.assert_close(mean(sizes, means), rows.mean(dim=0), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(pooled_variance(sizes, by_coordinate, means), rows.var(dim=0), **exact)
    traces = by_coordinate.flatten(1).sum(dim=1)
    torch.testing.assert_close(pooled_variance(sizes, traces, means), rows.var(dim=0).sum(), **exact)


@pytest.mark.parametrize("sizes", [[2, 2], [1, 2, 2], [3, 1, 1]])
def test_the_variance_between_micro_batches_is_unbiased(sizes):
    """Its mean over every possible batch drawn from three values is their variance."""
    values = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    found = []
    for drawn in itertools.product(values, repeat=sum(sizes)):
        means = torch.stack([part.mean() for part in torch.stack(drawn).split(sizes)])
        found.append(variance_between(sizes, means))
    torch.testing.assert_close(torch.stack(found).mean(), values.var(unbiased=False), rtol=1e-12, atol=0)


def test_equal_micro_batches_as_on_the_page():
    torch.manual_seed(0)
    means = torch.randn(4, 5, dtype=torch.float64)
    expected = 6 / 3 * (means - means.mean(dim=0)).square().sum()
    torch.testing.assert_close(variance_between([6] * 4, means).sum(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean([2], torch.zeros(2, 3)), "a size of at least 1 for each of 2 parts"),
        (lambda: mean([2, 0], torch.zeros(2, 3)), "a size of at least 1"),
        (lambda: pooled_variance([1], torch.zeros(1), torch.zeros(1, 3)), "at least 2 examples, and there are 1"),
        (lambda: pooled_variance([2, 2], torch.zeros(3), torch.zeros(2, 3)), "one for each part"),
        (lambda: variance_between([4], torch.zeros(1, 3)), "at least 2 of them, and there are 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(SettingError, match=message):
        call()
