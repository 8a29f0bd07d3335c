"""The data order and the derivation of seeds."""

import hashlib
import itertools

import numpy as np
import pytest
import torch

from experiments import config
from experiments.job import Job
from experiments.loop import Loop
from experiments.order import Order
from experiments.seeds import derive, generator

CPU = torch.device("cpu")
BLOCK = 65536
samplings = pytest.mark.parametrize("sampling", ["replacement", "reshuffled"])


def order(size, sampling, *seeds):
    return Order(size, sampling, list(seeds), CPU)


def from_scratch(size, sampling, seed, count):
    """The first `count` draws, by the definition: block k comes from the seed and k."""
    blocks = []
    while sum(len(block) for block in blocks) < count:
        name = f"{seed}/order/{sampling}/{len(blocks)}".encode()
        source = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1)
        if sampling == "reshuffled":
            blocks.append(torch.randperm(size, generator=source))
        else:
            blocks.append(torch.randint(size, (BLOCK,), generator=source))
    return torch.cat(blocks)[:count]


# The order ------------------------------------------------------------------------------------------------------------


@samplings
@pytest.mark.parametrize("size", [1, 7, 1000, 70_000])
def test_draws_come_from_the_seed_and_the_block(sampling, size):
    count = min(200_000, 500 * size)
    expected = from_scratch(size, sampling, 3, count)
    drawn = order(size, sampling, 3).draws(0, count)
    assert drawn.dtype == torch.int64
    assert torch.equal(drawn, expected)


@samplings
@pytest.mark.parametrize("batch", [1, 37, 569, 600, 4096])
def test_positions_do_not_depend_on_batch_sizes(sampling, batch):
    expected = order(569, sampling, 0).draws(0, 8192)
    some, parts, position = order(569, sampling, 0), [], 0
    while position < 8192:
        count = min(batch, 8192 - position)
        part = some.draws(position, count)
        assert part.shape == (count,)
        parts.append(part)
        position += count
    assert torch.equal(torch.cat(parts), expected)


@samplings
def test_blocks_are_crossed_and_any_position_can_be_asked_for_first(sampling):
    size, count = 1000, 4 * BLOCK
    expected = from_scratch(size, sampling, 5, count)
    used = order(size, sampling, 5)
    spans = [
        (BLOCK - 3, 8),
        (BLOCK - 1, 1),
        (BLOCK, 1),
        (BLOCK - 3, 3),
        (2 * BLOCK - 1, 2),
        (10, 3 * BLOCK),
        (0, 5),
        (999, 2),
    ]
    for position, number in spans + spans[::-1]:
        for some in (used, order(size, sampling, 5)):
            assert torch.equal(some.draws(position, number), expected[position : position + number])


@pytest.mark.parametrize("size", [1, 2, 7, 569])
def test_every_reshuffled_pass_is_a_permutation_of_its_own(size):
    passes = order(size, "reshuffled", 0).draws(0, 20 * size).reshape(20, size)
    assert torch.equal(passes.sort(dim=1).values, torch.arange(size).expand(20, size))
    if size > 5:
        assert len({tuple(p.tolist()) for p in passes}) == 20


def test_draws_with_replacement_are_uniform_over_all_examples():
    counts = torch.bincount(order(10, "replacement", 0).draws(0, 2 * BLOCK), minlength=10).double()
    share = 2 * BLOCK / 10
    assert float(((counts - share) ** 2 / share).sum()) < 40  # chi-squared, 9 degrees of freedom: p = 1e-5


@samplings
def test_seeds_and_samplings_differ(sampling):
    other = {"replacement": "reshuffled", "reshuffled": "replacement"}[sampling]
    draws = [order(569, sampling, seed).draws(0, 569) for seed in range(5)] + [order(569, other, 0).draws(0, 569)]
    for one, two in itertools.combinations(draws, 2):
        assert (one == two).double().mean() < 0.05


@samplings
def test_a_group_of_seeds_equals_the_separate_ones(sampling):
    seeds = [4, 0, 17]
    group, alone = order(569, sampling, *seeds), [order(569, sampling, seed) for seed in seeds]
    for position, count in ((0, 5), (5, 3), (BLOCK - 2, 4), (560, 600), (0, 1)):
        together = group.draws(position, count)
        assert together.shape == (3, count)
        assert torch.equal(together, torch.stack([one.draws(position, count) for one in alone]))


def test_a_stream_gets_ids_of_seed_and_position():
    assert order(None, "replacement", 0).draws(7, 3).tolist() == [7, 8, 9]
    pair = order(None, "replacement", 0, 5).draws(2**39, 2).tolist()
    assert pair == [[2**39, 2**39 + 1], [5 * 2**40 + 2**39, 5 * 2**40 + 2**39 + 1]]
    large = order(None, "replacement", 2**22, 2**60).draws(0, 1)[:, 0]
    assert (large >= 2**62).all()  # out of the reach of small seeds
    assert large[0] != large[1]


# Seeds ----------------------------------------------------------------------------------------------------------------


def test_derived_numbers_are_those_of_the_hash():
    expected = int.from_bytes(hashlib.sha256(b"3/order/replacement/12").digest()[:8], "big") >> 1
    assert derive(3, "order", "replacement", 12) == expected
    drawn = torch.rand(5, generator=generator(3, "order", "replacement", 12))
    assert torch.equal(drawn, torch.rand(5, generator=torch.Generator().manual_seed(expected)))


def test_derived_numbers_depend_on_every_name_and_their_order():
    names = [
        (0,), (1,), (0, "order"), (0, "noise"), (0, "order", 0), (0, "order", 1), (0, "order", 10), (0, "order", 1, 0),
        (0, 0, "order"), (1, "order"), (10, "order"), (1, 0, "order"), (0, "orde", "r"), (0, "order", "a", "b"),
        (0, "order", "b", "a"), (0, "order", "ab"), (0, "order", ""), (2**62, "order"), (2**62 + 1, "order"),
    ]  # fmt: skip
    numbers = [derive(*name) for name in names]
    assert len(set(numbers)) == len(names)
    assert all(0 <= n < 2**63 for n in numbers)
    assert numbers == [derive(*name) for name in names]


# What a run sees ------------------------------------------------------------------------------------------------------


class Nowhere:
    def append(self, row):
        pass

    def save(self, tensors, numbers):
        pass

    def load(self):
        return None


def seen(monkeypatch, *overrides):
    """The draws that a job asks its task for, by step."""
    runs = config.request([
        "task=logistic/breast_cancer", "dtype=float64", "record=ends", "budget.examples=600", *overrides,
    ]).runs  # fmt: skip
    loop = Loop(Job(tuple(runs)), Nowhere())
    drawn, batch = [], loop.task.batch
    with monkeypatch.context() as patch:
        patch.setattr(loop.task, "batch", lambda draws: drawn.append(draws) or batch(draws))
        loop.run()
    return drawn


@samplings
def test_changing_the_method_changes_no_draw(monkeypatch, sampling):
    expected = order(569, sampling, 3).draws(0, 600)
    for words in (
        ["optimizer=sgd", "batch_size.size=50"],
        ["optimizer=adagrad", "optimizer.lr=0.3", "batch_size.size=50"],
        ["optimizer=adam", "batch_size.size=50", "schedule=inverse_sqrt", "average=uniform"],
        ["optimizer=torch.optim.Adam", "batch_size.size=50"],
        ["optimizer=adagrad_norm", "batch_size.size=64", "task.l2=0.1"],
        ["optimizer=sgd", "batch_size.size=7", "lanes.lr=[0.1,1]"],
        ["optimizer=sgd", "batch_size.size=50", "dtype=float32", "record=every:10"],
        ["optimizer=sgd", "batch_size.size=50", "lanes.lr=[1e300,1]"],
    ):
        drawn = seen(monkeypatch, f"sampling={sampling}", "seed=3", *words)
        assert torch.equal(torch.cat(drawn), expected), words


@samplings
def test_lanes_of_several_seeds_see_the_draws_of_each(monkeypatch, sampling):
    drawn = torch.cat(seen(monkeypatch, f"sampling={sampling}", "lanes.seed=[3,0]", "lanes.lr=[0.1,1]"), dim=1)
    assert np.array_equal(drawn, torch.stack([order(569, sampling, seed).draws(0, 600) for seed in (3, 0)]))


def test_a_full_batch_draws_nothing(monkeypatch):
    assert seen(monkeypatch, "batch_size=full", "budget.examples=1000") == []
