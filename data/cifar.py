"""Read the binary versions of CIFAR-10 and CIFAR-100: records of labels, a byte each, and 3,072 bytes of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.dataset import Bytes
from data.errors import DataError

SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Form:
    """What a record begins with: so many label bytes, of which the last one is the class, below `classes`."""

    called: str
    labels: int
    classes: int

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return self.labels + 3 * 32 * 32


FORMS = {"cifar": Form("CIFAR-10", 1, 10), "cifar-100": Form("CIFAR-100", 2, 100)}
TEN = FORMS["cifar"]


def parse(content: bytes, name: str, form: Form = TEN) -> tuple[Bytes, Bytes]:
    """Images (n, 3, 32, 32) and labels (n,), both uint8, of the decompressed `content` of the file called `name`.

    A record is a label (of CIFAR-100 a coarse one, which is left out, and a fine one), then the red, green and blue
    pixels, row by row (https://www.cs.toronto.edu/~kriz/cifar.html). Raises DataError if there is no whole number of
    records, at least one, or a label is too large.
    """
    count, rest = divmod(len(content), form.record)
    if rest or not count:
        raise DataError(
            f"{name} has {len(content):,} bytes, no whole number of {form.called} records of {form.record:,}: "
            "get the file again"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(count, form.record)
    labels = records[:, form.labels - 1]
    if labels.max() >= form.classes:
        first = int(np.argmax(labels >= form.classes))
        raise DataError(
            f"{name}, record {first + 1}: the label is {labels[first]}, above {form.classes - 1}: get the file again"
        )
    return records[:, form.labels :].reshape(count, *SHAPE), labels


def first_of_each_class(content: bytes, each: int, name: str) -> bytes:
    """The records of CIFAR-10, in their order, that are among the first `each` of their class.

    Raises DataError as `parse` does.
    """
    _, labels = parse(content, name)
    kept = np.zeros(len(labels), dtype=bool)
    for label in range(TEN.classes):
        kept[np.flatnonzero(labels == label)[:each]] = True
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, TEN.record)[kept].tobytes()
