"""Synthetic sets, as pure functions of their arguments.

Numbers come from numpy's PCG64 with the stated seed: with the same version of numpy they are the same on every machine,
but for the last digit of those that pass through a logarithm or an exponential.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from data.dataset import DataSet, ImageSet, Labelled
from data.errors import DataError

if TYPE_CHECKING:
    Counts: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]

VERSION = 1  # part of the digests: raise it when the same arguments give other numbers


def power_law_classification(
    examples: int,
    dimension: int,
    *,
    nonzeros: float = 20.0,
    imbalance: float = 1.0,
    density: float = 1.0,
    margin: float = 2.0,
    seed: int = 0,
) -> DataSet:
    """Sparse binary rows (n, d) with unbalanced features, and labels -1 or +1 of a logistic model.

    Feature j = 1 .. d is 1 in a share of the rows proportional to j^-imbalance (at most half of them, at least one
    row), 0 in the others; imbalance 0 means all equally often. Rows have `nonzeros` ones on average, whatever the
    imbalance is. The model w* is +c or -c in round(density d) features, chosen whatever their frequency is, and 0 in
    the others; c is such that the root mean square of x . w* over the rows is `margin`, and P(y = 1 | x) = 1 / (1 +
    exp(-x . w*)). So labels contradict each other in frequent features; a feature in few rows may still separate them,
    and then only an l2 term keeps its optimal weight finite.

    Counts are exact: only which rows have a feature, signs and labels are random, each from a generator of its own.
    If there are fewer than d ones in all, the rarest features occur in no row.

    Raises DataError for arguments out of range, or if all labels come out alike.
    """
    from scipy.sparse import csr_array

    values = {
        "examples": int(examples),
        "dimension": int(dimension),
        "nonzeros": float(nonzeros),
        "imbalance": float(imbalance),
        "density": float(density),
        "margin": float(margin),
        "seed": int(seed),
    }
    _check(examples >= 2, f"examples must be at least 2, not {examples}")
    _check(dimension >= 1, f"dimension must be at least 1, not {dimension}")
    _check(
        0 < nonzeros <= dimension / 2,
        f"nonzeros must be in (0, {dimension / 2:g}], half the dimension, not {nonzeros:g}",
    )
    _check(0 <= imbalance <= 10, f"imbalance must be from 0 to 10, not {imbalance:g}")
    _check(0 < density <= 1, f"density must be in (0, 1], not {density:g}")
    _check(0 < margin < np.inf, f"margin must be a positive number, not {margin:g}")
    _check(seed >= 0, f"seed must be at least 0, not {seed}")
    places, signs, labels = (np.random.default_rng([seed, part]) for part in range(3))
    counts = _power_law_counts(examples, dimension, nonzeros, imbalance)
    rows = np.concatenate([places.choice(examples, size=int(c), replace=False, shuffle=False) for c in counts])
    columns = np.repeat(np.arange(dimension), counts)
    ones = np.ones(len(rows))
    inputs = csr_array((ones, (rows, columns)), shape=(examples, dimension))
    inputs.sort_indices()
    inputs.indices, inputs.indptr = inputs.indices.astype(np.int32), inputs.indptr.astype(np.int32)
    support = signs.permutation(dimension)[: max(1, round(density * dimension))]
    model = np.zeros(dimension)
    model[support] = np.where(signs.random(len(support)) < 0.5, -1.0, 1.0)
    products = np.asarray(inputs @ model)
    scale = float(np.sqrt(np.mean(products**2)))
    _check(scale > 0, f"no row has a feature of the optimum: raise nonzeros={nonzeros:g} or density={density:g}")
    chance = 0.5 + 0.5 * np.tanh(0.5 * products * (margin / scale))  # the logistic function, which cannot overflow
    targets = np.where(labels.random(examples) < chance, 1.0, -1.0)
    _check(bool(np.ptp(targets)), f"all labels came out alike: raise examples={examples} or take another seed")
    return DataSet("power_law_classification", inputs, targets, _digest("power_law_classification", values))


def gaussian_least_squares(
    examples: int, eigenvalues: Sequence[float], solution: Sequence[float], noise: float, *, seed: int = 0
) -> DataSet:
    """Rows x ~ N(0, diag(eigenvalues)), (n, d) with every entry stored, and targets x . solution + N(0, noise^2).

    Raises DataError for arguments out of range.
    """
    from scipy.sparse import csr_array

    values = {
        "examples": int(examples),
        "eigenvalues": [float(value) for value in eigenvalues],
        "solution": [float(value) for value in solution],
        "noise": float(noise),
        "seed": int(seed),
    }
    _check(examples >= 1, f"examples must be at least 1, not {examples}")
    _check(min(eigenvalues, default=-1) >= 0, "eigenvalues must be a list of at least one number, none negative")
    _check(
        len(solution) == len(eigenvalues),
        f"solution must have as many numbers as eigenvalues, {len(eigenvalues)}, not {len(solution)}",
    )
    _check(0 <= noise < np.inf, f"noise must be a number of at least 0, not {noise:g}")
    _check(seed >= 0, f"seed must be at least 0, not {seed}")
    rows, labels = (np.random.default_rng([seed, part]) for part in range(2))
    dense = rows.standard_normal((examples, len(eigenvalues))) * np.sqrt(np.asarray(values["eigenvalues"]))
    targets = dense @ np.asarray(values["solution"]) + noise * labels.standard_normal(examples)
    return DataSet("gaussian_least_squares", csr_array(dense), targets, _digest("gaussian_least_squares", values))


def smooth_images(
    examples: int,
    test_examples: int,
    *,
    classes: int = 10,
    channels: int = 1,
    side: int = 16,
    shift: int = 2,
    contrast: float = 0.5,
    noise: float = 0.2,
    seed: int = 0,
) -> ImageSet:
    """Square images (n, channels, side, side): a smooth random template of the class, shifted, scaled and noisy.

    A template is a random periodic wave of at most three periods a side, scaled to reach 1 or -1. A pixel is grey plus
    0.35 c t plus noise N(0, 1), in units of white and cut to [0, 1], where t is the template moved round by up to
    `shift` pixels each way and c is uniform in [1 - contrast, 1]. Labels run through the classes, as often each.

    Raises DataError for arguments out of range.
    """
    values = {
        "examples": int(examples),
        "test_examples": int(test_examples),
        "classes": int(classes),
        "channels": int(channels),
        "side": int(side),
        "shift": int(shift),
        "contrast": float(contrast),
        "noise": float(noise),
        "seed": int(seed),
    }
    _check(2 <= classes <= 256, f"classes must be from 2 to 256, not {classes}")
    _check(examples >= classes, f"examples must be at least the {classes} classes, not {examples}")
    _check(test_examples >= 1, f"test_examples must be at least 1, not {test_examples}")
    _check(channels >= 1, f"channels must be at least 1, not {channels}")
    _check(side >= 4, f"side must be at least 4, not {side}")
    _check(0 <= shift < side, f"shift must be from 0 to {side - 1}, below the side, not {shift}")
    _check(0 <= contrast <= 1, f"contrast must be from 0 to 1, not {contrast:g}")
    _check(0 <= noise < np.inf, f"noise must be a number of at least 0, not {noise:g}")
    _check(seed >= 0, f"seed must be at least 0, not {seed}")
    waves, *parts = (np.random.default_rng([seed, part]) for part in range(3))
    angles = 2 * np.pi * np.arange(side)[:, None] * np.arange(4) / side
    basis = np.concatenate([np.cos(angles), np.sin(angles[:, 1:])], axis=1)  # (side, 7)
    templates = np.einsum("kcab,ya,xb->kcyx", waves.standard_normal((classes, channels, 7, 7)), basis, basis)
    templates /= np.abs(templates).max(axis=(1, 2, 3), keepdims=True)
    made: list[Labelled] = []
    for source, count in zip(parts, (examples, test_examples), strict=True):
        labels = (np.arange(count) % classes).astype(np.uint8)
        down, right = source.integers(-shift, shift + 1, size=(2, count, 1))
        ys, xs = ((np.arange(side) - by) % side for by in (down, right))
        moved = templates[labels[:, None, None], :, ys[:, :, None], xs[:, None, :]].transpose(0, 3, 1, 2)
        scale = 1 - contrast * source.random((count, 1, 1, 1))
        pixels = 0.5 + 0.35 * scale * moved + noise * source.standard_normal(moved.shape)
        made.append((np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8), labels))
    return ImageSet("smooth_images", *made[0], *made[1], int(classes), _digest("smooth_images", values))


def _power_law_counts(examples: int, dimension: int, nonzeros: float, imbalance: float) -> Counts:
    """In how many rows each feature occurs: their sum is round(examples * nonzeros), none in more than half."""
    most = examples // 2
    total = min(round(examples * nonzeros), most * dimension)
    least = 1.0 if total >= dimension else 0.0
    law = np.arange(1, dimension + 1, dtype=np.float64) ** -imbalance
    low, high = 0.0, most / law[-1]  # at `high` every feature is as frequent as can be
    for _ in range(200):
        middle = (low + high) / 2
        if np.clip(middle * law, least, most).sum() < total:
            low = middle
        else:
            high = middle
    exact = np.clip(high * law, least, most)
    counts: Counts = np.floor(exact).astype(np.int64)
    short = total - int(counts.sum())
    # What is missing goes to the largest remainders.
    counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
    return counts


def _digest(name: str, values: dict[str, Any]) -> str:
    """SHA-256 (hex) of what a set is made from."""
    return hashlib.sha256(json.dumps([name, VERSION, values], sort_keys=True).encode()).hexdigest()


def _check(fine: bool, problem: str) -> None:
    if not fine:
        raise DataError(problem)
