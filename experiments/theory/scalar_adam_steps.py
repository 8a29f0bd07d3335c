"""The compiled steps of `experiments.theory.scalar_adam`: for one method, step after step, seed beside seed.

Of every block of WIDTH seeds the state holds FIELDS rows, one after the other: x, m, v, the largest v, the sum of the
points before the steps so far, the last step after which x was positive, 1 for a seed that counts in the mean and 0 for
another, x where it counts, and the sum of slope times the point before the step.
"""

import math

import numpy as np
from numba import njit

WIDTH = 16  # a constant, and not less, or the compiler makes no vectors
FIELDS = 9

# Unsigned: the compiler would have to allow for a signed index that counts from the end, and again make no vectors.
_W, _BLOCK = np.uint64(WIDTH), np.uint64(FIELDS * WIDTH)
_M, _V, _TOP, _SUM, _LAST, _COUNTS, _COUNTED, _LOSS = (np.uint64(field * WIDTH) for field in range(1, FIELDS))


@njit(cache=True, error_model="numpy", fastmath={"reassoc"})
def _total(state, base):  # type: ignore[no-untyped-def]
    """Of a block's x, in whatever order is quick: only its sign is looked at."""
    total = 0.0
    for j in range(_W):
        total += state[base + _COUNTED + j]
    return total


@njit(cache=True, error_model="numpy")
def _record(t, state, records, points, sums, losses):  # type: ignore[no-untyped-def]
    """Where t is one of the records, keep every x and the two sums over the points before."""
    k = np.searchsorted(records, t)
    if k < len(records) and records[k] == t:
        for s in range(points.shape[1]):
            i = np.uint64(s) // _W * _BLOCK + np.uint64(s) % _W
            points[k, s] = state[i]
            sums[k, s] = state[i + _SUM]
            losses[k, s] = state[i + _LOSS]


@njit(cache=True, error_model="numpy", inline="always")
def _keep(state, i, x, moved, slope, t):  # type: ignore[no-untyped-def]
    """Of one seed: where it moved to from x, and what is summed up and looked at on the way."""
    state[i] = moved
    state[i + _SUM] += x
    state[i + _LOSS] += slope * x
    last_above = state[i + _LAST]
    state[i + _LAST] = t if moved > 0.0 else last_above
    state[i + _COUNTED] = moved * state[i + _COUNTS]


@njit(cache=True, error_model="numpy")
def generic(first, c, slopes, state, lower, upper, bend, largest, records, points, sums, losses):  # type: ignore[no-untyped-def]
    """Steps of Generic Adam; returns the last one after which the mean of x is positive, 0 for none."""
    last, blocks = 0, np.uint64(slopes.shape[1]) // _W
    for k in range(slopes.shape[0]):
        step_size, beta, rest_of_beta, theta, rest_of_theta = c[0, k], c[1, k], c[2, k], c[3, k], c[4, k]
        t, drawn, total = float(first + k), slopes[k], 0.0
        for block in range(blocks):
            base = block * _BLOCK
            for j in range(_W):
                i = base + j
                x = state[i]
                g = drawn[block * _W + j] * min(x + bend, 1.0)
                m = state[i + _M] * beta + g * rest_of_beta
                v = state[i + _V] * theta + g * g * rest_of_theta
                top = state[i + _TOP]
                top = max(top, v) if largest else v
                root = math.sqrt(top)
                ratio = m / root
                ratio = 0.0 if root == 0.0 else ratio
                moved = min(max(x + ratio * step_size, lower), upper)
                state[i + _M] = m
                state[i + _V] = v
                state[i + _TOP] = top
                _keep(state, i, x, moved, drawn[block * _W + j], t)
            total += _total(state, base)
        if total > 0.0:
            last = first + k
        _record(first + k, state, records, points, sums, losses)
    return last


@njit(cache=True, error_model="numpy")
def adopt(first, c, slopes, state, lower, upper, bend, eps, records, points, sums, losses):  # type: ignore[no-untyped-def]
    """Steps of ADOPT, as above."""
    last, blocks = 0, np.uint64(slopes.shape[1]) // _W
    for k in range(slopes.shape[0]):
        step_size, beta, rest_of_beta, theta, rest_of_theta = c[0, k], c[1, k], c[2, k], c[3, k], c[4, k]
        bound, t, drawn, total = c[5, k], float(first + k), slopes[k], 0.0
        for block in range(blocks):
            base = block * _BLOCK
            for j in range(_W):
                i = base + j
                x, v = state[i], state[i + _V]
                g = drawn[block * _W + j] * min(x + bend, 1.0)
                ratio = g / max(math.sqrt(v), eps)
                ratio = min(max(ratio, -bound), bound)
                m = state[i + _M] * beta + ratio * rest_of_beta
                moved = min(max(x + m * step_size, lower), upper)
                state[i + _M] = m
                state[i + _V] = v * theta + g * g * rest_of_theta
                _keep(state, i, x, moved, drawn[block * _W + j], t)
            total += _total(state, base)
        if total > 0.0:
            last = first + k
        _record(first + k, state, records, points, sums, losses)
    return last
