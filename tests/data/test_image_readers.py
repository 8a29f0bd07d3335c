"""IDX and CIFAR files: what is read, and what is refused with which sentence."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import data
from data import cifar, idx


def idx_file(array: np.ndarray, kind: int = 8) -> bytes:
    """An IDX file of an array, written number by number."""
    header = struct.pack(">BBBB", 0, 0, kind, array.ndim) + b"".join(struct.pack(">I", n) for n in array.shape)
    return header + bytes(int(number) for number in array.reshape(-1))


def cifar_file(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A CIFAR-10 file of images (n, 3, 32, 32): colour by colour, row by row."""
    content = b""
    for image, label in zip(images, labels, strict=True):
        content += bytes([label]) + b"".join(bytes(row) for colour in image for row in colour)
    return content


def cifar_100_file(images: np.ndarray, coarse: np.ndarray, fine: np.ndarray) -> bytes:
    """The same with two labels a record."""
    records = zip(coarse, images, fine, strict=True)
    return b"".join(bytes([super_]) + cifar_file(image[None], [label]) for super_, image, label in records)


@pytest.mark.parametrize("shape", [(7,), (2, 3), (3, 5, 4), (2, 1, 3, 2), (300,)])
def test_idx_gives_the_numbers_in_their_order(shape: tuple[int, ...]) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, shape)
    found = idx.parse(idx_file(wanted), "some")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)


GOOD = idx_file(np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not start with"),
        (b"\0\0\x08", "does not start with"),
        (b"\x89PNG" + GOOD, "does not start with"),
        (idx_file(np.arange(6), kind=0x0D), "type 0x0d where"),
        (GOOD[:3] + b"\0" + GOOD[4:], "ends within its IDX header"),
        (GOOD[:11], r"ends within its IDX header \(11 bytes, 2 axes\)"),
        (GOOD[:-1], "5 numbers where its header says 2 x 3 = 6"),
        (GOOD + b"\0", "7 numbers where its header says 2 x 3 = 6"),
        (idx_file(np.zeros((0, 3))), "is empty"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "0 numbers where its header says 4294967295 x"),
    ],
)
def test_a_malformed_idx_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(data.DataError, match=said) as caught:
        idx.parse(content, "mine.gz")
    assert str(caught.value).startswith("mine.gz ")
    assert str(caught.value).endswith("get the file again")
    assert "\n" not in str(caught.value)


def test_cifar_gives_images_and_labels() -> None:
    source = np.random.default_rng(1)
    images, labels = source.integers(0, 256, (5, 3, 32, 32), dtype=np.uint8), np.array([3, 0, 9, 9, 1])
    found, told = cifar.parse(cifar_file(images, labels), "some")
    assert found.dtype == told.dtype == np.uint8
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(told, labels)


def test_cifar_100_gives_images_and_fine_labels() -> None:
    source = np.random.default_rng(3)
    images, fine = source.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.array([99, 0, 42, 7])
    content = cifar_100_file(images, np.array([19, 4, 255, 0]), fine)
    assert len(content) == 4 * 3074
    found, told = cifar.parse(content, "some", cifar.FORMS["cifar-100"])
    assert found.dtype == told.dtype == np.uint8
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(told, fine)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(3073), "3,073 bytes, no whole number of CIFAR-100 records of 3,074"),
        (bytes(3074) + b"\x00\x64" + bytes(3072), "record 2: the label is 100, above 99"),
    ],
)
def test_a_malformed_cifar_100_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(data.DataError, match=said):
        cifar.parse(content, "train.bin", cifar.FORMS["cifar-100"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 bytes, no whole number"),
        (bytes(3072), "3,072 bytes, no whole number"),
        (bytes(2 * 3073 + 1), "6,147 bytes, no whole number"),
        (bytes(3073) + b"\x0a" + bytes(3072), "record 2: the label is 10, above 9"),
    ],
)
def test_a_malformed_cifar_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(data.DataError, match=said) as caught:
        cifar.parse(content, "data_batch_1.bin")
    assert str(caught.value).startswith("data_batch_1.bin")
    assert str(caught.value).endswith("get the file again")


def test_the_first_of_each_class_keep_their_order() -> None:
    labels = np.array([1, 1, 0, 2, 1, 0, 0, 2])
    images = np.random.default_rng(2).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    kept, told = cifar.parse(cifar.first_of_each_class(cifar_file(images, labels), 2, "some"), "kept")
    wanted, seen = [], {0: 0, 1: 0, 2: 0}
    for i, label in enumerate(labels.tolist()):
        seen[label] += 1
        if seen[label] <= 2:
            wanted.append(i)
    np.testing.assert_array_equal(told, labels[wanted])
    np.testing.assert_array_equal(kept, images[wanted])
