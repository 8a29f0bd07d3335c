"""Read IDX files, the format of MNIST: big-endian sizes, then one byte for each number, the last axis fastest."""

from __future__ import annotations

import math

import numpy as np

from data.dataset import Bytes
from data.errors import DataError

_UNSIGNED_BYTE = 0x08
_AGAIN = "get the file again"


def parse(content: bytes, name: str) -> Bytes:
    """The array (uint8, of any number of axes) in the decompressed `content` of the file called `name`.

    The format: two zero bytes, a byte for the type, one for the number of axes, the length of each axis in four bytes,
    then the numbers (http://yann.lecun.com/exdb/mnist/). Raises DataError if the header is not that, the type is not
    unsigned bytes, or there are fewer or more numbers than the header says.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{name} is not an IDX file (it does not start with two zero bytes, a type and axes): {_AGAIN}")
    kind, axes = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise DataError(f"{name} holds numbers of type 0x{kind:02x} where images and labels are 0x08, bytes: {_AGAIN}")
    header = 4 + 4 * axes
    if axes == 0 or len(content) < header:
        raise DataError(f"{name} ends within its IDX header ({len(content)} bytes, {axes} axes): {_AGAIN}")
    shape = tuple(int(length) for length in np.frombuffer(content, dtype=">u4", count=axes, offset=4))
    stated, found = math.prod(shape), len(content) - header
    if stated != found:
        sizes = " x ".join(map(str, shape))
        raise DataError(f"{name} has {found:,} numbers where its header says {sizes} = {stated:,}: {_AGAIN}")
    if stated == 0:
        raise DataError(f"{name} is empty (its header says {' x '.join(map(str, shape))}): {_AGAIN}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
