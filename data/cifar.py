"""Read the binary version of CIFAR-10: records of one label byte and 3,072 bytes of pixels."""

from __future__ import annotations

import numpy as np

from data.dataset import Bytes
from data.errors import DataError

SHAPE = (3, 32, 32)
CLASSES = 10
_RECORD = 1 + 3 * 32 * 32  # bytes


def parse(content: bytes, name: str) -> tuple[Bytes, Bytes]:
    """Images (n, 3, 32, 32) and labels (n,), both uint8, of the decompressed `content` of the file called `name`.

    A record is a label, then the red, green and blue pixels, row by row (https://www.cs.toronto.edu/~kriz/cifar.html).
    Raises DataError if there is no whole number of records, at least one, or a label is above 9.
    """
    count, rest = divmod(len(content), _RECORD)
    if rest or not count:
        raise DataError(
            f"{name} has {len(content):,} bytes, no whole number of CIFAR-10 records of {_RECORD:,}: get the file again"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(count, _RECORD)
    labels = records[:, 0]
    if labels.max() >= CLASSES:
        first = int(np.argmax(labels >= CLASSES))
        raise DataError(f"{name}, record {first + 1}: the label is {labels[first]}, above 9: get the file again")
    return records[:, 1:].reshape(count, *SHAPE), labels


def first_of_each_class(content: bytes, each: int, name: str) -> bytes:
    """The records, in their order, that are among the first `each` of their class. Raises DataError as `parse` does."""
    _, labels = parse(content, name)
    kept = np.zeros(len(labels), dtype=bool)
    for label in range(CLASSES):
        kept[np.flatnonzero(labels == label)[:each]] = True
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD)[kept].tobytes()
