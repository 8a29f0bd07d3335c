"""The compiled recursion on the bowl against the engine's own rule, step by step."""

import math

import numpy as np
import pytest
import torch

from experiments.theory.noisy_bowl import Lane, follow, normals
from optim import rule
from optim.sequences.bias_corrected import BiasCorrected
from optim.sequences.constant import Constant
from optim.sequences.geometric import Geometric
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne

STEPS, WIDTH, NOISE, START = 3000, 7, 2.0, 0.8
TARGETS = (1.2, 0.7, 0.2)
B = Constant(at=0.9)
LANES = [
    Lane(1, STEPS, 1.0, Power(s=0.5), B, TowardsOne(r=1.0)),
    Lane(16, STEPS, 0.5, Power(s=0.5), B, Constant(at=0.999), v_0=0.3),
    Lane(4, STEPS, 0.01, Constant(at=1.0), Geometric(first=0.9, ratio=0.99), BiasCorrected(b=0.99)),
    Lane(1024, 1500, 0.3, Power(s=0.75), Constant(at=0.0), TowardsOne(r=0.5, c=0.01), v_0=0.0),
]


def noise(seed=0, steps=STEPS, width=WIDTH):
    return np.random.default_rng(seed).standard_normal((steps, width))


def by_rule(lane, z):
    """Points x_1, x_2, ... of the rule in torch, float64, (steps + 1, WIDTH)."""
    sequences = {"alpha": lane.alpha, "beta": lane.beta, "theta": lane.theta}
    method = rule("generic_adam", lr=lane.lr, v_0=lane.v_0, **sequences)
    params = {"w": torch.full((WIDTH,), START, dtype=torch.float64)}
    state, points = method.init(params), [params["w"].numpy().copy()]
    for t in range(1, lane.steps + 1):
        x = params["w"]
        grad = 2 * x / (1 + x**2) ** 2 + NOISE / math.sqrt(lane.batch_size) * torch.from_numpy(z[t - 1])
        updates, state = method.update({"w": grad}, state, params, step=t)
        params = {"w": x + updates["w"]}
        points.append(params["w"].numpy().copy())
    return np.stack(points)


@pytest.mark.parametrize("k", range(len(LANES)))
def test_every_step_is_that_of_the_rule(k):
    lane, z, at = LANES[k], noise(), list(range(1, STEPS + 1))
    path = follow(LANES, iter([z]), WIDTH, NOISE, START, at, TARGETS)[k]
    points = by_rule(lane, z)
    gradients = 2 * points / (1 + points**2) ** 2
    norms = np.linalg.norm(gradients, axis=1)
    assert path.steps.tolist() == at[: lane.steps]
    np.testing.assert_allclose(path.norms, norms[1:], rtol=1e-12)
    np.testing.assert_allclose(path.losses, (points**2 / (1 + points**2)).sum(axis=1)[1:], rtol=1e-12)
    counts = np.arange(1, lane.steps + 1)
    np.testing.assert_allclose(path.mean_squares, np.cumsum(norms[:-1] ** 2) / counts, rtol=1e-12)
    np.testing.assert_allclose(path.mean_powers, np.cumsum(norms[:-1] ** (4 / 3)) / counts, rtol=1e-12)
    for target, first, settled in zip(TARGETS, path.first, path.settled, strict=True):
        below = norms < target
        assert first == (np.flatnonzero(below)[0] if below.any() else math.inf)
        above = np.flatnonzero(~below)
        stays = above[-1] + 1 if len(above) else 0
        assert settled == (stays if stays <= lane.steps else math.inf)


def test_the_lanes_reach_and_miss_targets():
    """Else the test above would say little about them."""
    found = follow(LANES, iter([noise()]), WIDTH, NOISE, START, [], TARGETS)
    settled = np.array([path.settled for path in found])
    first = np.array([path.first for path in found])
    assert np.isfinite(settled).any()
    assert np.isinf(settled).any()
    assert (first[np.isfinite(settled)] < settled[np.isfinite(settled)]).any()


def test_neither_blocks_nor_company_matter():
    z, at = noise(), [10, 999, 1000, 1500, 3000]
    whole = follow(LANES, iter([z]), WIDTH, NOISE, START, at, TARGETS)
    parts = follow(LANES, iter([z[:1], z[1:1000], z[1000:1501], z[1501:]]), WIDTH, NOISE, START, at, TARGETS)
    alone = [follow([lane], iter([z]), WIDTH, NOISE, START, at, TARGETS)[0] for lane in LANES]
    for one, *others in zip(whole, parts, alone, strict=True):
        for other in others:
            for name in ("steps", "norms", "losses", "mean_squares", "mean_powers", "first", "settled"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert whole[3].steps.tolist() == [10, 999, 1000, 1500]


def test_means_over_windows():
    at, every = [5, 20, 100], list(range(1, 101))
    lane = Lane(4, 100, 1.0, Power(s=0.5), B, TowardsOne(r=1.0))
    few, all_of = (follow([lane], iter([noise()]), WIDTH, NOISE, START, k, [])[0] for k in (at, every))
    norms = np.concatenate([[np.sqrt(WIDTH) * 2 * START / (1 + START**2) ** 2], all_of.norms])
    expected = [math.sqrt((norms[a:b] ** 2).mean()) for a, b in ((0, 5), (5, 20), (20, 100))]
    np.testing.assert_allclose(few.recent_norms(), expected, rtol=1e-12)
    bound = [(norms[:b] ** (4 / 3)).mean() ** 0.75 for b in at]
    np.testing.assert_allclose(few.bound_norms(), bound, rtol=1e-12)


def test_noise_over_zero_gradients_is_zero():
    """At the minimum without noise v stays 0, and 0/0 counts as 0."""
    lane = Lane(1, 50, 1.0, Power(s=0.5), B, TowardsOne(r=1.0), v_0=0.0)
    path = follow([lane], iter([noise()]), WIDTH, 0.0, 0.0, [50], [0.1])[0]
    assert path.norms.tolist() == path.losses.tolist() == [0.0]
    assert path.settled.tolist() == [0.0]


def test_noise_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match="the noise ends after 2000 steps and a lane has 3000"):
        follow(LANES, iter([noise(steps=2000)]), WIDTH, NOISE, START, [], [])


def test_draws_of_a_replica_are_standard_normal_and_repeatable():
    first, again, other = (normals(np.random.default_rng(seed), 50) for seed in (3, 3, 4))
    blocks = [next(first) for _ in range(3)]
    assert all(np.array_equal(block, next(again)) for block in blocks)
    assert not np.array_equal(blocks[0], next(other))
    z = np.concatenate(blocks)
    assert abs(z.mean()) < 5 / math.sqrt(z.size)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / z.size)


def test_a_larger_batch_sees_the_same_noise_scaled():
    """A batch of 4 is one draw on a bowl with half the noise."""
    lanes = [Lane(b, 200, 1.0, Power(s=0.5), B, TowardsOne(r=1.0)) for b in (4, 1)]
    large = follow(lanes[:1], iter([noise()]), WIDTH, NOISE, START, [200], [])[0]
    quiet = follow(lanes[1:], iter([noise()]), WIDTH, NOISE / 2, START, [200], [])[0]
    np.testing.assert_array_equal(large.norms, quiet.norms)
