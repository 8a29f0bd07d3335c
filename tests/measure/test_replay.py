"""Recorded linear functions against the functions themselves, at points they were not recorded at."""

import pytest
import torch

from experiments.measure.replay.record import Unrecordable, record

torch.manual_seed(0)
A, B, C = (torch.randn(4, 4, dtype=torch.float64) for _ in range(3))
ROW = torch.randn(4, dtype=torch.float64)


def chain(x, y):
    """Coordinate-wise operations with coefficients of several shapes, used once and several times."""
    a = (x * 2 - y / B) * ROW
    b = torch.sub(-a, x, alpha=3) + a.sum(dim=1, keepdim=True) * C
    c = a + b + x * ROW[:, None] + y * torch.tensor(0.5)
    return c * B, c.sum(), a - a, c


def products(x, y):
    """Sums of matrix products, alone and with other terms, of which some are needed twice."""
    p, q = x @ A, B @ y
    r = p + q + x
    s = torch.stack([x, y]).bmm(torch.stack([A, B])) + torch.stack([y, x]).bmm(torch.stack([C, A]))
    return r, q, 2 * (x @ B) + y @ A, (A @ x) * B + C @ y, s, p - q


def views(x, y):
    z = x.t().t().reshape(16).view(2, 8).view(4, 4)
    first, second = torch.cat([x, y]).t().contiguous().split([3, 5], dim=1)
    return z + y, first * 2, second.expand(2, 4, 5) * 1.0, x.view(16), x[1:, 0], torch.stack([x, z])


def written_slices(x, y):
    b = torch.zeros(4, 4, dtype=torch.float64)
    b[1] = x[0]
    return (b + y,)


def written_view(x, y):
    b = x * 2
    b[1].mul_(3)
    return (b + y,)


def changed_constant(x, y):
    c = ROW.clone()
    a = x * c
    c.mul_(2)
    return (a + y,)


def constant_that_starts_to_depend(x, y):
    c = torch.ones(4, 4, dtype=torch.float64)
    a = x * c
    c.add_(y)
    return (a + c - 1,)


def stale_view(x, y):
    a = x * 2
    row = a[0]
    a.mul_(3)
    return (row + y[0],)


def branching(x, y):
    return (x * abs(float(y.sum())),)


@pytest.mark.parametrize("function", [chain, products, views])
def test_a_replay_equals_the_function(function):
    check(function)


def check(function):
    first = [torch.randn(4, 4, dtype=torch.float64) for _ in range(2)]
    outputs, replay = record(lambda inputs: function(*inputs), first)
    assert all(torch.equal(a, b) for a, b in zip(outputs, function(*first), strict=True))
    for _ in range(3):
        inputs = [torch.randn(4, 4, dtype=torch.float64) for _ in range(2)]
        copies = [t.clone() for t in inputs]
        found, expected = replay(inputs), function(*inputs)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape
            torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)
        for t, copy in zip(inputs, copies, strict=True):
            assert torch.equal(t, copy)
            assert all(t.data_ptr() != a.data_ptr() for a in found)


def test_writing_in_place_is_replayed():
    def seen_once(x, y):
        a = x * ROW
        a.add_(y).mul_(2)
        a += a.t() @ B
        b = torch.zeros(4, 4, dtype=torch.float64)
        b.add_(y)
        c = y.clone()
        c.sub_(x, alpha=2)
        c.div_(4)
        return a, b, c, torch.zeros_like(x) + y

    check(seen_once)


@pytest.mark.parametrize(
    "function", [written_slices, stale_view, changed_constant, constant_that_starts_to_depend, branching, written_view]
)
def test_what_a_replay_would_get_wrong_is_refused(function):
    with pytest.raises(Unrecordable):
        record(lambda inputs: function(*inputs), [torch.randn(4, 4, dtype=torch.float64) for _ in range(2)])


def test_an_output_that_does_not_depend_on_the_inputs():
    _, replay = record(lambda inputs: [B, inputs[0]], [A])
    first, second = replay([C])[0], replay([C])[0]
    assert torch.equal(first, B)
    assert first.data_ptr() != second.data_ptr()
