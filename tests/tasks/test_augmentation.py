"""Crops and flips against a plain loop, and the draws that they are functions of."""

import numpy as np
import pytest
import torch

from experiments.order import Order
from experiments.tasks.augmentation import augmented
from experiments.tasks.noise import tagged, untagged

CPU = torch.device("cpu")


def by_loop(images, tags, border, flip):
    """The docstring of `augmented`, image by image, in numpy."""
    places, out = 2 * border + 1, []
    for image, tag in zip(images.numpy(), tags.tolist(), strict=True):
        if tag == 0:
            out.append(image)
            continue
        value = tag - 1
        down, right, turned = value % places, value // places % places, value // places**2 % 2
        height, width = image.shape[1:]
        wide = np.pad(image, ((0, 0), (border, border), (border, border)))
        cut = wide[:, down : down + height, right : right + width]
        out.append(cut[:, :, ::-1] if flip and turned else cut)
    return torch.from_numpy(np.stack(out).copy())


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("border", [0, 1, 4])
def test_crops_and_flips_are_those_of_a_loop(shape, flip, border):
    source = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (200, *shape), generator=source, dtype=torch.uint8)
    tags = torch.cat([torch.arange(190), torch.randint(2**31, (10,), generator=source)])
    found, kept = augmented(images, tags, border, flip), images.clone()
    assert found.dtype == torch.uint8
    assert torch.equal(found, by_loop(images, tags, border, flip))
    assert torch.equal(found[0], images[0]), "the tag 0 changes nothing"
    assert torch.equal(images, kept)
    if border or flip:
        assert (found != images).flatten(1).any(dim=1).float().mean() > 0.4


@pytest.mark.parametrize("sampling", ["replacement", "reshuffled"])
@pytest.mark.parametrize("seeds", [[0], [3, 5_000_000]])
def test_tagged_draws_are_the_same_examples(sampling, seeds):
    plain, tags = Order(70, sampling, seeds, CPU), Order(70, sampling, seeds, CPU, tags=True)
    draws = tags.draws(0, 400)
    indices, bits = untagged(draws)
    assert torch.equal(indices, plain.draws(0, 400))
    assert int(bits.min()) > 0
    assert int(bits.max()) < 2**31
    assert len(bits.unique()) == bits.numel(), "another draw of an example is another change"
    # Whatever the batch sizes and the seeds beside it are.
    pieces = torch.cat([tags.draws(at, 50) for at in range(0, 400, 50)], dim=-1)
    assert torch.equal(pieces, draws)
    alone = [Order(70, sampling, [seed], CPU, tags=True).draws(0, 400) for seed in seeds]
    assert torch.equal(torch.stack(alone), draws.view(len(seeds), 400))


def test_every_change_is_as_frequent():
    tags = untagged(tagged(torch.zeros(162_000, dtype=torch.int64), torch.arange(162_000) + (7 << 40)))[1]
    counts = torch.bincount((tags - 1) % 162, minlength=162).double()
    chi_squared = float(((counts - 1000).square() / 1000).sum())
    assert 161 - 5 * (2 * 161) ** 0.5 < chi_squared < 161 + 5 * (2 * 161) ** 0.5


def test_a_plain_index_has_no_bits():
    indices, bits = untagged(torch.tensor([0, 5, 2**32 - 1]))
    assert indices.tolist() == [0, 5, 2**32 - 1]
    assert bits.tolist() == [0, 0, 0]
